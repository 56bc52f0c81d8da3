"""CMU-MOSEI from tiny pickles and csd files: means over time, labels, splits, and the errors for wrong files."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.generated import root
from tests.helpers.generated_cch import mosei_tables
from trainables.common.types import PairedData
from trainables.config import TrialConfig
from trainables.data.multimedia import mosei, mosei_csd, mosei_mmsa
from trainables.data.multimedia.mosei_mmsa import mean_over_time
from trainables.fitting import fit
from trainables.metrics.sentiment import SENTIMENT_METRICS


def config_of(layout: str, folder: Path | None = None, **changes: Any) -> mosei.MOSEIConfig:
    return mosei.MOSEIConfig(**{"root": str(folder or root(f"mosei_{layout}")), "layout": layout, **changes})


def load(layout: str = "mmsa", folder: Path | None = None, **changes: Any) -> PairedData:
    return mosei.load(config_of(layout, folder, **changes))


def assert_standardised(raw: dict[str, np.ndarray], data: PairedData, view: str) -> None:
    mean, deviation = raw["train"].mean(axis=0), raw["train"].std(axis=0)
    for ours, theirs in (("train", "train"), ("val", "valid"), ("test", "test")):
        seen = getattr(getattr(data, ours), view).numpy()
        assert np.allclose(seen, (raw[theirs] - mean) / deviation, atol=1e-4), ours


@pytest.mark.parametrize("version", ["aligned_50", "unaligned_50"])
def test_rows_are_means_over_the_steps_that_are_no_padding(version: str) -> None:
    """Where lengths are known they count; else steps that are all 0 do not. -inf and NaN become 0."""
    data = load(version=version)
    text, audio = {}, {}
    for split, own in mosei_tables().items():
        mask = np.asarray(own["text_bert"])[:, 1].astype(bool)
        clean = np.nan_to_num(np.asarray(own["audio"]), nan=0, neginf=0)
        text[split] = np.stack(
            [row[real].mean(axis=0) for row, real in zip(np.asarray(own["text"]), mask, strict=True)]
        )
        audio[split] = np.stack([row[real].mean(axis=0) for row, real in zip(clean, mask, strict=True)])
    assert_standardised(text, data, "teacher")
    assert_standardised(audio, data, "student")
    assert [len(split.labels) for split in (data.train, data.val, data.test)] == [20, 8, 10]
    assert load(version=version, student="vision").test.student.isfinite().all()


def test_rows_that_are_read_in_parts_keep_their_own_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mosei_mmsa.mmsa_means(Path(root("mosei_mmsa")), "unaligned_50", "audio")
    monkeypatch.setattr(mosei_mmsa, "CHUNK", 2)
    for split, means in mosei_mmsa.mmsa_means(Path(root("mosei_mmsa")), "unaligned_50", "audio").items():
        assert np.array_equal(means, whole[split])


def test_the_sentiment_itself_can_be_the_target() -> None:
    data = load(target="regression")
    raw = np.asarray(mosei_tables()["test"]["regression_labels"])
    assert data.num_classes == 1 and data.test.labels.dtype == torch.float32
    assert np.allclose(data.test.labels.numpy(), raw[:, None])
    tasks = {target: config_of("mmsa", target=target).task for target in ("three", "regression")}
    assert tasks == {"three": "classification", "regression": "sentiment"}


def test_a_student_of_sentiments_learns_from_a_teacher_and_is_judged_as_mosei_is() -> None:
    network = {"model": "mlp", "hidden": [8], "feature_dim": 8}
    trial = TrialConfig.model_validate(
        {
            "data": config_of("mmsa", target="regression").model_dump(),
            "teacher": network,
            "student": network,
            "method": {"method": "regression_kd"},
            "training": {"epochs": 2, "batch_size": 10, "monitor": "val/mae"},
            "pretraining": {"epochs": 1, "batch_size": 10, "monitor": "val/mae"},
            "seed": 0,
        }
    )
    metrics = fit(trial).result.metrics
    assert {f"test/{name}" for name in SENTIMENT_METRICS} <= metrics.keys()
    assert metrics["test/mse"] > 0 and -1 <= metrics["test/pearson"] <= 1


def test_mean_over_time_by_hand() -> None:
    steps = np.array(
        [[[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]], [[0.0, 0.0]] * 3, [[0.0, 6.0], [np.nan, -np.inf], [9.0, 9.0]]]
    )
    assert mean_over_time(steps, None).tolist() == [[2.0, 3.0], [0.0, 0.0], [4.5, 7.5]]
    assert mean_over_time(steps, np.array([1, 0, 2])).tolist() == [[1.0, 2.0], [0.0, 0.0], [0.0, 3.0]]


def test_labels_of_every_target() -> None:
    sentiment = np.array([-3.0, -1.5, -0.4, 0.0, 0.4, 0.5, 2.5, 3.0])
    assert mosei.classes_of(sentiment, "three").tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    assert mosei.classes_of(sentiment, "binary").tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert mosei.classes_of(sentiment, "seven").tolist() == [0, 1, 3, 3, 3, 3, 5, 6]
    raw = np.concatenate([np.asarray(own["regression_labels"]) for own in mosei_tables().values()])
    binary = load(target="binary")
    assert binary.num_classes == 2 and load(target="seven").num_classes == 7
    kept = torch.cat([binary.train.indices, binary.val.indices, binary.test.indices])
    assert kept.tolist() == np.flatnonzero(raw).tolist() and (raw == 0).sum() >= 8
    assert torch.equal(binary.test.labels, torch.from_numpy(raw[binary.test.indices] > 0).long())
    assert torch.equal(load().val.labels, torch.from_numpy(np.sign(raw[20:28])).long() + 1)


def test_csd_rows_are_the_steps_whose_middle_lies_in_the_segment() -> None:
    """Segments of 2 s, steps of 0.5 s: four each. A video without a face gives 0."""
    import h5py

    data = load("csd", teacher="vision", student="audio")
    assert [len(split.labels) for split in (data.train, data.val, data.test)] == [12, 6, 6]
    assert data.train.labels.tolist() == [0, 1, 2] * 4
    raw = {split: [] for split in ("train", "valid", "test")}
    folder = Path(root("mosei_csd"))
    with h5py.File(folder / "CMU_MOSEI_COVAREP.csd") as file:
        for split, videos in json.loads((folder / "splits.json").read_text()).items():
            for video in videos:
                steps = np.nan_to_num(np.asarray(file[f"COVAREP/data/{video}/features"], dtype=float), neginf=0)
                raw[split] += [steps[4 * part : 4 * part + 4].mean(axis=0) for part in range(3)]
    assert_standardised({split: np.stack(rows) for split, rows in raw.items()}, data, "student")
    assert torch.equal(data.test.teacher[3], data.test.teacher[4]) and not torch.equal(*data.test.teacher[:2])


def test_a_step_belongs_to_the_segment_that_holds_its_middle(tmp_path: Path) -> None:
    """Steps of 0.5 s that begin 0.3 s late: one that begins in the first segment has its middle in the second."""
    import h5py

    folder = Path(shutil.copytree(root("mosei_csd"), tmp_path / "csd"))
    with h5py.File(folder / "CMU_MOSEI_COVAREP.csd", "r+") as file:
        for video in file["COVAREP/data"].values():
            video["intervals"][:] = np.asarray(video["intervals"]) + 0.3
            video["features"][:, 0] = np.arange(len(video["features"]))
    means = mosei_csd.csd_means(folder, "audio")["train"][:3, 0]
    middles = 0.5 * np.arange(12) + 0.55
    assert means.tolist() == [np.arange(12)[(middles >= low) & (middles < low + 2)].mean() for low in (0, 2, 4)]


def changed(layout: str, to: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    folder = Path(shutil.copytree(root(f"mosei_{layout}"), to / layout))
    tables = mosei_tables()
    change(tables)
    (folder / "aligned_50.pkl").write_bytes(pickle.dumps(tables))
    return folder


WRONG: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda tables: tables.pop("valid"), "must have a dict for 'valid'"),
    (
        lambda tables: tables["test"].pop("audio"),
        "test of .* must have 'audio', an array of 3 dimensions, but has classification_labels, id",
    ),
    (lambda tables: tables["train"].update(vision=np.zeros((20, 3))), "must have 'vision', an array of 3 dimensions"),
    (lambda tables: tables["train"].update(text=np.zeros((19, 6, 5))), r"same number of rows, but have .*'text': 19"),
    (lambda tables: tables["test"]["regression_labels"].fill(np.nan), "must be finite, but some are not"),
    (lambda tables: tables.update(extra=Path("x")), r"asks for pathlib\S+, which is neither"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_a_wrong_pickle_is_named_in_one_line(
    change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        load("mmsa", changed("mmsa", tmp_path, change))
    assert "\n" not in str(error.value) and str(error.value).startswith("cmu_mosei: ")


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"needs MMSA's features: .*aligned_50.pkl' does not exist; put it there"
    ):
        mosei.shape(config_of("mmsa", tmp_path))
    folder = Path(shutil.copytree(root("mosei_csd"), tmp_path / "csd"))
    (folder / "splits.json").write_text(json.dumps({"train": ["x"], "valid": ["e"], "test": ["g"]}))
    with pytest.raises(ValueError, match=r"none of the 1 videos of train in splits.json is in .* which has a, b, c"):
        mosei.shape(config_of("csd", folder))
    (folder / "splits.json").write_text(json.dumps({"train": ["a"]}))
    with pytest.raises(ValueError, match=r"list of videos for each of train, valid, test \(KeyError: 'valid'\)"):
        mosei.shape(config_of("csd", folder))
    (folder / "splits.json").unlink()
    with pytest.raises(FileNotFoundError, match="the standard folds"):
        mosei.shape(config_of("csd", folder))
    shutil.copy(Path(root("mosei_csd"), "splits.json"), folder)
    (folder / "CMU_MOSEI_COVAREP.csd").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"COVAREP.csd' is truncated or no csd file"):
        mosei.shape(config_of("csd", folder))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    folder = changed("mmsa", tmp_path, lambda tables: None)
    before = load("mmsa", folder).train.labels
    tables = mosei_tables(seed=1)
    path = folder / "aligned_50.pkl"
    path.write_bytes(pickle.dumps(tables))
    os.utime(path, ns=(1, 1))
    assert not torch.equal(load("mmsa", folder).train.labels, before)
