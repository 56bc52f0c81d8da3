"""The stage of the spectrum of ẑ', a bottleneck's estimate of the student's features; H is suggested from it."""

from typing import ClassVar

import torch

from trainables.common.types import rows_of
from trainables.config import TrialConfig
from trainables.diagnostics.spectra import singular_value_spectrum
from trainables.stages.artifacts import Artifact, Stage, StageStore
from trainables.stages.bottleneck import Bottleneck, bottleneck_stage


class ReconstructionSpectrum(Stage):
    """Singular values of the covariance of ẑ' over the training rows."""

    name: ClassVar[str] = "spectrum"
    version: ClassVar[int] = 1
    bottleneck: Bottleneck

    def parents(self) -> tuple[Stage, ...]:
        return (self.bottleneck,)

    def compute(self, stages: StageStore, device: torch.device) -> Artifact:
        reconstruction = stages.get(self.bottleneck).arrays["train/reconstruction"].to(device)
        return Artifact({"train": singular_value_spectrum(rows_of(reconstruction))}, {})


def spectrum_stage(config: TrialConfig) -> ReconstructionSpectrum:
    """The spectrum of the bottleneck that a CIBA trial distils."""
    return ReconstructionSpectrum(bottleneck=bottleneck_stage(config))
