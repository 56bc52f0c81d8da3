"""The stage of an estimator's error: its estimates for Gaussians of known MI with as many rows and columns."""

from typing import ClassVar

import torch
from pydantic import SerializeAsAny

from trainables.mi.base import IntervalConfig, MIConfig
from trainables.mi.known_answers import SelfTest, SelfTestRow, self_test
from trainables.stages.artifacts import Artifact, Stage, StageStore


class SelfTestStage(Stage):
    """Estimates at several true values, shared by all pairs of networks with the same rows and dimensions."""

    name: ClassVar[str] = "self_test"
    version: ClassVar[int] = 1
    mi: SerializeAsAny[MIConfig]
    rows: int
    dim_x: int
    dim_y: int
    """0 for classes."""
    classes: int
    """0 for a continuous target."""
    repeats: int
    """Data sets for each true value."""

    def compute(self, stages: StageStore, device: torch.device) -> Artifact:
        sizes = (self.rows, self.dim_x, max(1, self.dim_y))
        found = self_test(*sizes, self.mi, num_classes=self.classes, repeats=self.repeats, device=device)
        table = torch.tensor([list(row) for row in found.rows], dtype=torch.float64)
        return Artifact({"rows": table}, {"warnings": list(found.warnings)})


def self_test_stage(mi: MIConfig, rows: int, widths: tuple[int, int], classes: int, repeats: int) -> SelfTestStage:
    """The self-test stage of an estimator.

    Args:
        mi: the estimator. Its interval settings are left out of the stage, because they do not change an estimate.
        rows: number of pairs.
        widths: columns of both sides; `mi.pca` may lower them.
        classes: number of classes; 0 for a continuous target.
        repeats: data sets for each true value.

    """
    plain = mi.model_copy(update={"interval": IntervalConfig(subsamples=0)})
    dim_x, dim_y = (min(width, mi.pca or width) for width in widths)
    sizes = {"dim_x": dim_x, "dim_y": 0 if classes else dim_y, "classes": classes}
    return SelfTestStage(mi=plain, rows=rows, **sizes, repeats=repeats)


def read_self_test(artifact: Artifact) -> SelfTest:
    """The errors by true value."""
    rows = (
        SelfTestRow(true, mean, bias, spread, int(repeats))
        for true, mean, bias, spread, repeats in artifact.arrays["rows"].tolist()
    )
    return SelfTest(tuple(rows), ())
