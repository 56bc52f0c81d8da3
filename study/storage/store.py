"""The study directory. Its files are readable text and stay valid after kill -9 and on NFS.

    <studies>/<study>/
      study.yaml study.json             the file as last run, and the resolved study
      lengths.json                      numbers of epochs with which it was run
      suggested_h.json                  the H chosen from spectra, and the settings of the choice
      manifest.json                     versions, git commit, data fingerprints, machine
      proposals/<arm>/<number>.json     every proposed configuration, in order, written before it runs
                        <number>.passed.jsonl  epochs after which the pruner did not stop its first seed
      trials/<trial_id>/config.json     the full TrialConfig
                        attempts.jsonl  one line each time that training started or continued
                        history.jsonl   one line per epoch
                        checkpoint/     the last epoch's state
                        diagnostics.safetensors   spectra and other small arrays
                        result.json     written last; a trial with this file is finished
      report/ logs/

A file is written under a temporary name, synced and renamed, so a reader sees the complete old file or the complete
new one. A line of `*.jsonl` is appended with its newline at the end; an incomplete last line (after a kill) is ignored
by readers and removed by the next writer.
"""

import shutil
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

from search_spaces.domains import Value
from trainables.common.atomic_files import append_json, read_json, read_lines, write_json
from trainables.common.types import EpochReport, TrialResult
from trainables.config import TrialConfig
from trainables.worker.trial_directory import TrialDirectory


class Proposal(NamedTuple):
    """One configuration that a sampler proposed for an arm. It is stored before any of its trials starts."""

    arm: str
    number: int
    """Position in the arm's sequence of proposals, from 0."""
    group_id: str
    params: dict[str, Value]
    skipped: str = ""
    """Why its trials are not run; empty if they are."""


class TrialRecord(NamedTuple):
    """The stored data of one trial."""

    trial_id: str
    config: TrialConfig
    result: TrialResult | None
    """None while the trial is unfinished."""
    directory: TrialDirectory

    @property
    def history(self) -> list[EpochReport]:
        """The epochs so far, read again at each call, because few of thousands of histories are needed."""
        return self.directory.history()


class StudyStore:
    """One study directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def epoch_counts(self) -> list[int]:
        """The numbers of epochs with which the study has been run, longest first."""
        try:
            return read_json(self.directory / "lengths.json")["epochs"]
        except FileNotFoundError:
            return []

    def record_epoch_counts(self, epochs: set[int]) -> None:
        """Store the numbers of epochs with which the study is run now."""
        write_json(self.directory / "lengths.json", {"epochs": sorted({*self.epoch_counts(), *epochs}, reverse=True)})

    def trial(self, trial_id: str) -> TrialDirectory:
        """The directory of one trial; it may not exist."""
        return TrialDirectory(self.directory / "trials" / trial_id)

    def record(self, trial_id: str) -> TrialRecord:
        """Everything about one trial. Raises FileNotFoundError if it never began."""
        trial = self.trial(trial_id)
        return TrialRecord(trial_id, trial.config(), trial.result(), trial)

    def find_record(self, trial_id: str) -> TrialRecord | None:
        """As `record`; None if the trial never began or was deleted."""
        try:
            return self.record(trial_id)
        except FileNotFoundError:
            return None

    def delete_trial(self, trial_id: str) -> None:
        """Remove a trial that was trained ahead but is not needed. Does nothing if it never began."""
        shutil.rmtree(self.trial(trial_id).path, ignore_errors=True)

    def propose(self, proposal: Proposal) -> None:
        """Store a proposal. Do this before its first trial starts."""
        write_json(self._proposal_path(proposal.arm, proposal.number), proposal._asdict())

    def proposals(self, arm: str, leave_out: Container[int] = ()) -> list[Proposal]:
        """The arm's proposals in the order in which they were made. Files of the numbers `leave_out` are not read."""
        paths = sorted((self.directory / "proposals" / arm).glob("*.json"))
        return [Proposal(**read_json(path)) for path in paths if int(path.stem) not in leave_out]

    def record_passed(self, arm: str, number: int, epoch: int) -> None:
        """Store that the pruner did not stop the proposal's first seed after `epoch`.

        Args:
            arm: name of the arm.
            number: the proposal.
            epoch: the epoch, from 1.
        """
        append_json(self._passed_path(arm, number), {"epoch": epoch})

    def last_passed_epoch(self, arm: str, number: int) -> int:
        """The last epoch after which the pruner did not stop the proposal's first seed; 0 before the first.

        Training does not wait for the pruner, so the trial's history may have more epochs.
        """
        return max((line["epoch"] for line in read_lines(self._passed_path(arm, number))), default=0)

    def _passed_path(self, arm: str, number: int) -> Path:
        return self._proposal_path(arm, number).with_suffix(".passed.jsonl")

    def _proposal_path(self, arm: str, number: int) -> Path:
        return self.directory / "proposals" / arm / f"{number:06d}.json"
