"""Information bottlenecks: one file each, and one line here. `training.train_bottleneck` trains any of them."""

from collections.abc import Callable

from trainables.bottlenecks.base import Bottleneck
from trainables.bottlenecks.dvib import DVIB

BOTTLENECKS: dict[str, Callable[..., Bottleneck]] = {
    "dvib": DVIB,
}
"""`BOTTLENECKS[config.bottleneck](config, teacher_dim, student_dim)`, initialised from torch's global generator."""
