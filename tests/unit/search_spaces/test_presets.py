"""Every shipped study loads, or reports what it needs.

A preset on public data names a relative `root`, which is not there: that must be the only complaint. With generated
copies of the official layouts they load in `test_media_presets.py`.
"""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from search_spaces.preset_files import preset_files
from study.parsing.loader import load
from study.parsing.problems import StudyFileError
from study.reference.presets import about, data_needed, read_preset
from study.run import app
from trainables.data import DATASETS

PRESETS = preset_files()
each = pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)


def location(path: Path) -> str | None:
    """Data set of a preset that needs files, or None."""
    name = read_preset(path).data.split(",")[0]
    return name if DATASETS[name].config.location else None


@each
def test_a_preset_says_what_it_is_about(path: Path) -> None:
    preset = read_preset(path)
    assert 20 < len(preset.about) < 240 and preset.data


@each
def test_a_preset_loads(path: Path) -> None:
    """Without its files, the only complaint is that they are missing."""
    if location(path) is None:
        study = load(path)
        assert study.study == path.stem
        return
    with pytest.raises(StudyFileError) as error:
        load(path)
    missing = [problem for problem in error.value.problems if "data" in problem.path or "root" in problem.message]
    assert missing == error.value.problems, str(error.value)


def test_what_is_said_comes_from_the_file() -> None:
    text = "# yaml-language-server: x\n#\n# What Fig. 3 is\n# about. And more.\n#\n# Else.\nstudy: a\n# no\n"
    assert about(text) == "What Fig. 3 is about."
    assert about("study: a\n") == ""
    assert data_needed({"dataset": "mfeat"}) == "mfeat"


@pytest.mark.slow
def test_the_command_lists_every_preset() -> None:
    done = CliRunner().invoke(app, ["presets"])
    assert done.exit_code == 0
    for path in PRESETS:
        assert str(path) in done.output and read_preset(path).about in done.output


@pytest.mark.parametrize(
    ("name", "trials"),
    [("ciba_fig3", 60), ("ciba_fig8", 180), ("ciba_mfh_gamma", 70), ("ciba_mfh_alpha", 60), ("ciba_nullify", 40)],
)
def test_synthetic_presets_have_ten_repeats_of_each_cell(name: str, trials: int) -> None:
    study = load(next(path for path in PRESETS if path.stem == name))
    assert sum((arm.size() or 0) for arm in study.arms) * 10 == trials and len(study.search.seeds) == 10
    assert all(arm.size() <= study.search.trials for arm in study.arms)
