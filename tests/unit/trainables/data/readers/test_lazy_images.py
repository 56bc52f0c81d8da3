"""Photographs decoded while training: the pixels, the rows and the losses of stored ones, to the last bit."""

import gc
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.layouts import config_of, copy_of, load
from trainables.common.distributed import Workers
from trainables.config import TrialConfig
from trainables.data import DATASETS
from trainables.data.image_text import base
from trainables.data.readers import prefetch
from trainables.data.readers.lazy_images import LazyImages
from trainables.data.readers.prefetch import AHEAD, decoders
from trainables.fitting import FitResult, fit
from trainables.stages.artifacts import StageStore
from trainables.stages.prepared import SPLITS, data_stage, read_prepared
from trainables.training.inputs import select_rows

CPU = torch.device("cpu")
VIEWS = 3


def both(processes: int | None = 0, layout: str = "coco") -> tuple[LazyImages, Tensor]:
    """The training pictures in their files, and stored."""
    left = load(layout, views=VIEWS, input="decoded", decoders=processes).train.teacher
    assert isinstance(left, LazyImages)
    return left, load(layout, views=VIEWS, input="stored").train.teacher


@pytest.mark.parametrize("layout", ["coco", "flickr8k", "food101", "imagenet"])
def test_all_that_is_decoded_is_what_is_stored(layout: str) -> None:
    stored, left = load(layout, views=VIEWS), load(layout, views=VIEWS, input="decoded", decoders=0)
    assert left.notes == stored.notes | {"input": "decoded while training"}
    for split in SPLITS:
        pictures, pixels = left.split(split).teacher, stored.split(split).teacher
        assert isinstance(pictures, LazyImages) and (pictures.shape, pictures.dtype) == (pixels.shape, pixels.dtype)
        assert torch.equal(pictures[torch.arange(len(pixels))], pixels)
        assert all(map(torch.equal, left.split(split)[1:], stored.split(split)[1:]))


def test_rows_views_slices_and_parts_are_those_of_a_tensor() -> None:
    left, stored = both()
    rows, places = torch.tensor([5, 0, 5]), torch.tensor([2, 0, 1])
    assert torch.equal(left[rows], stored[rows]) and torch.equal(left[rows, places], stored[rows, places])
    mask = torch.arange(len(stored)) % 3 == 1
    assert torch.equal(left[mask], stored[mask])
    assert torch.equal(left[2:7][rows[:2] - 1], stored[2:7][rows[:2] - 1])
    assert torch.equal(left[:, 1:][rows], stored[:, 1:][rows])
    assert torch.equal(left[:, 1:][rows, places - 1], stored[:, 1:][rows, places - 1])
    assert torch.equal(left[1:4].to(torch.float64), stored[1:4].to(torch.float64))
    for part, expected in zip(left[:, :1].split(3), stored[:, :1].split(3), strict=True):
        assert isinstance(part, LazyImages) and part.shape == expected.shape
        assert torch.equal(part.to(torch.float32), expected.to(torch.float32))
    assert len(left[:0].split(3)) == 0 or torch.equal(left[:0].to(torch.float32), stored[:0].float())


def test_what_would_decode_everything_is_refused() -> None:
    left, _ = both()
    with pytest.raises(NotImplementedError, match=r"aten.* would decode every image; index rows first"):
        left + 1
    assert repr(left) == "LazyImages((8, 3, 3, 16, 16) of coco)"


@pytest.mark.slow
@pytest.mark.parametrize("processes", [0, 2])
def test_rows_asked_for_in_another_order_than_said_are_right_too(processes: int) -> None:
    left, stored = both(processes)
    said = [(torch.tensor(rows), torch.tensor(places)) for rows, places in (([1, 2], [0, 1]), ([3, 0], [2, 2]))]
    left.prefetch([*said, (torch.tensor([7, 6]), None), (torch.tensor([5, 4]), None)])
    for rows, places in (said[0], (torch.tensor([6]), torch.tensor([1])), said[1]):
        expected = select_rows(stored, rows, CPU, torch.float64, places)
        assert torch.equal(select_rows(left, rows, CPU, torch.float64, places), expected)
    assert torch.equal(left[torch.tensor([7, 6])], stored[torch.tensor([7, 6])])
    assert len(batches_of(processes)) == 1
    del left
    assert not batches_of(processes), "no batch is left behind"


def batches_of(processes: int) -> list[Path]:
    """Files of batches that were begun and not yet used."""
    return list(Path(decoders(processes).folder.name).iterdir())


def test_several_trainings_on_the_same_rows_have_an_order_each() -> None:
    left, stored = both(0)
    orders = [torch.tensor([0, 3, 1, 2]).split(1), torch.tensor([2, 0, 3, 1]).split(1)]
    for order in orders:
        left.prefetch([(rows, None) for rows in order])
    assert len(batches_of(0)) == 2 * AHEAD
    for several in zip(*orders, strict=True):
        for rows in several:
            begun = sum(len(one.begun) for one in left.prefetchers)
            assert torch.equal(left[rows], stored[rows])
            assert sum(len(one.begun) for one in left.prefetchers) in (begun, begun - 1), "announced"
    assert not batches_of(0)
    left.prefetch([(rows, None) for rows in orders[0]])
    assert len(left.prefetchers) == 1, "those that ended are forgotten"


def test_a_training_that_stops_early_leaves_no_batch_behind() -> None:
    gc.disable()
    try:
        left, _ = both(0)
        order = torch.arange(8).split(1)
        left.prefetch([(rows, None) for rows in order])
        parts = left.split(2)
        for begun in (left[order[0]], parts[0].to(torch.float32)):
            assert len(begun)
        assert len(batches_of(0)) == 2 * AHEAD
        del left, parts
        assert not batches_of(0), "removed at once, not when garbage is collected"
    finally:
        gc.enable()


@pytest.mark.slow
def test_the_next_batches_are_decoded_while_one_is_in_use() -> None:
    left, stored = both(1)
    order = torch.arange(8).split(1)
    left.prefetch([(rows, None) for rows in order])
    for step, rows in enumerate(order):
        assert torch.equal(left[rows], stored[rows])
        begun = left.prefetchers[0].begun
        assert len(begun) == min(AHEAD, len(order) - step - 1)
        assert [int(batch.request.files.numbers) for batch in begun] == [*range(step + 1, step + 1 + len(begun))]
        assert all(answer.result() is None for batch in begun for answer in batch.answers), "done without being asked"


def test_the_same_rows_in_other_views_are_another_batch() -> None:
    left, stored = both(0)
    rows, said, asked = torch.tensor([4, 1]), torch.tensor([0, 2]), torch.tensor([1, 2])
    left.prefetch([(rows, said)])
    assert torch.equal(left[rows, asked], stored[rows, asked]) and torch.equal(left[rows, said], stored[rows, said])


def test_a_batch_of_several_orders_stands_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "IMAGES_PER_TASK", 3)
    left, stored = both(0)
    assert torch.equal(left[torch.arange(8).flip(0)], stored.flip(0))


def test_the_processes_are_by_default_the_trials_share_of_the_cores() -> None:
    left, stored = both(None)
    made = decoders.cache_info().currsize
    assert torch.get_num_threads() == 1 and torch.equal(left[torch.arange(8)], stored)
    assert len(decoders(1).pool.workers) == 1 and decoders.cache_info().currsize <= made + 1


@pytest.mark.parametrize("processes", [0, 1])
def test_a_photograph_that_breaks_later_is_named_in_one_line(processes: int, tmp_path: Path) -> None:
    folder = copy_of("coco", tmp_path)
    left = load("coco", folder, input="decoded", decoders=processes).train.teacher
    broken = folder / "train2014" / f"COCO_train2014_{3:012d}.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(ValueError) as error:
        left[torch.arange(8)]
    message = str(error.value)
    assert message.startswith(f"coco: {broken} cannot be decoded (") and message.endswith("repair or restore the file")
    assert "\n" not in message
    assert torch.equal(left[torch.arange(3)], load("coco").train.teacher[:3]), "the processes go on"
    broken.unlink()
    with pytest.raises(ValueError, match=r"000000000003\.jpg cannot be decoded \(FileNotFoundError"):
        left[torch.arange(8)]


def test_a_broken_photograph_is_found_before_the_training(tmp_path: Path) -> None:
    folder = copy_of("flickr8k", tmp_path)
    (folder / "Flicker8k_Dataset" / "1003_abc.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1003_abc.jpg cannot be read .* skip_bad is 0"):
        load("flickr8k", folder, input="decoded")
    stored, left = (load("flickr8k", folder, views=2, input=kind, skip_bad=1) for kind in ("stored", "decoded"))
    assert left.train.indices.tolist() == stored.train.indices.tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert torch.equal(left.train.teacher[torch.arange(7)], stored.train.teacher)
    assert left.notes["images_skipped"] == 1


@pytest.mark.parametrize(("free", "kind"), [(46_079, LazyImages), (46_081, Tensor)])
def test_pixels_are_stored_if_they_fill_at_most_a_share_of_the_disk(
    free: int, kind: type, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """12 images of 2 views or 1: 20 x 768 bytes, twice; of 46,080 bytes, two thirds of which they are."""
    monkeypatch.setattr(base, "SHARE", 2 / 3)
    monkeypatch.setattr(base.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    with caplog.at_level(logging.WARNING):
        data = load("coco", views=2, decoders=0)
    assert type(data.train.teacher) is kind
    lines = [record.getMessage() for record in caplog.records]
    said = "coco: the prepared images would take 2 x 0.0 GB, but "
    assert len(lines) == (kind is LazyImages) and all(line.startswith(said) for line in lines)


def test_a_preparation_that_began_to_store_goes_on_to_and_a_check_is_no_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_in, expected = DATASETS["coco"].load_in, load("coco").train.teacher
    assert load_in is not None
    assert isinstance(load_in(config_of("coco", input="decoded"), tmp_path).train.teacher, LazyImages)
    assert torch.equal(load_in(config_of("coco", input="stored"), tmp_path).train.teacher, expected)
    monkeypatch.setattr(base.shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
    assert torch.equal(load_in(config_of("coco"), tmp_path).train.teacher, expected)


def test_the_stage_keeps_names_and_finds_moved_files(tmp_path: Path) -> None:
    folder, kept = copy_of("coco", tmp_path), StageStore(tmp_path / "stages")
    config = config_of("coco", folder, input="decoded", decoders=0, views=VIEWS)
    data, expected = read_prepared(kept, data_stage(config)), load("coco", views=VIEWS)
    arrays = kept.get(data_stage(config)).arrays
    assert "train/teacher" not in arrays and arrays["train/files"].dtype == torch.uint8
    moved = config_of("coco", folder.rename(tmp_path / "moved"), decoders=0, views=VIEWS)
    again = read_prepared(kept, data_stage(moved))
    assert data_stage(moved).key == data_stage(config).key
    for split in SPLITS:
        rows = torch.arange(len(data.split(split).labels))
        assert torch.equal(again.split(split).teacher[rows], expected.split(split).teacher)
    stored = config_of("coco", tmp_path / "moved", input="stored", views=VIEWS)
    message = r"data\.input is 'stored', but .* delete .*stages/prepared/\w+ to store"
    with pytest.raises(ValueError, match=message) as error:
        read_prepared(kept, data_stage(stored))
    assert "\n" not in str(error.value)


def trained(folder: Path, live: bool, **reading: Any) -> FitResult:
    """A student of a teacher that the study trains, both in float64."""
    towers = {"model": "clip", "channels": (4, 8), "text_width": 8, "feature_dim": 6}
    training = {"epochs": 2, "batch_size": 3, "precision": "float64", "monitor": "val/i2t_r1"}
    values = {
        "data": {"views": VIEWS, **config_of("coco").model_dump(include={"dataset", "root", "size"}), **reading},
        "teacher": towers,
        "student": towers,
        "method": {"method": "clip_kd", "teacher_outputs": "live" if live else "cached"},
        "training": training,
        "pretraining": training,
    }
    values["evaluate"] = [{"name": "again", "data": values["data"]}]
    return fit(TrialConfig.model_validate(values), stages=StageStore(folder), workers=Workers(device=CPU))


@pytest.mark.parametrize(("live", "processes"), [(False, 0), (False, 1), (True, 1)])
def test_a_training_takes_the_same_steps(live: bool, processes: int, tmp_path: Path) -> None:
    """Bit for bit, with every loss, every validation, the teacher's training, its outputs and its audit."""
    stored = trained(tmp_path / "stored", live, input="stored")
    left = trained(tmp_path / "decoded", live, input="decoded", decoders=processes)
    assert [report.metrics for report in left.history] == [report.metrics for report in stored.history]
    assert left.result.metrics == stored.result.metrics
    assert left.diagnostics.keys() == stored.diagnostics.keys()
    weights, expected = left.student.state_dict(), stored.student.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
    assert len({report.metrics["train/loss"] for report in stored.history}) == 2
    assert not batches_of(processes), "every batch was asked for in its turn"


def test_what_was_decoded_ahead_is_what_a_training_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch of a training or of an evaluation is waited for without having been announced."""
    alone: list[int] = []
    ahead: list[bool] = []

    def pending(request: prefetch.BatchRequest) -> prefetch.PendingBatch:
        alone.append(len(request.views))
        return prefetch.PendingBatch(request)

    def noted(one: prefetch.Prefetcher, request: prefetch.BatchRequest) -> prefetch.PendingBatch | None:
        ahead.append(True)
        return plain(one, request)

    plain = prefetch.Prefetcher.next_if
    monkeypatch.setattr(prefetch.Prefetcher, "next_if", noted)
    monkeypatch.setattr("trainables.data.readers.lazy_images.PendingBatch", pending)
    monkeypatch.setattr("trainables.evaluation.teacher_check.TEACHER_CHECKS", {})
    trained(tmp_path, False, input="decoded", decoders=0)
    assert alone == [8] and len(ahead) > 10, "all but the audit's sample"
