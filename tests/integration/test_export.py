"""The exported student: loaded by open_clip alone, in a process that cannot import the project, and from MLflow."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from study.analysis.study_results import study_results
from study.config.study_config import StudyConfig
from study.errors import StudyError
from study.export import CONFIG, WEIGHTS, Exported, choose, empty_student, export_student, open_clip_form
from study.parsing.loader import load
from study.run import app
from study.storage.groups import collect_groups
from study.storage.lock import record_study
from study.storage.store import StudyStore
from study.tracking.model_registry import Registered, log_export
from study.tracking.tracker import TrackingUnavailable
from tests.helpers.clip_studies import captioned_data, clip_study, write_group
from tests.helpers.stored_trials import stored_records
from tests.helpers.tiny_clip import TINY
from trainables.config import TrialConfig
from trainables.models.contrastive.base import ContrastiveModel

pytestmark = pytest.mark.slow

TOWERS = {
    **{"model": "clip", "image": "test_resnet", "norm": "batch", "feature_dim": 8},
    **{"text": "transformer", "text_width": 16, "text_depth": 1, "text_heads": 2, "initial_temperature": 0.05},
}

LOAD = """
import importlib.abc, json, sys


class Absent(importlib.abc.MetaPathFinder):  # however the project is installed here
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("trainables", "study", "search_spaces"):
            raise ImportError(name)


sys.meta_path.insert(0, Absent())
import numpy as np
for name in ("trainables", "study", "search_spaces"):
    try:
        __import__(name)
    except ImportError:
        continue
    raise SystemExit(f"{name} can be imported here, so that nothing is shown")
import open_clip, torch
from PIL import Image
folder, inputs = "local-dir:" + sys.argv[1], np.load(sys.argv[2])
model, _, preprocess = open_clip.create_model_and_transforms(folder)
with torch.no_grad():
    images = model.eval().encode_image(torch.from_numpy(inputs["images"]), normalize=True)
    texts = model.encode_text(torch.from_numpy(inputs["tokens"]), normalize=True)
tokens = open_clip.get_tokenizer(folder)(["a red apple"])
pixels = preprocess(Image.new("RGB", (72, 72), (255, 0, 0)))
found = images.tolist(), texts.tolist(), list(tokens.shape), pixels[:, 0, 0].tolist(), float(model.logit_scale)
print(json.dumps(found))
"""


@pytest.fixture(autouse=True, scope="module")
def data() -> Iterator[None]:
    with captioned_data():
        yield


SWEEP = """
study: clip
data: {dataset: captioned}
teacher: {model: clip, feature_dim: 8}
student:
  {model: clip, image: test_resnet, norm: batch, text: transformer, text_width: 16, text_heads: 2, feature_dim: 8}
training: {epochs: 3, batch_size: 16, monitor: val/i2t_r1}
space: {temperature: [0.03, 0.07], batch_size: [16, 32]}
arms: {cl: {method: clip_kd}}
search: {sampler: grid, pruner: none, trials: 4, seeds: 3, metric: val/i2t_r1}
report: {baseline: cl}
"""


def study_of(root: Path, student: dict[str, object]) -> tuple[StudyConfig, StudyStore]:
    """Two arms; in `te1` seed 1 of the second configuration is the best."""
    study = clip_study(root, {"cl": {}, "te1": {"te1": 1.0}})
    arms = []
    for arm in study.arms:
        base = TrialConfig.model_validate({**arm.base.model_dump(), "student": student})
        arms.append(arm.model_copy(update={"base": base}))
    study = study.model_copy(update={"arms": tuple(arms)})
    store = StudyStore(study.directory)
    write_group(study, store, "cl", [0.5, 0.1, 0.1])
    write_group(study, store, "te1", [0.2, 0.2, 0.2])
    write_group(study, store, "te1", [0.3, 0.4, 0.3], temperature=0.03)
    write_weights(store)
    return study, store


def write_weights(store: StudyStore) -> None:
    """A student for every trial, none at its initial weights."""
    for number, record in enumerate(stored_records(store)):
        torch.manual_seed(number)
        student_model = empty_student(record.config).eval()
        state = {
            name: part + 0.01 * torch.randn_like(part) if part.is_floating_point() else part
            for name, part in student_model.state_dict().items()
        }
        path = store.trial(record.trial_id).checkpoint / "state.pt"
        path.parent.mkdir(parents=True)
        last = {name: part + 1 for name, part in state.items()}  # of later epochs, which were not selected
        torch.save({"student": last, "progress": {"best_state": state}}, path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyConfig, StudyStore, Exported]:
    study, store = study_of(tmp_path_factory.mktemp("export"), TOWERS)
    return study, store, export_student(study, store)


def test_the_best_seed_of_the_best_configuration_is_exported(
    exported: tuple[StudyConfig, StudyStore, Exported],
) -> None:
    study, store, (folder, chosen, _) = exported
    assert (chosen.arm, chosen.group.params["temperature"], chosen.trial.config.seed) == ("te1", 0.03, 1)
    assert folder == store.directory / "export" / "te1"
    assert {path.name for path in folder.iterdir()} == {CONFIG, WEIGHTS, "README.md"}
    text = (folder / "README.md").read_text()
    assert chosen.trial.trial_id in text and "| test image→text R@1 (%) | 40.00 |\n| test image→text R@5 (%)" in text
    assert text.index("test image→text R@5") < text.index("test image→text R@10") < text.index("test text→image R@1 ")
    other = export_student(study, store, "cl", folder.with_name("elsewhere"))
    assert (other.chosen.arm, other.chosen.trial.config.seed, other.folder.name) == ("cl", 0, "elsewhere")


def test_the_best_is_the_objectives_best(exported: tuple[StudyConfig, StudyStore, Exported]) -> None:
    study, store, _ = exported
    results = study_results(study, collect_groups(study, store))._replace(direction="minimize")
    chosen = choose(study, results, None)
    assert (chosen.arm, chosen.trial.config.seed, chosen.value) == ("cl", 1, 0.1)


def test_the_exported_scale_is_held_below_its_limit_as_in_training(
    exported: tuple[StudyConfig, StudyStore, Exported],
) -> None:
    student = empty_student(exported[2].chosen.trial.config)
    assert isinstance(student, ContrastiveModel)
    torch.nn.init.constant_(student.log_scale, 7.0)
    form = open_clip_form(student)
    assert form is not None and form.state["logit_scale"].item() == pytest.approx(np.log(100))


def test_open_clip_loads_it_where_the_project_cannot_be_imported(
    exported: tuple[StudyConfig, StudyStore, Exported], tmp_path: Path
) -> None:
    _, store, (folder, chosen, example) = exported
    np.savez(tmp_path / "inputs.npz", **example.inputs)
    command = [sys.executable, "-I", "-W", "ignore", "-c", LOAD, str(folder), str(tmp_path / "inputs.npz")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    images, texts, tokens, pixels, scale = json.loads(done.stdout.splitlines()[-1])
    student = empty_student(chosen.trial.config)
    state = torch.load(store.trial(chosen.trial.trial_id).checkpoint / "state.pt", weights_only=True)
    student.load_state_dict(state["progress"]["best_state"])
    shown = student.eval().colours.deviation * torch.from_numpy(example.inputs["images"]) + student.colours.mean
    with torch.no_grad():
        out = student(shown[:, None], torch.from_numpy(example.inputs["tokens"]).int()[:, None])
    assert out.embeddings is not None
    torch.testing.assert_close(out.embeddings[:, 0], torch.tensor(images), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.embeddings[:, 1], torch.tensor(texts), atol=1e-5, rtol=0)
    assert tokens == [1, example.inputs["tokens"].shape[1]]
    red = (torch.tensor([1.0, 0, 0]) - student.colours.mean.flatten()) / student.colours.deviation.flatten()
    torch.testing.assert_close(torch.tensor(pixels), red)
    assert scale == pytest.approx(student.log_scale.item())


@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_it_with_signature_and_example(exported: tuple[StudyConfig, StudyStore, Exported]) -> None:
    import mlflow

    study, store, (folder, chosen, example) = exported
    before = mlflow.get_tracking_uri()
    registered = log_export(study, store, chosen.trial.trial_id, folder, example)
    assert mlflow.get_tracking_uri() == before and registered.uri == "models:/clip/1"
    client = mlflow.MlflowClient(study.tracking.uri, study.tracking.uri)
    version = client.get_model_version("clip", "1")
    run = client.get_run(version.run_id)
    assert run.data.tags["trial_id"] == chosen.trial.trial_id and run.info.status == "FINISHED"
    mlflow.set_registry_uri(study.tracking.uri)
    mlflow.set_tracking_uri(study.tracking.uri)
    try:
        model = mlflow.pyfunc.load_model(registered.uri)
    finally:
        mlflow.set_registry_uri(before)
        mlflow.set_tracking_uri(before)
    assert model.metadata.signature is not None and model.input_example is not None
    found = model.predict(example.inputs)
    for name, values in example.outputs.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6)


def test_a_model_of_open_clips_own_is_exported_as_it_is(tmp_path: Path) -> None:
    study, store = study_of(tmp_path, {"model": "open_clip", "model_name": TINY, "feature_dim": 6})
    folder, _, example = export_student(study, store)
    assert json.loads((folder / CONFIG).read_text())["model_cfg"]["embed_dim"] == 6
    assert example.outputs["text_embeddings"].shape == (2, 6)


def test_towers_that_open_clip_lacks_are_refused_in_a_line(tmp_path: Path) -> None:
    study, store = study_of(tmp_path, {"model": "clip", "feature_dim": 8, "channels": (4, 8), "text_width": 8})
    with pytest.raises(StudyError, match="must be one whose towers open_clip has") as refused:
        export_student(study, store)
    assert "\n" not in str(refused.value) and not (store.directory / "export").exists()


def test_what_is_not_there_is_refused_in_a_line(tmp_path: Path) -> None:
    study = clip_study(tmp_path)
    store = StudyStore(study.directory)
    with pytest.raises(StudyError, match="no complete configuration yet"):
        export_student(study, store)
    with pytest.raises(StudyError, match="must be one of cl, kl_mse, mi, te1, te2, unified, but got 'te3'"):
        export_student(study, store, "te3")
    write_group(study, store, "cl", [0.5, 0.1, 0.1])
    with pytest.raises(StudyError, match=r"state\.pt is missing"):
        export_student(study, store)


def test_the_command_says_where_the_student_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP)
    refused = CliRunner().invoke(app, ["export", str(file)])
    assert refused.exit_code == 2 and "contains no results yet" in refused.output
    study = load(file)
    record_study(study)
    store = StudyStore(study.directory)
    write_group(study, store, "cl", [0.1, 0.3, 0.2], temperature=0.03, batch_size=16)
    write_weights(store)
    monkeypatch.setattr("study.export.log_export", lambda *given: Registered("clip", "4", "models:/clip/4"))
    done = CliRunner().invoke(app, ["export", str(file), "--arm", "cl", "--output", str(tmp_path / "here")])
    assert done.exit_code == 0, done.output
    assert "(arm cl, seed 1)" in done.output and "models:/clip/4" in done.output
    assert (tmp_path / "here" / WEIGHTS).exists()

    def away(*given: object) -> Registered:
        raise TrackingUnavailable("MLflow is away")

    monkeypatch.setattr("study.export.log_export", away)
    refused = CliRunner().invoke(app, ["export", str(file)])
    assert refused.exit_code == 2 and "is exported, but not registered: MLflow is away" in refused.output
    assert (store.directory / "export" / "cl" / WEIGHTS).exists()
