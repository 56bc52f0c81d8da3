import math
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import study
import study.run_process
from study.config.study_config import StudyConfig
from study.parsing.loader import load
from study.run_process import run_process
from study.storage.lock import study_lock
from study.storage.store import Proposal, StudyStore
from tests.helpers.example_store import write_result
from tests.helpers.paths import ROOT
from trainables.common.results import EpochReport, TrialError, TrialResult

YAML = """\
study: tiny
data: {dataset: mfeat, teacher: pix, student: fou, labels: 100}
teacher: {model: mlp, hidden: [8], feature_dim: 8}
student: {model: mlp, hidden: [8], feature_dim: 8}
training: {epochs: 4, batch_size: 64}
arms:
  none: {method: none, space: {batch_size: [32, 64]}}
  kd: {method: kd, space: {temperature: [1, 2, 4]}}
  ciba: {method: ciba, space: {H: [2, 4, 8]}}
search: {sampler: grid, pruner: none, trials: 3, seeds: 2}
studies: studies
"""

FIXED = ["arm", "number", "seed", "group_id", "trial_id", "status", "trained_epochs", "selected_epoch", "seconds"]
SWEPT = ["batch_size", "temperature", "bottleneck_dim"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A study that has not been run."""
    path = tmp_path / "sweep.yaml"
    path.write_text(YAML)
    return path


@pytest.fixture
def filled(file: Path) -> study.Study:
    """The same study with complete, pruned, failed and unfinished trials."""
    config = load(file)
    store = StudyStore(config.directory)
    write_result(config, store, "none", 0, {"batch_size": 32}, [(0.5, 0.4), (0.7, 0.6)])
    write_result(config, store, "kd", 0, {"temperature": 1.0}, [(0.6, 0.5), (0.8, 0.7)])
    history = [{"val/accuracy": 0.2}, {"val/accuracy": 0.3}]
    pruned = TrialResult("pruned", history[-1], 2, 1, 0.5)
    write_trials(config, "kd", 1, {"temperature": 2.0}, [(history, pruned)])
    complete = TrialResult("complete", {"val/accuracy": 0.9, "test/accuracy": 0.8}, 2, 2, 1.0)
    failed = TrialResult("failed", {}, 1, 0, 0.2, error=TrialError("NonFiniteLossError", "loss is nan", 2, 17))
    write_trials(config, "kd", 2, {"temperature": 4.0}, [(history, complete), (history[:1], failed)])
    write_trials(config, "ciba", 0, {"bottleneck_dim": 2}, [(history, complete), (history, None)])
    return study.load(file)


Outcome = tuple[list[dict[str, float]], TrialResult | None]


def write_trials(config: StudyConfig, arm: str, number: int, params: dict, outcomes: list[Outcome]) -> None:
    """One configuration; for each seed the metrics of its epochs and its result, if it has one."""
    store = StudyStore(config.directory)
    trials = [config.arm(arm).trial(params, seed) for seed in config.search.seeds]
    store.propose(Proposal(arm, number, trials[0].group_id, params))
    for trial, (history, result) in zip(trials, outcomes, strict=False):
        directory = store.trial(trial.trial_id)
        directory.begin(trial, 0)
        for epoch, metrics in enumerate(history, 1):
            directory.append(EpochReport(epoch, metrics))
        if result:
            directory.finish(result)


def test_importing_study_imports_no_large_library() -> None:
    large = {"torch", "ray", "pandas", "numpy", "pydantic"}
    code = f"import sys, study; print(dir(study)); print({large} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    names, imported = done.stdout.splitlines()
    assert imported == "set()"
    assert all(repr(name) in names for name in study.__all__)


def test_every_public_name_is_there_and_others_are_not() -> None:
    assert all(hasattr(study, name) for name in study.__all__)
    with pytest.raises(AttributeError, match="module 'study' has no attribute 'lead'"):
        _ = study.lead  # pyright: ignore[reportAttributeAccessIssue]


def test_a_trial_is_a_row(filled: study.Study) -> None:
    trials = filled.trials()
    assert list(trials) == [*FIXED, *SWEPT, "test/accuracy", "val/accuracy", "error"]
    assert list(zip(trials.arm, trials.number, trials.seed, trials.status, strict=True)) == [
        ("none", 0, 0, "complete"),
        ("none", 0, 1, "complete"),
        ("kd", 0, 0, "complete"),
        ("kd", 0, 1, "complete"),
        ("kd", 1, 0, "pruned"),
        ("kd", 2, 0, "complete"),
        ("kd", 2, 1, "failed"),
        ("ciba", 0, 0, "complete"),
        ("ciba", 0, 1, "unfinished"),
    ]
    assert trials["val/accuracy"].fillna(-1).tolist() == [0.5, 0.7, 0.6, 0.8, 0.3, 0.9, -1, 0.9, -1]
    assert trials["test/accuracy"].fillna(-1).tolist() == [0.4, 0.6, 0.5, 0.7, -1, 0.8, -1, 0.8, -1]
    assert trials.trained_epochs.tolist() == [1, 1, 1, 1, 2, 2, 1, 2, 2]
    assert trials.selected_epoch.fillna(-1).tolist() == [1, 1, 1, 1, -1, 2, -1, 2, -1]
    assert trials.seconds.fillna(-1).tolist() == [1, 1, 1, 1, 0.5, 1, 0.2, 1, -1]
    assert trials.error.dropna().tolist() == ["NonFiniteLossError: loss is nan"]
    assert [column for column in trials if trials[column].dtype == "object" and column in SWEPT] == []


def test_hyperparameters_are_columns_of_their_own_type(filled: study.Study) -> None:
    trials = filled.trials()
    assert trials.batch_size.dtype == trials.bottleneck_dim.dtype == "Int64"
    assert trials[trials.arm == "none"].batch_size.tolist() == [32, 32]
    assert trials[trials.arm == "none"].temperature.isna().all()
    assert trials[trials.arm == "kd"].temperature.tolist() == [1, 1, 2, 4, 4]
    assert trials[trials.arm == "ciba"].bottleneck_dim.tolist() == [2, 2]


def test_ids_are_those_of_the_store(filled: study.Study) -> None:
    trials = filled.trials()
    assert {path.parent.name for path in filled.directory.glob("trials/*/config.json")} == set(trials.trial_id)
    kd = filled.config.arm("kd")
    second = trials[(trials.arm == "kd") & (trials.number == 2) & (trials.seed == 1)]
    assert second.trial_id.tolist() == [kd.trial({"temperature": 4.0}, 1).trial_id]
    assert second.group_id.tolist() == [kd.trial({"temperature": 4.0}, 0).group_id]


def test_a_configuration_is_a_row_with_mean_and_deviation_of_its_complete_trials(filled: study.Study) -> None:
    table = filled.configurations()
    statistics = ["test/accuracy mean", "test/accuracy std", "val/accuracy mean", "val/accuracy std"]
    assert list(table) == ["arm", "number", "group_id", "status", "best", "n", *SWEPT, *statistics]
    assert list(zip(table.arm, table.number, table.status, table.best, table.n, strict=True)) == [
        ("none", 0, "complete", True, 2),
        ("kd", 0, "complete", True, 2),
        ("kd", 1, "pruned", False, 0),
        ("kd", 2, "failed", False, 1),
        ("ciba", 0, "unfinished", False, 1),
    ]
    assert table["val/accuracy mean"].fillna(-1).tolist() == pytest.approx([0.6, 0.7, -1, 0.9, 0.9])
    deviation = math.sqrt(0.02)  # of 0.5 and 0.7, and of 0.6 and 0.8: both 0.1 from their mean, n - 1 = 1
    assert table["val/accuracy std"].fillna(-1).tolist() == pytest.approx([deviation, deviation, -1, -1, -1])
    assert table["test/accuracy mean"].fillna(-1).tolist() == pytest.approx([0.5, 0.6, -1, 0.8, 0.8])


def test_arms_are_the_table_of_the_report(filled: study.Study) -> None:
    arms = filled.arms().set_index("arm")
    assert arms.index.tolist() == ["none", "kd", "ciba"]
    assert arms.configurations.tolist() == [1, 1, 0]
    assert arms.objective_mean.fillna(-1).tolist() == pytest.approx([0.6, 0.7, -1])
    assert arms.test_mean.fillna(-1).tolist() == pytest.approx([0.5, 0.6, -1])
    assert arms.difference.fillna(-1).tolist() == pytest.approx([-1, 0.1, -1])
    # Welch with n = 2 twice and equal deviations: t = 0.1 / 0.1414 = 1 / sqrt(2), 2 degrees of freedom, for which
    # P(|T| > t) = 1 - t / sqrt(2 + t^2) = 1 - sqrt(0.5 / 2.5).
    assert arms.welch_p["kd"] == arms.holm_p["kd"] == pytest.approx(1 - math.sqrt(0.2))
    assert arms.no_p_because["ciba"] == "this arm has no complete configuration"


def test_the_best_configuration_of_an_arm(filled: study.Study) -> None:
    best = filled.best("kd")
    trials = [filled.config.arm("kd").trial({"temperature": 1.0}, seed) for seed in (0, 1)]
    assert best[:4] == ("kd", 0, trials[0].group_id, {"temperature": 1.0})
    assert (best.metric, best.n) == ("val/accuracy", 2)
    assert (best.mean, best.std) == pytest.approx((0.7, math.sqrt(0.02)))
    assert best.trial_ids == tuple(trial.trial_id for trial in trials)


def test_best_names_what_it_does_not_have(filled: study.Study) -> None:
    with pytest.raises(ValueError, match="arm must be one of none, kd, ciba, but got 'KD'"):
        filled.best("KD")
    with pytest.raises(
        ValueError, match=r"metric must be an objective of the study \(val/accuracy\), but got 'val/loss'"
    ):
        filled.best("kd", "val/loss")
    with pytest.raises(study.StudyError, match="arm 'ciba' has no complete configuration yet; run `python -m"):
        filled.best("ciba")


def test_curves_have_a_row_an_epoch(filled: study.Study) -> None:
    trials = filled.trials()
    for status, epochs in {"pruned": [1, 2], "failed": [1], "unfinished": [1, 2]}.items():
        curves = filled.curves(trials[trials.status == status].trial_id.item())
        assert (curves.index.name, curves.index.tolist()) == ("epoch", epochs)
        assert curves["val/accuracy"].tolist() == [0.2, 0.3][: len(epochs)]
    with pytest.raises(ValueError, match=r"trial_id must be one of the trials in .*tiny, but got 'abc'; `trials\(\)`"):
        filled.curves("abc")


def test_a_trial_that_has_started_and_finished_no_epoch_has_empty_curves(file: Path) -> None:
    config = load(file)
    write_trials(config, "kd", 0, {"temperature": 1.0}, [([], None)])
    loaded = study.load(file)
    assert loaded.curves(loaded.trials().trial_id.item()).empty
    assert loaded.trials()[["status", "trained_epochs"]].values.tolist() == [["unfinished", 0]]


def test_a_study_that_has_not_been_run_has_empty_tables(file: Path) -> None:
    new = study.load(str(file))
    assert repr(new) == f"<Study 'tiny' in {file.parent}/studies/tiny>"
    assert (len(new.trials()), list(new.trials())) == (0, [*FIXED, *SWEPT, "val/accuracy", "error"])
    statistics = ["val/accuracy mean", "val/accuracy std"]
    columns = ["arm", "number", "group_id", "status", "best", "n", *SWEPT, *statistics]
    assert (len(new.configurations()), list(new.configurations())) == (0, columns)
    assert new.arms().configurations.tolist() == [0, 0, 0]
    with pytest.raises(study.StudyError, match="no complete configuration"):
        new.best("kd")
    assert not new.directory.exists()


def test_several_objectives(file: Path) -> None:
    objectives = "objectives: [{metric: val/accuracy}, {metric: val/loss, direction: minimize}]"
    file.write_text(YAML.replace("sampler: grid", f"{objectives}, sampler: grid"))
    config = load(file)
    values = [("none", 0, {"batch_size": 32}, 0.5, 1.0), ("kd", 0, {"temperature": 1.0}, 0.8, 2.0)]
    values += [("kd", 1, {"temperature": 2.0}, 0.6, 0.5), ("kd", 2, {"temperature": 4.0}, 0.6, 2.5)]
    for arm, number, params, accuracy, loss in values:
        result = TrialResult("complete", {"val/accuracy": accuracy, "val/loss": loss}, 1, 1, 1.0)
        write_trials(config, arm, number, params, [([], result), ([], result)])
    loaded = study.load(file)
    table = loaded.configurations()
    # kd #1 is at least as good as none #0 and kd #2 in both objectives; kd #0 has the best accuracy.
    assert table.pareto_front.tolist() == [False, True, True, False]
    assert table.best.tolist() == [True, True, False, False]
    assert (loaded.best("kd").params, loaded.best("kd", "val/loss").params) == (
        {"temperature": 1.0},
        {"temperature": 2.0},
    )
    assert (loaded.best("kd", "val/loss").mean, loaded.best("kd", "val/loss").std) == (0.5, 0)


def test_a_wrong_file_is_refused_with_all_its_problems(file: Path) -> None:
    loaded = study.load(file)
    file.write_text(YAML.replace("seeds: 2", "seeds: 0").replace("kd: {method: kd", "kd: {method: kt"))
    for call in (lambda: study.load(file), loaded.run):
        with pytest.raises(study.StudyFileError) as caught:
            call()
        assert [problem.path for problem in caught.value.problems] == ["arms.kd.method", "search.seeds"]
        assert all(line.startswith(f"{file}:") for line in str(caught.value).splitlines())


@pytest.mark.slow
def test_a_refused_run_raises_with_the_message_of_the_command(file: Path) -> None:
    loaded = study.load(file)
    with study_lock(loaded.directory), pytest.raises(study.StudyError, match="only one process may run a study"):
        loaded.run()


SLEEPER = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: (print("stopped"), sys.exit(130)))
print("a warning", file=sys.stderr)
print("started")
time.sleep(600)
"""


def test_an_interrupt_is_passed_on_once_and_the_rest_of_the_output_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    original, calls = study.run_process.print_lines, []

    def interrupted(lines: Iterable[str]) -> None:
        calls.append(1)
        if len(calls) > 1:
            return original(lines)
        original([next(iter(lines))])
        raise KeyboardInterrupt

    monkeypatch.setattr(study.run_process, "print_lines", interrupted)
    assert run_process(["sleeper"]) == (130, "a warning\n")
    assert capsys.readouterr().out == "started\nstopped\n"
