"""Information bottlenecks: one file each, and one line here. `training.train_bottleneck` trains any of them."""

from trainables.bottlenecks.base import Bottleneck
from trainables.bottlenecks.dvib import DVIB
from trainables.bottlenecks.self_attention import SelfAttention
from trainables.bottlenecks.vq import VQ

BOTTLENECKS: dict[str, type[Bottleneck]] = {
    "dvib": DVIB,
    "sa": SelfAttention,
    "vq": VQ,
}
"""`BOTTLENECKS[config.bottleneck](config, teacher_dim, student_dim)`, initialised from torch's global generator."""
