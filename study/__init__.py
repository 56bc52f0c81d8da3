"""Studies of knowledge distillation: one YAML file in, trained trials and a comparison of the arms out.

    import study

    quickstart = study.load("sweep.yaml")
    quickstart.run()
    print(quickstart.arms())

The names below are imported when they are first used, so `import study` imports neither torch nor Ray nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from study.api import BestConfiguration, Study, load
    from study.errors import StudyError
    from study.parsing.problems import StudyFileError

__all__ = ["BestConfiguration", "Study", "StudyError", "StudyFileError", "load"]

MODULES = {
    "BestConfiguration": "study.api",
    "Study": "study.api",
    "StudyFileError": "study.parsing.problems",
    "StudyError": "study.errors",
    "load": "study.api",
}
"""The module that defines each public name."""


def __getattr__(name: str) -> object:
    """Import a public name (PEP 562).

    Raises:
        AttributeError: if the package has no such name.
    """
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(MODULES[name]), name)


def __dir__() -> list[str]:
    """The public names, for completion in notebooks."""
    return sorted({*globals(), *__all__})
