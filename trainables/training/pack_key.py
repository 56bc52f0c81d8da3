"""Which trials may be trained as one pack: those whose computation has the same shape."""

from trainables.config import TrialConfig, digest

OF_TRAINING = ("epochs", "lr", "weight_decay", "momentum", "schedule", "select", "monitor")
"""Fields of `training` in which the members of a pack may differ."""


def pack_key(config: TrialConfig) -> str | None:
    """A key that is equal for trials whose trainings can be stacked; None for a trial that must be trained alone.

    Seeds, learning rates, weights of losses, temperatures, numbers of epochs and the bottleneck's dimension may differ,
    and so may fields that change targets or data but not their shapes: the teacher, its training, noise, gamma. Batch
    sizes, networks, data sets and the terms of a loss may not. The key depends on the config alone. If data of one
    key have different numbers of rows, `train_together` trains such members one after another.
    """
    if why_not_stacked(config):
        return None
    method, data = config.method, config.data
    seeds_and_levels = {name for name, value in data if isinstance(value, float) or name.endswith("_seed")}
    for_teacher = data.teacher_only if config.student.sees == "own" else ()
    values = config.model_dump(
        mode="json",
        include={"student": True, "data": True, "method": True, "training": True},
        exclude={
            "data": {*seeds_and_levels, *for_teacher},
            "method": set(method.stackable),
            "training": set(OF_TRAINING),
        },
    )
    width = config.teacher.feature_dim if method.teacher_source in ("teacher", "nullified") else 0
    return digest([values, method.active_terms, width])


def why_not_stacked(config: TrialConfig) -> str:
    """Why a trial can be trained in no pack, as `part name: reason`; empty if it can."""
    reasons = {
        f"student {config.student.kind}": config.student.why_not_stacked,
        f"method {config.method.kind}": config.method.why_not_stacked,
    }
    return "; ".join(f"{part}: {reason}" for part, reason in reasons.items() if reason)
