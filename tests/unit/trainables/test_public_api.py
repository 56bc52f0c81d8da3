"""The public names of `trainables`, and that importing the package is cheap."""

import json
import subprocess
import sys

import pytest

import trainables
from tests.helpers.paths import ROOT
from trainables import config, data, fitting, methods, models

HOMES = {"DATASETS": data, "METHODS": methods, "MODELS": models, "TrialConfig": config, "fit": fitting}


def test_public_names_are_the_objects_of_their_modules() -> None:
    assert sorted(trainables.__all__) == sorted(HOMES) == dir(trainables)
    for name, module in HOMES.items():
        assert getattr(trainables, name) is getattr(module, name)


def test_fit_is_the_function_after_every_module_was_imported() -> None:
    from trainables import fit

    assert callable(fit) and fit.__module__ == "trainables.fitting"


def test_an_unknown_name_lists_the_public_names() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'train'; the public names are .*fit"):
        getattr(trainables, "train")  # noqa: B009


def test_importing_the_package_imports_only_the_standard_library() -> None:
    code = "import json, sys; old = set(sys.modules); import trainables; print(json.dumps([*{*sys.modules} - old]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)} - {"trainables"}
    assert loaded <= sys.stdlib_module_names
