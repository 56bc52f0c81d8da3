"""The private interfaces of torch exist, and give the numbers of torch.optim."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.paths import ROOT
from trainables.common import torch_private
from trainables.common.torch_private import FUSED, wrapper_subclass
from trainables.training.pack_optimizer import OPTIMIZERS

STEPS = 4
MAKERS: dict[str, Callable[[list[Tensor]], torch.optim.Optimizer]] = {
    "sgd": lambda rows: torch.optim.SGD(rows, lr=0.1, momentum=0.9, weight_decay=0.02, fused=True),
    "adam": lambda rows: torch.optim.Adam(rows, lr=0.1, weight_decay=0.02, fused=True),
    "adamw": lambda rows: torch.optim.AdamW(rows, lr=0.1, weight_decay=0.02, fused=True),
}
PLAIN_SGD = {"sgd without momentum": lambda rows: torch.optim.SGD(rows, lr=0.1, fused=True)}
CASES = {**MAKERS, **PLAIN_SGD}


def trained(name: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A row after some steps of `pack_optimizer`, and after the same steps of torch.optim."""
    generator = torch.Generator().manual_seed(0)
    row, *gradients = torch.randn(1 + STEPS, 300, generator=generator, dtype=torch.float64).to(dtype)
    expected = row.clone().requires_grad_()
    optimizer, entry = CASES[name]([expected]), OPTIMIZERS[name.split()[0]]
    moments, steps = [torch.zeros_like(row) for _ in entry.moments], torch.zeros(())
    for gradient in gradients:
        expected.grad = gradient.clone()
        optimizer.step()
        steps += 1
        entry.update(row, gradient, moments, steps, optimizer.param_groups[0])
        assert steps == round(steps.item())
    return row, expected.detach()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CASES)
def test_a_fused_step_is_that_of_torch_optim(name: str, dtype: torch.dtype) -> None:
    assert all(operation is not None for operation in FUSED.values()), "torch has moved its fused operations"
    own, expected = trained(name, dtype)
    assert torch.equal(own, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CASES)
def test_the_public_functions_give_the_same_numbers(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_private, "FUSED", dict.fromkeys(FUSED))
    own, expected = trained(name, dtype)
    assert torch.equal(own, expected)


def test_an_operation_that_torch_does_not_have_is_none() -> None:
    assert torch_private.private_operation("_fused_nothing_") is None


def test_a_wrapper_subclass_has_a_shape_and_dispatches_every_operation() -> None:
    called: list[Any] = []

    class Wrapper(Tensor):
        __torch_function__ = torch_private.disabled_torch_function

        @classmethod
        def __torch_dispatch__(cls, operation: Any, *rest: Any) -> Any:
            called.append(operation)
            return torch.zeros(())

    made = wrapper_subclass(Wrapper, (2, 3), torch.uint8)
    assert made.shape == (2, 3) and made.dtype == torch.uint8
    assert type(made + 1) is Tensor and called == [torch.ops.aten.add.Tensor]


def test_private_names_of_torch_are_in_one_file() -> None:
    private = re.compile(
        r"torch\.ops\.aten\._|\btorch\.(\w+\.)*_[A-Za-z]\w*|Tensor\._[a-z]|\b(open_clip|torchvision)\.(\w+\.)*_[a-z]"
    )
    found = {
        path.relative_to(ROOT).as_posix()
        for path in Path(ROOT, "trainables").rglob("*.py")
        if private.search(path.read_text())
    }
    assert found == {"trainables/common/torch_private.py"}
