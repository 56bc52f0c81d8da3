"""The workers that train one trial together, and their communication. Without torch.distributed there is one."""

import hashlib
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")


class Workers(NamedTuple):
    """One process (rank) among those that train a trial together."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    def broadcast(self, value: T) -> T:
        """Rank 0's `value` on every rank. The other ranks' argument is ignored."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def share_buffers(self, network: nn.Module) -> None:
        """Copy rank 0's buffers to every rank, because each rank's running averages come from its own rows only."""
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)

    def shard(self, rows: Tensor) -> Tensor:
        """The rank's contiguous part of a batch whose length is a multiple of the number of workers."""
        return rows.chunk(self.size)[self.rank] if self.size > 1 else rows

    def gather(self, values: Tensor) -> Tensor:
        """All ranks' rows in order. Gradients reach this rank's part, scaled for an average over the ranks."""
        return _GatherRows.apply(values, self.rank, self.size) if self.size > 1 else values


ONE_WORKER = Workers()
"""One process, on the CPU."""


class _GatherRows(torch.autograd.Function):
    """All-gather along the first axis.

    Every rank computes the same loss on the whole batch, so the gradient of a rank's rows is its part of the incoming
    gradient. DistributedDataParallel averages parameter gradients over the ranks, but the objective needs their sum.
    Multiplying by the number of ranks here turns the average into the sum.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, rank: int, size: int) -> Tensor:
        ctx.rank, ctx.size = rank, size
        parts = [torch.empty_like(values) for _ in range(size)]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        rank: int = ctx.rank
        size: int = ctx.size
        return gradients[0].chunk(size)[rank] * size, None, None


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed computed from the parts alone. Python's `hash` differs between processes."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
