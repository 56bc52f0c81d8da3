"""Which trials may be trained as one pack: those that differ in numbers only."""

from trainables.config import TrialConfig, digest
from trainables.tasks import TASKS

NUMBERS_OF_TRAINING = ("epochs", "lr", "weight_decay", "momentum")
"""Fields of `training` in which the members of a pack may differ: each has its own."""


def pack_key(config: TrialConfig) -> str | None:
    """The same for trials whose trainings can be stacked; None for one that must be trained alone.

    Seeds, learning rates, weights of losses, temperatures and numbers of epochs may differ; shapes may not, so neither
    may batch sizes, networks, data sets or the bottleneck's dimension.
    """
    if why_alone(config):
        return None
    values = config.model_dump(mode="json", exclude={"seed": True, "training": set(NUMBERS_OF_TRAINING)})
    for name in config.method.stackable or ():
        del values["method"][name]
    return digest(values)


def why_alone(config: TrialConfig) -> str:
    """Why a trial can be trained in no pack; empty if it can."""
    method = getattr(config.method, "method")  # noqa: B009  (every method config names its method)
    if config.method.stackable is None:
        return f"the method {method} has no stacked form"
    if TASKS[config.data.task].draw is not None:
        return "its rows are drawn from several pictures and captions"
    return config.student.why_alone
