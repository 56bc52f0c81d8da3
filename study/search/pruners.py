"""Pruners: whether a configuration's first seed continues after an epoch. Optuna's pruners, fed from the store."""

import optuna
from optuna.trial import Trial

from study.config.study_config import SearchConfig
from study.search.samplers import STATES, State


class ArmPruner:
    """Compares the first seed of each configuration of one arm with those of the arm's other configurations.

    Steps are epochs from 1, so the earliest stop is after `max(1, warmup_epochs)` epochs, for both pruners. If nothing
    can be pruned (see `prunes`), no trials are kept.
    """

    def __init__(self, search: SearchConfig) -> None:
        self.prunes = prunes(search)
        self._study = optuna.create_study(
            direction=search.objectives[0].direction,
            pruner=make_pruner(search),
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        self._trials: dict[int, Trial] = {}
        self._reported: dict[int, int] = {}
        """Last epoch reported, by proposal number."""
        self._stopped: dict[int, int] = {}
        """Epoch after which the pruner stopped it, by proposal number."""

    def begin(self, number: int) -> None:
        """Start to track proposal `number`."""
        self._reported[number] = 0
        if self.prunes:
            self._trials[number] = self._study.ask()

    def reported(self, number: int) -> int:
        """The last reported epoch of proposal `number`."""
        return self._reported[number]

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Report an epoch, and return whether to stop after it. A repeated epoch gets the same answer.

        Args:
            number: the proposal.
            epoch: the epoch, from 1.
            value: the first objective after it.
        """
        if epoch > self._reported[number] and number not in self._stopped and self._observe(number, epoch, value):
            self._stopped[number] = epoch
        return epoch >= self._stopped.get(number, epoch + 1)

    def observe(self, number: int, epochs: dict[int, float]) -> None:
        """Report the epochs of a finished first seed that were not reported yet (first objective by epoch)."""
        for epoch, value in sorted(epochs.items()):
            if epoch > self._reported[number]:
                self._observe(number, epoch, value)

    def end(self, number: int, state: State, value: float | None) -> None:
        """Record that a configuration is finished.

        Args:
            number: the proposal.
            state: its final state.
            value: its mean over seeds, if it is complete.
        """
        if self.prunes:
            self._study.tell(self._trials[number], value, STATES[state])

    def _observe(self, number: int, epoch: int, value: float) -> bool:
        """Report to the pruner and ask it. ASHA records the rung of a trial only when it is asked."""
        self._reported[number] = epoch
        if not self.prunes:
            return False
        self._trials[number].report(value, epoch)
        return self._trials[number].should_prune()


def prunes(search: SearchConfig) -> bool:
    """Whether trials are pruned. With several objectives none is, because no single order exists."""
    return search.pruner != "none" and len(search.objectives) == 1


def make_pruner(search: SearchConfig) -> optuna.pruners.BasePruner:
    """Optuna's pruner for `search.pruner`."""
    match search.pruner:
        case "median":
            return optuna.pruners.MedianPruner(
                n_startup_trials=search.startup_trials, n_warmup_steps=search.warmup_epochs
            )
        case "asha":
            return optuna.pruners.SuccessiveHalvingPruner(
                min_resource=max(1, search.warmup_epochs), reduction_factor=search.reduction_factor
            )
        case "none":
            return optuna.pruners.NopPruner()
