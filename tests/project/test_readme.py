"""The studies of README and guides run to the end, in a short form; the README is short and what it shows is true."""

import re
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from tests.project.test_docs import blocks

README = (ROOT / "README.md").read_text()
STUDIES = {block.text: block.page for block in blocks("yaml") if re.search(r"^study: which_", block.text, re.MULTILINE)}
"""Page by text: a study that is shown twice is run once."""


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("text", STUDIES, ids=STUDIES.values())
def test_every_study_runs(text: str, ray_cluster: None, tmp_path: Path) -> None:
    from study.execution.driver import drive
    from study.parsing.loader import load
    from study.planning.resolve import resolve
    from study.report.write import write_report
    from study.search.search import Search
    from study.storage.store import StudyStore

    file = tmp_path / "sweep.yaml"
    file.write_text(re.sub(r"epochs: \d+", "epochs: 2", text))
    study = resolve(load(file), compute=False)
    store = StudyStore(study.directory)
    search = Search(study, store)
    assert drive(study, store, search, lambda event: None) == "complete"
    assert search.counts.failed == 0 and search.counts.complete >= 2 * len(study.arms)
    assert write_report(study, store).exists()


def test_the_studies_with_and_without_a_criterion_are_run() -> None:
    assert {"README.md", "docs/guides/criterion.md"} <= {
        block.page for block in blocks("yaml") if block.text in STUDIES
    }
    assert all("epochs: " in text for text in STUDIES)


def test_the_readme_is_short_and_shows_two_screenshots() -> None:
    assert len(README.splitlines()) < 200
    images = re.findall(r"!\[[^\]]+\]\((docs/images/\w+\.png)\)", README)
    assert len(images) == 2 and all((ROOT / image).stat().st_size < 300_000 for image in images)


def test_the_error_it_shows_is_the_one_that_is_printed(tmp_path: Path) -> None:
    from study.parsing.loader import load
    from study.parsing.problems import StudyFileError

    file = tmp_path / "sweep.yaml"
    for page in ("README.md", "docs/guides/write_a_study.md"):
        shown = re.search(r"sweep\.yaml:\d+:\d+: arms\.ciba\S*: 2048 .*", (ROOT / page).read_text())
        example = next(block.text for block in blocks("yaml") if block.page == page)
        assert shown and "H: [4, 16]" in example
        file.write_text(example.replace("H: [4, 16]", "H: [4, 2048]"))
        with pytest.raises(StudyFileError) as caught:
            load(file)
        assert str(caught.value) == f"{tmp_path}/{shown.group()}"
