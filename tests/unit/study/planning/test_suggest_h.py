"""H from the spectrum: the command, the key of a study file, and the choice that is stored with the study."""

import shutil
from pathlib import Path

import pytest
import torch

from search_spaces.domains import Choice, IntRange
from study.config.resolved_study import ResolvedStudy
from study.config.spectrum_rule import SpectrumRule, grid_of, neighbours
from study.config.study_config import StudyConfig
from study.errors import StudyError
from study.parsing.loader import load
from study.planning.plan import make_plan
from study.planning.resolve import resolve
from study.planning.saved_h import plan_lines, request, undecided_arms
from study.planning.suggest_h import Suggestion, print_suggestions, with_suggestion
from study.storage.lock import check_changes, record_study
from study.storage.store import StudyStore
from tests.helpers.paths import ROOT
from tests.helpers.plan_text import render_plan
from trainables.diagnostics.saturation import saturation
from trainables.diagnostics.spectra import singular_value_spectrum
from trainables.fitting import fit
from trainables.stages.artifacts import StageStore
from trainables.stages.bottleneck import bottleneck_stage

GOOD = ROOT / "tests" / "sweeps" / "good" / "h_from_spectrum.yaml"
BASE = """\
study: small
data: {dataset: mfeat, train: 70, val: 30}
teacher: {model: mlp, hidden: [8], feature_dim: 8}
student: {model: mlp, hidden: [8], feature_dim: 8}
training: {epochs: 1}
space: {batch_size: [32, 60]}
arms:
  mse: {method: ciba, bottleneck_epochs: 2, space: {H: {from_spectrum: {around: 1}}}}
  clip: {method: ciba, loss: clip, bottleneck_epochs: 2, space: {lambda_ib: [0.001, 0.1], H: {from_spectrum: }}}
  plain: {method: ciba, bottleneck_epochs: 2, space: {H: [1, 8]}}
  fixed: {method: ciba, H: 4}
search: {trials: 6, seeds: 2, sampler: grid, pruner: none}
"""


def write(folder: Path, *changes: tuple[str, str]) -> Path:
    text = BASE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "sweep.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every bottleneck of BASE is ready."""
    folder = tmp_path_factory.mktemp("computed")
    print_suggestions(write(folder), lambda line: None)
    return folder


@pytest.fixture
def folder(computed: Path, tmp_path: Path) -> Path:
    """A separate folder for each test, with the same stages."""
    shutil.copytree(computed / "studies", tmp_path / "studies")
    return tmp_path


def spectra(study: StudyConfig, arm: str, dims: tuple[int, ...]) -> dict[int, torch.Tensor]:
    """Read from the bottlenecks themselves."""
    store, found = StageStore(study.stages_directory), {}
    for dim in dims:
        stages = [bottleneck_stage(study.arm(arm).trial({"bottleneck_dim": dim}, seed)) for seed in study.search.seeds]
        assert all(store.has(stage) for stage in stages)
        made = [store.get(stage).arrays["train/reconstruction"] for stage in stages]
        found[dim] = torch.stack([singular_value_spectrum(reconstruction) for reconstruction in made])
    return found


# What a file says


def test_what_a_file_says() -> None:
    study = load(GOOD)
    mse, narrow, clip, fixed = (study.arm(name) for name in ("mse", "narrow", "clip", "fixed"))
    assert mse.space["bottleneck_dim"] == Choice((2, 4, 8, 16, 32)), "declared values up to the student's features"
    assert narrow.space["bottleneck_dim"] == Choice((2, 4, 8))
    assert mse.spectrum == SpectrumRule() == SpectrumRule(around=1, threshold=0.05, floor=1e-3)
    assert clip.spectrum == SpectrumRule(around=0, grid=(16, 4, 1), threshold=0.1, floor=0.01)
    assert fixed.spectrum is None and fixed.space == {}
    assert [arm.size() for arm in (mse, narrow, clip, fixed)] == [3, 3, 1, 1]


@pytest.mark.parametrize(
    ("domain", "grid"),
    [
        (Choice((8, 2, 4)), (2, 4, 8)),
        (IntRange(2, 5), (2, 3, 4, 5)),
        (IntRange(3, 100), (3, 4, 8, 16, 32, 64, 100)),
        (IntRange(2, 128, log=True), (2, 4, 8, 16, 32, 64, 128)),
        (IntRange(10, 100, step=10), (10, 20, 30, 40, 50, 60, 70, 80, 90, 100)),
    ],
)
def test_the_grid_of_a_domain(domain: Choice | IntRange, grid: tuple[int, ...]) -> None:
    assert grid_of(domain) == grid


def test_neighbours_stop_at_the_ends_of_the_grid() -> None:
    grid = (2, 4, 8, 16)
    assert neighbours(grid, 4, 1) == (2, 4, 8)
    assert neighbours(grid, 2, 1) == (2, 4) and neighbours(grid, 16, 2) == (4, 8, 16)
    assert neighbours(grid, 8, 0) == (8,)


# The command


def test_the_command_prints_the_rule_s_own_numbers_for_each_set_of_bottlenecks(folder: Path) -> None:
    path = write(folder)
    lines: list[str] = []
    print_suggestions(path, lines.append)
    tables = [line for line in lines if line.startswith("Arm")]
    assert len(tables) == 2, "the losses share their bottlenecks; the arm with a fixed H has no table"
    assert tables[0].startswith("Arms mse, clip: ") and "lambda_ib = 0.001" in tables[0] and "2 seeds" in tables[0]
    assert tables[1].startswith("Arm plain: ")
    found = saturation(spectra(load(path), "mse", (2, 4, 8)))
    shown = {int(line.split()[0]): line.split()[1:] for line in lines[2:5]}
    assert {dim: cells[0] for dim, cells in shown.items()} == {
        **{dim: f"{change:.3f}" for dim, change in found.changes.items()},
        8: "–",
    }
    assert [dim for dim, cells in shown.items() if "suggested" in cells] == [found.suggested]


def test_nothing_is_trained_twice(folder: Path) -> None:
    path = write(folder)
    lines: list[str] = []
    print_suggestions(path, lines.append)
    assert not any("training" in line for line in lines)
    study = load(path)
    fitted = fit(study.arm("clip").trial({"bottleneck_dim": 2}, 0), stages=StageStore(study.stages_directory))
    assert fitted.result.stages_computed == (), "the trial distils the very bottleneck"


def test_without_a_swept_h_the_command_says_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(BASE[: BASE.index("  mse")] + "  fixed: {method: ciba, H: 4}\n")
    with pytest.raises(StudyError, match=r"no arm sweeps the bottleneck dimension; write for example `H: \["):
        print_suggestions(path)


def test_a_bottleneck_that_diverges_is_one_line(folder: Path) -> None:
    path = write(folder, ("ciba, bottleneck_epochs: 2, space: {H: [1", "ciba, bottleneck_lr: 1e30, space: {H: [1"))
    with pytest.raises(
        StudyError, match=r"sweep.yaml: arms.plain: the bottlenecks could not be trained: .*bottleneck_lr"
    ):
        print_suggestions(path, lambda line: None)


# The choice


def suggestion_of(dim: int) -> Suggestion:
    return Suggestion(
        seeds=(0,), spectra={dim: (1.0,)}, changes={}, suggested=dim, saturated=True, threshold=0.05, chosen=(dim,)
    )


def begin(path: Path) -> ResolvedStudy:
    """What a run does before its search."""
    loaded = load(path)
    check_changes(loaded, path)
    study = resolve(loaded, compute=True, say=lambda line: None)
    record_study(study)
    return study


def looked_up(path: Path) -> ResolvedStudy:
    return resolve(load(path), compute=False)


def test_a_run_searches_the_suggested_h_and_its_neighbours(folder: Path) -> None:
    path = write(folder)
    study = begin(path)
    suggested = saturation(spectra(study, "mse", (2, 4, 8))).suggested
    chosen = Choice(neighbours((2, 4, 8), suggested, 1))
    for name in ("mse", "clip"):
        arm = study.arm(name)
        assert arm.space["bottleneck_dim"] == chosen
        assert arm.base.method.model_dump()["bottleneck_dim"] == suggested
        assert arm.size() == len(chosen.options) * 2 * (2 if name == "clip" else 1)
    assert study.arm("plain").space["bottleneck_dim"] == Choice((1, 8))
    assert looked_up(path) == study and load(path).arms != study.arms
    assert undecided_arms(study) == [], "the chosen study asks the same"
    assert request(with_suggestion(study.arm("mse"), suggestion_of(2))) == request(study.arm("mse"))


def test_a_resumed_study_keeps_its_choice_without_the_stages(folder: Path) -> None:
    path = write(folder)
    study = begin(path)
    shutil.rmtree(study.stages_directory)
    lines: list[str] = []
    assert resolve(load(path), compute=True, say=lines.append) == study and lines == []
    more = write(folder, ("seeds: 2", "seeds: 3"), ("{epochs: 1}", "{epochs: 1, lr: 0.01}"), ("[32, 60]", "[20]"))
    with pytest.raises(StudyError, match=r"training.lr"):
        check_changes(load(more), more)
    more = write(folder, ("seeds: 2", "seeds: 3"), ("[32, 60]", "[20]"))
    again = resolve(load(more), compute=True, say=lines.append)
    assert again.arm("mse").space["bottleneck_dim"] == study.arm("mse").space["bottleneck_dim"] and lines == []
    assert not (study.stages_directory / "bottleneck").exists()


def test_another_around_is_chosen_anew_from_the_same_stages_and_only_adds(folder: Path) -> None:
    before = begin(write(folder))
    path = write(folder, ("{around: 1}", "{around: 5}"))
    assert [arm.name for arm in undecided_arms(load(path))] == ["mse"]
    lines: list[str] = []
    changes = check_changes(load(path), path)
    study = resolve(load(path), compute=True, say=lines.append)
    assert study.arm("mse").space["bottleneck_dim"] == Choice((2, 4, 8))
    assert study.arm("clip") == before.arm("clip")
    assert len(lines) == 1 and "training" not in lines[0] and "the search tries H = 2, 4, 8" in lines[0]
    assert changes == ["arms.mse.space.bottleneck_dim.from_spectrum.around: 1 -> 5"]
    record_study(study)
    assert check_changes(load(path), path) == [], "the H that was chosen is no change of the file"


def test_another_bottleneck_reopens_the_choice(folder: Path) -> None:
    begin(write(folder))
    path = write(folder, ("mse: {method: ciba, bottleneck_epochs: 2", "mse: {method: ciba, bottleneck_epochs: 3"))
    assert [arm.name for arm in undecided_arms(load(path))] == ["mse"]
    path = write(folder, ("mse: {method: ciba, b", "mse: {method: ciba, lambda: 3, bottleneck_codes: 9, b"))
    assert undecided_arms(load(path)) == [], "what the bottleneck does not depend on"


# The plan


def test_the_plan_says_what_is_trained_first_and_then_what_was_chosen(folder: Path, tmp_path: Path) -> None:
    path = write(
        folder, ("clip: {method: ciba, loss: clip, bottleneck_epochs: 2", "clip: {method: ciba, bottleneck_epochs: 1")
    )
    study = looked_up(path)
    ready, to_train = plan_lines(study)
    assert ready == (
        "H of mse: the one that the spectrum suggests and 1 neighbour on each side, of 2, 4, 8; "
        "no bottleneck to train for it"
    )
    assert "of 2, 4, 8; 6 bottlenecks to train first, about 0:0" in to_train
    plan = make_plan(study, StudyStore(study.directory))
    assert [arm.size for arm in plan.arms if arm.name in ("mse", "clip")] == [6, 12]
    assert ready in render_plan(plan)
    begin(path)
    chosen = looked_up(path)
    lines = list(plan_lines(chosen))
    assert all(
        line.startswith(f"H of {arm}: already chosen by the spectrum: ")
        for line, arm in zip(lines, ("mse", "clip"), strict=True)
    )
