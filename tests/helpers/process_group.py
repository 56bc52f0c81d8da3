"""Processes that train together without Ray."""

from pathlib import Path

import torch
import torch.distributed as dist


def join_group(rank: int, size: int, folder: str) -> None:
    """Makes this process one of `size` that meet through a file in `folder`, which needs no free port."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{Path(folder, 'gloo')}", rank=rank, world_size=size)
