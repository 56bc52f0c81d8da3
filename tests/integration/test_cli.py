import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from rich.console import Console
from typer.testing import CliRunner, Result

from study.analysis.notation import show_params, show_summary
from study.analysis.study_results import study_results
from study.api import load as load_results
from study.config.study_config import StudyConfig
from study.console.status import print_status
from study.parsing.loader import load
from study.planning.resolve import resolve
from study.run import app
from study.runner import Run
from study.search.search import Search
from study.storage.groups import collect_groups
from study.storage.lock import is_locked, move_aside, read_driver, record_study, study_lock
from study.storage.store import StudyStore
from tests.helpers.example_store import example_study, fill, write_trial
from tests.helpers.paths import ROOT
from tests.helpers.stored_trials import stored_records
from trainables.common.child_process import ChildProcess, start
from trainables.stages.artifacts import StageStore
from trainables.stages.targets import teacher_stage

TINY = """\
study: tiny
data: {dataset: mfeat, teacher: pix, student: fou, labels: 100}
teacher: {model: mlp, hidden: [8], feature_dim: 8}
student: {model: mlp, hidden: [8], feature_dim: 8}
training: {epochs: 4, batch_size: 64}
arms:
  none: {method: none}
  kd: {method: kd, space: {temperature: [1, 2]}}
search: {sampler: grid, pruner: none, trials: 2, seeds: 2}
studies: studies
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A study of 6 small trials."""
    path = tmp_path / "sweep.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def ready(file: Path, empty_database: Path) -> Path:
    """The same study next to an MLflow database that already exists."""
    (file.parent / "studies").mkdir()
    shutil.copy(empty_database, file.parent / "studies")
    return file


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def finish_every_trial(path: Path, failing: tuple[str, int, int] | None = None) -> None:
    """What a complete run leaves in the store; one trial (arm, number, seed) may have failed."""
    study = resolve(load(path), compute=False)
    record_study(study)
    store = StudyStore(study.directory)
    search = Search(study, store)
    rng = np.random.default_rng(0)
    while job := search.next():
        status = "failed" if (job.trial.arm, job.trial.number, job.trial.seed) == failing else "complete"
        write_trial(store, job.config, status, 0.7, rng)
        result = store.trial(job.trial.trial_id).result()
        assert result
        search.complete(job.trial.trial_id, result)


@pytest.mark.parametrize("module", ["study.run", "study"])
def test_help_comes_at_once(module: str) -> None:
    arguments = [sys.executable, "-X", "importtime", "-m", module, "--help"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not {"torch", "ray", "mlflow", "optuna", "matplotlib"} & imported
    wanted = ("--dry-run", "--fresh", "--json") if module == "study.run" else ("status", "report", "sync", "ui")
    assert all(word in done.stdout for word in wanted)


@pytest.mark.parametrize("arguments", [("run",), ("criterion",), ("cch-theory",)], ids=" ".join)
def test_a_json_file_in_no_folder_is_refused_before_anything_starts(arguments: tuple[str, ...], file: Path) -> None:
    target = file.parent / "nowhere" / "summary.json"
    done = command(*arguments, *([] if arguments == ("cch-theory",) else [file]), "--json", target)
    assert done.exit_code == 2 and not (file.parent / "studies").exists()
    assert done.stderr.splitlines() == [
        f"--json {target}: there is no folder {target.parent}; create it, or name another file"
    ]


def test_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    done = command("--version")
    assert (done.exit_code, done.output) == (0, f"distillation-study {project['version']}\n")


def test_the_shell_can_complete_commands() -> None:
    done = CliRunner().invoke(
        app,
        [],
        prog_name="study",
        env={"_STUDY_COMPLETE": "complete_bash", "COMP_WORDS": "study su", "COMP_CWORD": "1"},
    )
    assert done.output.split() == ["suggest-h"]


@pytest.mark.slow
def test_a_shipped_study_is_run_by_its_name_in_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = command("run", "ciba_mfeat", "--dry-run")
    assert done.exit_code == 0, done.output
    first, second, *_ = done.stdout.splitlines()
    assert first == f"Shipped study ciba_mfeat: {ROOT / 'search_spaces/presets/ciba_mfeat.yaml'}"
    assert second == f"Its results go to {tmp_path}/studies/ciba_mfeat"
    assert not list(tmp_path.iterdir())
    assert "It has not been run yet" in command("status", "ciba_mfeat").stdout
    done = command("report", "ciba_mfeat")
    assert done.stderr.endswith("run `python -m study.run ciba_mfeat` first\n")


def test_a_file_takes_precedence_over_a_shipped_study_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ciba_mfeat").write_text(TINY)
    assert command("status", "ciba_mfeat").stdout.startswith(f"Study tiny in {tmp_path}/studies/tiny\n")


def test_explain_prints_the_reference_of_a_key_or_the_nearest_keys() -> None:
    done = command("explain", "data.coco")
    assert done.exit_code == 0
    assert "root" in done.stdout
    done = command("explain", "search.prunner")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("no key 'search.prunner' in a study file; did you mean search.pruner")
    assert done.stderr.count("\n") == 1


def test_an_unknown_name_is_answered_with_the_nearest_shipped_studies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("run", "status", "report", "sync", "ui", "export", "suggest-h", "criterion"):
        done = command(name, "ciba_mfet")
        assert (done.exit_code, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("ciba_mfet: no such file, and no shipped study of this name; did you mean ciba_mfeat")
        assert line.endswith("`study presets` lists the shipped studies")


def test_a_wrong_file_is_answered_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(TINY.replace("seeds: 2", "seeds: 2, trails: 3").replace("kd: {method", "kd: {metod"))
    for name in ("run", "status", "report", "sync", "ui"):
        done = command(name, path)
        assert (done.exit_code, done.stdout) == (2, "")
        lines = done.stderr.splitlines()
        assert len(lines) >= 2
        assert all(line.startswith(f"{path}:") for line in lines)
    assert not (tmp_path / "studies").exists()


def test_commands_on_a_study_that_never_ran_say_so(file: Path) -> None:
    for name in ("report", "sync", "ui"):
        done = command(name, file)
        assert done.exit_code == 2
        assert done.stderr == (
            f"{file}: {file.parent}/studies/tiny contains no results yet; run `python -m study.run {file}` first\n"
        )
    done = command("status", file)
    assert done.exit_code == 0
    assert "It has not been run yet" in done.stdout
    assert not (file.parent / "studies").exists()


@pytest.mark.slow
def test_only_one_process_runs_a_study(file: Path) -> None:
    directory = load(file).directory
    with study_lock(directory):
        assert is_locked(directory)
        done = command("run", file)
        driver = read_driver(directory)
    assert done.exit_code == 2
    assert driver
    assert f"process {driver.pid} on {driver.host} runs this one" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not is_locked(directory)


@pytest.mark.parametrize("arguments", [["run"], ["run", "--dry-run"]])
def test_results_that_could_not_be_compared_stop_the_run(file: Path, arguments: list[str]) -> None:
    finish_every_trial(file)
    stored = (file.parent / "studies/tiny/study.json").read_bytes()
    file.write_text(TINY.replace("student: fou", "student: zer"))
    done = command(*arguments, file)
    assert done.exit_code == 2
    first, difference, ways = done.stderr.splitlines()
    assert first.startswith(f"{file}: the results in {file.parent}/studies/tiny cannot be compared")
    assert difference == "  data.student: fou -> zer"
    assert "--fresh" in ways
    assert "`study:`" in ways
    assert (file.parent / "studies/tiny/study.json").read_bytes() == stored


def test_a_study_of_another_version_stops_the_run(file: Path) -> None:
    finish_every_trial(file)
    stored = file.parent / "studies/tiny/study.json"
    stored.write_text(json.dumps(json.loads(stored.read_text()) | {"arms": [{"name": "none"}]}))
    done = command("run", file)
    assert done.exit_code == 2
    assert "was written by another version" in done.stderr
    assert "--fresh" in done.stderr


def test_setting_aside_keeps_everything(file: Path) -> None:
    directory = load(file).directory
    assert move_aside(directory) is None
    finish_every_trial(file)
    trials = sorted(path.name for path in directory.glob("trials/*"))
    aside = move_aside(directory)
    assert aside
    assert aside.name.startswith("tiny.old-")
    assert not directory.exists()
    assert sorted(path.name for path in aside.glob("trials/*")) == trials
    assert len(trials) == 6


@pytest.mark.slow
def test_a_running_study_is_not_set_aside(file: Path) -> None:
    finish_every_trial(file)
    with study_lock(load(file).directory):
        done = command("run", file, "--fresh")
    assert done.exit_code == 2
    assert "only one process may run a study" in done.stderr
    assert len(list(file.parent.glob("studies/tiny/trials/*"))) == 6


def test_a_dry_run_starts_and_writes_nothing(file: Path) -> None:
    done = command("run", file, "--dry-run")
    assert done.exit_code == 0
    assert "kd" in done.stdout
    assert not (file.parent / "studies").exists()


@pytest.mark.slow
def test_status_tells_where_a_study_stands(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    store = StudyStore(study.directory)
    fill(study, store, groups=4)
    lost = study.arm("ciba").trial(store.proposals("ciba")[1].params, 2)
    (store.trial(lost.trial_id).path / "result.json").unlink()  # as after a kill, four epochs in
    with study_lock(study.directory):
        lines = status_lines(study)
    assert lines[0] == f"Study example in {study.directory}"
    assert f"Process {os.getpid()} on " in lines[1]
    assert "has been running it for 0:0" in lines[1]
    assert lines[2].startswith("A trial last wrote 0:0")
    assert lines[3] == "arm configurations trials best val/accuracy % n hyperparameters"
    assert lines[4].startswith("none 2 of 2 6 complete")
    assert lines[5].startswith("kd 4 of 6 8 complete, 1 pruned, 1 failed ")
    assert lines[6].startswith("ciba 4 of 6 7 complete, 1 pruned, 1 failed, 1 unfinished ")
    best = study_results(study, collect_groups(study, store)).arm("kd")
    assert best.best
    assert lines[5].endswith(f"{show_summary(best.objective, 'val/accuracy')} 3 {show_params(best.best.params)}")
    assert lines[7] == "kd #3 seed 1: failed, NonFiniteLossError: loss is nan"
    assert lines[8].startswith("ciba #1 seed 2: 4 of 4 epochs, val/accuracy % ")
    assert lines[9] == "ciba #3 seed 1: failed, NonFiniteLossError: loss is nan"
    assert len(lines) == 10
    assert status_lines(study)[1].startswith("No process runs it now; ")


def status_lines(study: StudyConfig) -> list[str]:
    file = io.StringIO()
    print_status(study, Console(file=file, width=160))
    return [" ".join(line.split()) for line in file.getvalue().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(("failing", "exit_code"), [(None, 0), (("kd", 1, 1), 3)])
def test_a_complete_study_runs_nothing_and_is_reported_anew(
    ready: Path, failing: tuple[str, int, int] | None, exit_code: int
) -> None:
    file = ready
    finish_every_trial(file, failing)
    summary = file.parent / "summary.json"
    arguments = [sys.executable, "-m", "study.run", str(file), "--json", str(summary)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (exit_code, "")
    directory = file.parent / "studies/tiny"
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"Study tiny; output of Ray and MLflow goes to {directory}/logs/")
    assert lines[1] == "The study is complete: 6 trials are in the store, nothing to run"
    assert lines[-3] == f"report     {directory}/report/report.html"
    assert lines[-2] == f"directory  {directory}"
    assert lines[-1].endswith(f"-m study ui {file}")
    assert (directory / "report/report.html").exists()
    assert not (directory / "ray").exists()
    written = json.loads(summary.read_text())
    failed = int(failing is not None)
    assert list(written) == [
        "study", "directory", "status", "trials", "stages", "best", "seconds", "mlflow", "report",
    ]  # fmt: skip
    assert (written["study"], written["directory"], written["status"]) == ("tiny", str(directory), "complete")
    assert written["trials"] == {
        "planned": 6, "complete": 6 - failed, "pruned": 0, "failed": failed, "reused": 6, "skipped": 0,
    }  # fmt: skip
    assert written["stages"] == {"computed": 1, "reused": 6, "elsewhere": 1, "seconds_saved": 15.0}
    assert [list(best) for best in written["best"]] == [
        ["arm", "group_id", "params", "metric", "mean", "std", "n"] for _ in written["best"]
    ]
    assert [(best["arm"], best["metric"], best["n"]) for best in written["best"]] == [
        ("none", "val/accuracy", 2),
        ("kd", "val/accuracy", 2),
    ]
    assert written["seconds"]["training"] == 0
    assert written["seconds"]["orchestration_per_trial"] is None
    assert list(written["mlflow"]) == ["tracking_uri", "experiment", "run_id"]
    assert written["mlflow"]["run_id"]
    assert written["report"] == str(directory / "report/report.html")


@pytest.mark.slow
def test_the_api_runs_a_study_as_the_command_does(ready: Path, capfd: pytest.CaptureFixture[str]) -> None:
    finish_every_trial(ready, ("kd", 1, 1))
    results = load_results(ready)
    assert results.run() == 3
    output, errors = capfd.readouterr()
    assert errors == ""
    assert "The study is complete: 6 trials are in the store, nothing to run\n" in output
    assert f"report     {results.directory}/report/report.html\n" in output
    assert results.trials().status.tolist().count("failed") == 1


ASIDE = """
import sys
from pathlib import Path
from rich.console import Console
from study.parsing.loader import load
from study.planning.resolve import resolve
from study.runner import Run
path = Path(sys.argv[1])
run = Run(resolve(load(path), compute=False), path, Console(width=120))
tracker = run.open_tracker()
tracker.start()
report, table = run.write_report(None, aside=True)
run.console.print(table)
run.close_tracker(tracker)
print(report.exists(), run.tracked.run_id != "")
print(sorted({"mlflow", "sqlalchemy", "matplotlib", "statsmodels", "scipy"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_a_driver_leaves_report_and_mlflow_to_other_processes(ready: Path) -> None:
    finish_every_trial(ready)
    arguments = [sys.executable, "-c", ASIDE, str(ready)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "best hyperparameters" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["True True", "[]"]


@pytest.mark.slow
def test_a_report_whose_process_is_killed_is_named_with_its_remedy(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish_every_trial(file)
    said = io.StringIO()
    run = Run(resolve(load(file), compute=False), file, Console(file=said, width=200))
    monkeypatch.setattr("study.runner.ChildProcess", KilledChild)
    message = r"^the process that writes the report died \(exit code -9\); \S+ -m study report .*sweep.yaml writes it"
    with pytest.raises(RuntimeError, match=message):
        run.write_report(None, aside=True)
    again = command("report", file)
    assert (again.exit_code, (run.study.directory / "report/report.html").exists()) == (0, True), again.output


class KilledChild(ChildProcess):
    """One that is out of memory as soon as it is asked."""

    def call(self, function: Any, *arguments: Any) -> Any:
        self.process = start()
        self.process.kill()
        return super().call(function, *arguments)


@pytest.mark.slow
def test_ctrl_c_stops_and_the_same_command_goes_on(file: Path) -> None:
    file.write_text(TINY.replace("epochs: 4", "epochs: 100"))
    summary = file.parent / "summary.json"
    arguments = [sys.executable, "-u", "-m", "study.run", str(file), "--json", str(summary)]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        with blocked_teachers(load(file)):  # so that the arm `kd` cannot end before the signal
            read_until(process, "1/6")
            process.send_signal(signal.SIGINT)
            read_until(process, "stopping; finished epochs are kept")
        out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    assert f"-m study.run {file}" in out
    interrupted = json.loads(summary.read_text())
    assert interrupted["status"] == "interrupted"
    assert 1 <= interrupted["trials"]["complete"] < 6
    assert Path(interrupted["report"]).exists()
    assert interrupted["mlflow"]["run_id"]

    again = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (0, "")
    assert f"{interrupted['trials']['complete']} trial" in again.stdout
    complete = json.loads(summary.read_text())
    assert complete["status"] == "complete"
    reused = interrupted["trials"]["complete"]
    assert complete["trials"] == {"planned": 6, "complete": 6, "pruned": 0, "failed": 0, "reused": reused, "skipped": 0}
    assert complete["seconds"]["training"] > 0
    assert complete["mlflow"]["run_id"] == interrupted["mlflow"]["run_id"]
    trials = stored_records(StudyStore(file.parent / "studies/tiny"))
    assert [trial.result.status for trial in trials if trial.result] == ["complete"] * 6


@contextmanager
def blocked_teachers(study: StudyConfig) -> Iterator[None]:
    """While the block runs, the trials that need a teacher wait, as if another process were training it."""
    stages = StageStore(study.stages_directory)
    arm = study.arm("kd")
    with ExitStack() as locks:
        for seed in study.search.seeds:
            stage = teacher_stage(arm.trial({"temperature": 1.0}, seed))
            path = stages.path(stage).with_suffix(".lock")
            path.parent.mkdir(parents=True, exist_ok=True)
            locks.enter_context(FileLock(path))
        yield


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Read the process's output up to a line with the text."""
    assert process.stdout and process.stderr
    while text not in (line := process.stdout.readline()):
        assert line, process.stderr.read()
