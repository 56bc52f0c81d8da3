"""TrialRef: which trial of a study is meant, for events, tables and jobs."""

from dataclasses import dataclass

from study.config.study_config import Params


@dataclass(frozen=True)
class TrialRef:
    """One trial of a study: its id, and its place among the arm's proposals."""

    trial_id: str
    arm: str
    number: int
    """Position of the configuration among the arm's proposals, from 0."""
    seed: int
    params: Params
    """Values of the swept hyperparameters."""

    @property
    def name(self) -> str:
        """The trial as every line and table names it."""
        return trial_name(self.arm, self.number, self.seed)


def trial_name(arm: str, number: int, seed: int) -> str:
    """Name of a trial in tables and messages: `kd #3 seed 1` has seed 1 and the arm's fourth configuration."""
    return f"{arm} #{number} seed {seed}"
