"""What the README shows is true: its study runs, its Python runs, its reference is today's."""

import re
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_study_runs(text: str, ray_cluster: None, tmp_path: Path) -> None:
    from study.execution.driver import drive
    from study.parsing.loader import load
    from study.report.write import write_report
    from study.search.search import Search
    from study.storage.store import StudyStore

    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    study = load(file)
    store = StudyStore(study.directory)
    search = Search(study, store)
    assert drive(study, store, search, lambda event: None) == "complete"
    assert search.counts.failed == 0 and search.counts.complete >= 2 * len(study.arms)
    assert write_report(study, store).exists()


@pytest.mark.parametrize("code", blocks("python"))
def test_every_python_block_runs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {})
    assert 0.5 < float(capsys.readouterr().out.splitlines()[-1]) < 1


def test_there_is_something_to_test() -> None:
    assert blocks("yaml") and blocks("python")


def test_the_error_it_shows_is_the_one_that_is_printed(tmp_path: Path) -> None:
    from study.parsing.loader import load
    from study.parsing.problems import StudyFileError

    shown = re.search(r"sweep\.yaml:\d+:\d+: (arms\.ciba\S*: 2048 .*)", README)
    assert shown
    file = tmp_path / "sweep.yaml"
    file.write_text((ROOT / "sweep.yaml").read_text().replace("H: [2,", "H: [2048,"))
    with pytest.raises(StudyFileError) as caught:
        load(file)
    assert shown.group(1) in str(caught.value)
