"""Reads and writes one trial's directory, `trials/<trial_id>/` of the study directory."""

import dataclasses
import json
import os
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from trainables.common.atomic_files import append_json, read_json, read_lines, write_bytes, write_json
from trainables.common.types import EpochReport, TrialError, TrialResult
from trainables.config import TrialConfig


class TrialDirectory:
    """One trial's directory. Only one process writes to it at a time: the rank 0 that trains the trial."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, config: TrialConfig, from_epoch: int) -> None:
        """Store the config (once) and record that training starts after `from_epoch` epochs."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.begun:
            write_json(self.path / "config.json", config.model_dump(mode="json"))
        append_json(self.path / "attempts.jsonl", {"time": time.time(), "pid": os.getpid(), "from_epoch": from_epoch})

    @property
    def begun(self) -> bool:
        """Whether its training ever started."""
        return (self.path / "config.json").exists()

    def config(self) -> TrialConfig:
        """The stored config."""
        return TrialConfig.model_validate(read_json(self.path / "config.json"))

    def attempts(self) -> list[dict]:
        """One entry for each time that training started or continued."""
        return list(read_lines(self.path / "attempts.jsonl"))

    def append(self, report: EpochReport) -> None:
        """Add one epoch to the history."""
        append_json(self.path / "history.jsonl", {"epoch": report.epoch, "metrics": report.metrics})

    def history(self) -> list[EpochReport]:
        """The epochs so far, in order; of a repeated epoch (after a restart from a checkpoint) the last report."""
        lines = {line["epoch"]: EpochReport(**line) for line in read_lines(self.path / "history.jsonl")}
        return [lines[epoch] for epoch in sorted(lines)]

    def set_history(self, history: list[EpochReport]) -> None:
        """Replace the history (a pruned trial keeps only the epochs up to the decision)."""
        text = "".join(json.dumps({"epoch": report.epoch, "metrics": report.metrics}) + "\n" for report in history)
        write_bytes(self.path / "history.jsonl", text.encode())

    def result(self) -> TrialResult | None:
        """The result, or None while the trial is unfinished."""
        try:
            values = read_json(self.path / "result.json")
        except FileNotFoundError:
            return None
        error = values.pop("error")
        for name in ("stages_computed", "stages_reused"):
            values[name] = tuple(values[name])
        return TrialResult(**values, error=TrialError(**error) if error else None)

    def finish(self, result: TrialResult) -> None:
        """Write the result. From now on the trial is finished."""
        write_json(self.path / "result.json", dataclasses.asdict(result))

    def write_diagnostics(self, arrays: dict[str, np.ndarray]) -> None:
        """Store small arrays (spectra) in the trial's directory."""
        write_bytes(
            self.path / "diagnostics.safetensors", save({k: np.ascontiguousarray(v) for k, v in arrays.items()})
        )

    def diagnostics(self) -> dict[str, np.ndarray]:
        """The arrays of `write_diagnostics`, by name; empty if there are none."""
        path = self.path / "diagnostics.safetensors"
        return load_file(path) if path.exists() else {}

    @property
    def checkpoint(self) -> Path:
        """Directory of the last epoch's state."""
        return self.path / "checkpoint"
