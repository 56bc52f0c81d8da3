"""Content-addressed artifacts: arrays that are computed once and shared by trials, studies and processes.

    <root>/<stage>/<key>/arrays.safetensors    the arrays, read memory-mapped
                         stage.json            what they are, what they cost

A key is the sha256 of the stage's canonical config and its version, so an artifact is never stale. It is computed into
a temporary directory that is then renamed, so a directory that exists is complete. A lock file for each key makes
concurrent processes wait for the one that computes; the operating system frees the lock when a process is killed.
"""

import os
import shutil
import time
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.common.atomic_files import read_json, write_json
from trainables.common.types import Frozen, Json
from trainables.config import digest
from trainables.data.common.base import identity_of

KEY_LENGTH = 32
"""Hex digits of a stage key."""

CPU = torch.device("cpu")


class Artifact(NamedTuple):
    """The result of a stage."""

    arrays: Mapping[str, Tensor]
    notes: dict[str, Json]
    """Small plain values that belong to the arrays (training history, epochs)."""


class Stage(Frozen):
    """A pure function of this frozen config: shared preparation that many trials need."""

    name: ClassVar[str]
    version: ClassVar[int]
    """Raise it whenever `compute` would give other arrays for the same config."""

    @property
    def key(self) -> str:
        """Identity of the artifact."""
        config = identity_of(self)
        return digest({"stage": self.name, "version": self.version, "config": config}, KEY_LENGTH)

    @abstractmethod
    def compute(self, stages: "StageStore", device: torch.device) -> Artifact:
        """Compute the artifact from the config and from other stages, which are read from `stages`."""

    def parents(self) -> "tuple[Stage, ...]":
        """The stages that `compute` reads."""
        return ()


class Usage(NamedTuple):
    """The stages that a StageStore computed or found ready since the last `pop_usage`."""

    computed: tuple[str, ...]
    reused: tuple[str, ...]
    seconds_computing: float
    """Wall seconds spent in `get`, including the wait for other processes."""
    seconds_saved: float
    """Seconds that the reused artifacts took when they were computed."""


class StageStore:
    """The artifacts under one root directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._depth = 0
        self._computed: list[str] = []
        self._reused: dict[str, float] = {}
        self._seconds = 0.0

    def path(self, stage: Stage) -> Path:
        """Where the artifact of `stage` is or will be."""
        return self.root / stage.name / stage.key

    def has(self, stage: Stage) -> bool:
        """Whether the artifact is ready."""
        return self.path(stage).is_dir()

    def seconds(self, stage: Stage) -> float:
        """Seconds that computing the artifact took, without its parents. Raises FileNotFoundError."""
        return float(read_json(self.path(stage) / "stage.json")["seconds"])

    def get(self, stage: Stage, device: torch.device = CPU) -> Artifact:
        """The artifact, computed on `device` if it is not stored yet. Its arrays are on the CPU and memory-mapped."""
        started = time.perf_counter()
        label = f"{stage.name}/{stage.key}"
        if not self.has(stage):
            self.root.joinpath(stage.name).mkdir(parents=True, exist_ok=True)
            with FileLock(self.path(stage).with_suffix(".lock")):
                if not self.has(stage):
                    self._compute(stage, device)
                    self._computed.append(label)
        if self._depth == 0:
            self._seconds += time.perf_counter() - started
        if label not in self._computed:
            self._reused[label] = self.seconds(stage)
        notes = read_json(self.path(stage) / "stage.json")["notes"]
        return Artifact(load_file(self.path(stage) / "arrays.safetensors"), notes)

    def pop_usage(self) -> Usage:
        """Return what was computed and reused since the last call, and start counting anew."""
        usage = Usage(tuple(self._computed), tuple(self._reused), self._seconds, sum(self._reused.values(), 0.0))
        self._computed, self._reused, self._seconds = [], {}, 0.0
        return usage

    def add_usage(self, usage: Usage) -> None:
        """Count the usage of a timing run as that of the next trial."""
        self._computed += usage.computed
        self._seconds += usage.seconds_computing

    def _compute(self, stage: Stage, device: torch.device) -> None:
        """Compute and store the artifact. The caller has the lock."""
        for unfinished in self.root.joinpath(stage.name).glob(f"{stage.key}.tmp-*"):
            shutil.rmtree(unfinished)
        for parent in stage.parents():
            self.get_parent(parent, device)
        started = time.perf_counter()
        self._depth += 1
        try:
            artifact = stage.compute(self, device)
        finally:
            self._depth -= 1
        seconds = time.perf_counter() - started
        temporary = self.path(stage).with_suffix(f".tmp-{os.getpid()}")
        temporary.mkdir()
        arrays = {name: array.detach().cpu().contiguous() for name, array in artifact.arrays.items()}
        save_file(arrays, temporary / "arrays.safetensors")
        about = {"stage": stage.name, "version": stage.version, "config": stage.model_dump(mode="json")}
        write_json(temporary / "stage.json", about | {"seconds": seconds, "notes": artifact.notes})
        temporary.rename(self.path(stage))
        shutil.rmtree(self.workspace(stage), ignore_errors=True)

    def workspace(self, stage: Stage) -> Path:
        """Directory for finished parts of a long computation; it survives a kill and is deleted at the end."""
        return self.path(stage).with_suffix(".parts")

    def get_parent(self, parent: Stage, device: torch.device) -> None:
        """Make sure that `parent` is ready before the stage itself is timed."""
        self._depth += 1
        try:
            self.get(parent, device)
        finally:
            self._depth -= 1
