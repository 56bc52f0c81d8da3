"""How many trials to train together, from what the slots have measured."""

import math

from study.config.study_config import ResourcesConfig
from trainables.config import TrialConfig
from trainables.training.pack_key import pack_key

LARGEST_PACK = 64
"""Largest number of trials that are trained together, unless the study file sets `resources.pack`."""


class PackSizes:
    """Pack sizes by kind of trial (`pack_key`)."""

    def __init__(self, resources: ResourcesConfig) -> None:
        self.resources = resources
        self._best: dict[str, int] = {}
        """The size above which a larger pack does not pay."""
        self._paying: dict[str, int] = {}
        """The largest size that was measured to pay."""

    def largest(self, first: TrialConfig, left: int) -> int:
        """How many trials like `first` to train together.

        Args:
            first: the first trial of the pack.
            left: number of trials that are still to be run; each slot gets its share of them.

        Returns:
            At least 1. Always 1 with several workers per trial, which never train a pack.
        """
        if self.resources.workers > 1:
            return 1
        largest = self.resources.pack
        if largest == "auto":
            largest = self._best.get(pack_key(first) or "", LARGEST_PACK)
        return max(1, min(largest, math.ceil(left / self.resources.concurrency)))

    def known(self, first: TrialConfig, size: int) -> int | None:
        """`size`, or None if the slot must measure whether so many trials pay."""
        key = pack_key(first)
        if size == 1 or key is None or self.resources.pack != "auto":
            return size
        return size if key in self._best or size <= self._paying.get(key, 0) else None

    def record(self, first: TrialConfig, submitted: int, size: int | None) -> None:
        """Record a measurement.

        Args:
            first: the first trial of the pack.
            submitted: number of trials in the submitted pack.
            size: how many of them pay when trained together; None if that was not measured.
        """
        key = pack_key(first)
        if size is None or key is None or submitted == 1 or self.resources.pack != "auto":
            return
        if size < submitted:
            self._best.setdefault(key, size)
        else:
            self._paying[key] = max(size, self._paying.get(key, 0))
