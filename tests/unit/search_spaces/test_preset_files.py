from pathlib import Path

import pytest

from search_spaces.preset_files import locate, preset_files
from study.parsing.loader import load
from study.parsing.problems import StudyFileError


@pytest.mark.parametrize("name", ["ciba_mfeat", "cch_synthetic"])
def test_results_of_a_preset_go_to_the_current_directory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = load(Path(name))
    assert study.directory.parent == tmp_path / "studies"
    assert study.tracking.uri == f"sqlite:///{tmp_path}/studies/mlflow.db"
    assert not list(tmp_path.iterdir())


def test_data_of_a_preset_is_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyFileError, match=rf"^te_cross_dataset:11:7: data: .*{tmp_path}/data/coco"):
        load(Path("te_cross_dataset"))


def test_every_preset_says_where_its_results_go() -> None:
    assert [file.name for file in preset_files() if "\nstudies: ../../studies" not in file.read_text()] == []


def test_a_path_is_a_file_with_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (Path("x.yaml"), Path("folder/ciba_mfeat"), tmp_path / "ciba_mfeat"):
        assert locate(path) == (path, (tmp_path / path).parent, False)
    assert locate(Path("ciba_mfeat")).is_preset
    Path("ciba_mfeat").write_text("")
    assert locate(Path("ciba_mfeat")) == (Path("ciba_mfeat"), tmp_path, False)


def test_the_file_name_of_a_preset_is_answered_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("te_emoji.yaml", "presets/te_emoji.yaml"):
        with pytest.raises(StudyFileError, match=rf"^{name}: no such file; to use the .* this name, write te_emoji$"):
            load(Path(name))


def test_a_name_that_is_nothing_is_answered_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyFileError, match=r"^cch_mfaet: no such file, .* did you mean cch_mfeat.*\?") as caught:
        load(Path("cch_mfaet"))
    assert len(caught.value.problems) == 1
    with pytest.raises(StudyFileError, match=r"of this name; `study presets` lists the shipped studies$"):
        load(Path("zzz"))
