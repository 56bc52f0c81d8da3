"""Private interfaces of torch, all in this file.

A release of torch may move or change them without notice. The fused optimiser steps then take torch's public functions
instead, which give the same numbers and are slower. A wrapper subclass has no public replacement: importing this module
raises KeyError if its interface is missing.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.optim.adam import adam as public_adam
from torch.optim.sgd import sgd as public_sgd

TensorT = TypeVar("TensorT", bound=Tensor)
Operation = Callable[..., Any]


def private_operation(name: str) -> Operation | None:
    """The operation `torch.ops.aten.<name>`, or None if this torch does not have it."""
    return getattr(torch.ops.aten, name, None)


FUSED: dict[str, Operation | None] = {name: private_operation(f"_fused_{name}_") for name in ("sgd", "adam", "adamw")}
"""The operations that torch's optimisers call with `fused=True`."""

disabled_torch_function: Any = vars(torch._C)["_disabled_torch_function_impl"]  # pyright: ignore[reportPrivateUsage]
"""`__torch_function__` of a tensor subclass whose operations all go to `__torch_dispatch__`."""


def wrapper_subclass(cls: type[TensorT], shape: tuple[int, ...], dtype: torch.dtype) -> TensorT:
    """A tensor of class `cls` that has a shape and a number format but no memory."""
    make: Any = Tensor._make_wrapper_subclass  # pyright: ignore[reportAttributeAccessIssue,reportUnknownMemberType]
    return make(cls, shape, dtype=dtype)


def fused_sgd_step(row: Tensor, gradient: Tensor, momentum_buffers: Sequence[Tensor], settings: dict[str, Any]) -> None:
    """One step of SGD on `row` in place: b <- momentum b + (1 - dampening) (g + decay w); w <- w - lr b.

    Args:
        row: parameters, of any shape.
        gradient: of the same shape.
        momentum_buffers: b, alone; empty if the momentum is 0.
        settings: lr, weight_decay, momentum, dampening, nesterov, maximize.

    """
    fused = FUSED["sgd"]
    if fused is not None:
        fused([row], [gradient], list(momentum_buffers), is_first_step=False, **settings)
    else:
        buffers: list[Tensor | None] = list(momentum_buffers) or [None]
        public_sgd([row], [gradient], buffers, fused=True, **settings)


def fused_adam_step(
    row: Tensor, gradient: Tensor, moments: Sequence[Tensor], steps: Tensor, settings: dict[str, Any], decoupled: bool
) -> None:
    """One step of Adam (of AdamW if `decoupled`) on `row` in place.

    Args:
        row: parameters, of any shape.
        gradient: of the same shape.
        moments: running averages of the gradient and of its square; changed in place.
        steps: number of steps including this one, float32 without dimensions; not changed.
        settings: lr, beta1, beta2, weight_decay, eps, amsgrad, maximize.
        decoupled: whether the weight decay is decoupled from the gradient (AdamW).

    """
    averages, squares = ([moment] for moment in moments)
    fused = FUSED["adamw" if decoupled else "adam"]
    if fused is not None:
        fused([row], [gradient], averages, squares, [], [steps], **settings)
    else:
        before = [steps - 1]  # the public function counts the step itself
        public_adam(
            [row], [gradient], averages, squares, [], before, fused=True, decoupled_weight_decay=decoupled, **settings
        )
