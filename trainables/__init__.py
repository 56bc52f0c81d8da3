"""Knowledge distillation of one trial: data, models, methods, stages and the training loop.

The public API is `fit`, `TrialConfig` and the tables of what a config can name: `DATASETS`, `MODELS` and `METHODS`.
Each is imported on first use, so that `import trainables` does not import torch. Ray, Optuna and MLflow are not needed.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.config import TrialConfig as TrialConfig
    from trainables.data import DATASETS as DATASETS
    from trainables.fitting import fit as fit
    from trainables.methods import METHODS as METHODS
    from trainables.models import MODELS as MODELS

__all__ = ["DATASETS", "METHODS", "MODELS", "TrialConfig", "fit"]

MODULES = {
    "DATASETS": "trainables.data",
    "METHODS": "trainables.methods",
    "MODELS": "trainables.models",
    "TrialConfig": "trainables.config",
    "fit": "trainables.fitting",
}
"""The module that defines each public name."""


def __getattr__(name: str) -> object:
    if name not in MODULES:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}; the public names are {', '.join(__all__)}"
        )
    return getattr(import_module(MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
