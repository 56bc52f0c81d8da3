"""The public API: load a study in a notebook or a script, run it, and read its results as pandas DataFrames.

Everything but `Study.run` only reads the study directory. It may be called while another process runs the study.
"""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd  # pyright: ignore[reportMissingTypeStubs] - it has types, but does not declare it

from study.analysis.result_frames import configurations_frame, data_frame, history_frame, trials_frame
from study.analysis.study_results import study_results
from study.config.resolved_study import ResolvedStudy
from study.config.study_config import Objective, Params, StudyConfig
from study.errors import StudyError
from study.parsing.loader import load as load_file
from study.planning.resolve import resolve
from study.report.format.csv_tables import ARM_COLUMNS, arm_values
from study.run import INVALID
from study.run_process import run_process
from study.storage.groups import Group, best_group, collect_groups
from study.storage.store import StudyStore


class BestConfiguration(NamedTuple):
    """The configuration of an arm with the best mean of an objective over its seeds."""

    arm: str
    number: int
    """Position among the arm's configurations, from 0."""
    group_id: str
    params: Params
    """Values of the swept hyperparameters."""
    metric: str
    """The objective, for example `val/accuracy`."""
    mean: float
    """Mean of `metric` over the seeds."""
    std: float | None
    """Sample standard deviation (n - 1) of `metric` over the seeds; None for one seed."""
    n: int
    """Number of seeds."""
    trial_ids: tuple[str, ...]
    """The trial of each seed, in the order of the seeds."""


def load(path: str | os.PathLike[str]) -> "Study":
    """Load a study file.

    Args:
        path: the YAML file, or the name of a shipped study.

    Returns:
        The study. Nothing is run, and its directory need not exist.

    Raises:
        StudyFileError: with all problems of the file. `problems` is the list; the message has a line for each.

    Example:
        >>> import study
        >>> quickstart = study.load("sweep.yaml")
        >>> [arm.name for arm in quickstart.config.arms]
        ['none', 'feature_kd', 'ciba', 'kd']
    """
    return Study(Path(path))


class Study:
    """One study: its configuration, and the results in its directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        """The study file."""
        self._loaded = load_file(path)

    def __repr__(self) -> str:
        return f"<Study {self._loaded.study!r} in {self.directory}>"

    @property
    def config(self) -> ResolvedStudy:
        """The study as loaded, with the values of H that a run has chosen from the spectrum, if any."""
        return resolve(self._loaded, compute=False)

    @property
    def directory(self) -> Path:
        """The study directory."""
        return self._loaded.directory

    def run(self, fresh: bool = False) -> int:
        """Run the study, or resume it, as `python -m study.run` does. Its output is printed.

        The file is read again first. The study runs in another process, so Ray and its workers do not touch a
        notebook's kernel. An interrupt (Ctrl-C, or a notebook's stop button) ends the run; the next call resumes it.

        Args:
            fresh: if true, the results so far are renamed (not deleted), and the study starts anew.

        Returns:
            The exit status: 0 complete, 1 broken off by an error, 3 complete with failed trials, 130 interrupted.

        Raises:
            StudyFileError: with all problems of the file.
            StudyError: if another process runs the study, or if its results cannot be compared with the changed file.

        Example:
            >>> study.load("sweep.yaml").run()
            0
        """
        self._loaded = load_file(self.path)
        done = run_process(["study.run", str(self.path), *(["--fresh"] if fresh else [])])
        if done.status == INVALID:
            raise StudyError(done.errors.strip())
        if done.errors:
            print(done.errors, end="", file=sys.stderr)
        return done.status

    def trials(self) -> pd.DataFrame:
        """Every trial that has started, one row each.

        Returns:
            Columns: `arm`; `number` of the configuration in its arm, from 0; `seed`; `group_id` of the configuration;
            `trial_id`; `status` (complete, pruned, failed or unfinished); `trained_epochs`; `selected_epoch` (of a
            complete trial); `seconds`. Then the swept hyperparameters, missing where an arm does not sweep one. Then
            the metrics, such as `val/accuracy`; those of a pruned trial are of its last epoch. Then `error`.

        Example:
            >>> trials = quickstart.trials()
            >>> trials[trials.status == "complete"].groupby("arm")["test/accuracy"].mean()
        """
        return trials_frame(self.config, self._groups())

    def configurations(self) -> pd.DataFrame:
        """Every proposed configuration, one row each, with mean and standard deviation over its complete trials.

        Returns:
            Columns: `arm`; `number` in its arm, from 0; `group_id`; `status` (complete, pruned, failed, unfinished or
            skipped); `best`, whether it is its arm's best by the first objective; `n`, the number of complete trials.
            With several objectives also `pareto_front`: whether no other configuration of the study is as good in
            every objective and better in one. Then the swept hyperparameters. Then for each metric
            `<metric> mean` and `<metric> std` (sample standard deviation, missing below two trials).

        Example:
            >>> table = quickstart.configurations()
            >>> table[table.arm == "ciba"].plot.scatter("bottleneck_dim", "val/accuracy mean")
        """
        return configurations_frame(self.config, self._groups())

    def arms(self) -> pd.DataFrame:
        """The report's main table: each arm's best configuration, and its comparison with the baseline arm.

        Returns:
            One row an arm, with the columns of `report/tables/arms.csv`. Values are raw (an accuracy is between 0 and
            1); p-values are Welch's, and Holm-corrected over the arms; `no_p_because` says why a p-value is missing.

        Example:
            >>> quickstart.arms()[["arm", "test_mean", "difference", "holm_p"]]
        """
        results = study_results(self.config, self._groups())
        columns: tuple[str, ...] = ARM_COLUMNS
        return data_frame(columns, [dict(zip(columns, arm_values(row, results), strict=True)) for row in results.arms])

    def best(self, arm: str, metric: str | None = None) -> BestConfiguration:
        """The best complete configuration of an arm.

        Args:
            arm: name of the arm.
            metric: the objective that decides; by default the first one of the study.

        Returns:
            Its hyperparameters, its mean over the seeds, and its trials.

        Raises:
            ValueError: if the study has no such arm or objective.
            StudyError: if the arm has no complete configuration yet.

        Example:
            >>> best = quickstart.best("ciba")
            >>> best.params["bottleneck_dim"], best.mean
        """
        config = self.config
        names = [one.name for one in config.arms]
        if arm not in names:
            raise ValueError(f"arm must be one of {', '.join(names)}, but got {arm!r}")
        objective = chosen_objective(config, metric)
        groups = [group for group in self._groups() if group.arm == arm]
        group = best_group(groups, objective.metric, objective.direction)
        if group is None:
            raise StudyError(
                f"{self.path}: arm {arm!r} has no complete configuration yet; run `python -m study.run {self.path}`"
            )
        return best_configuration(group, objective.metric)

    def curves(self, trial_id: str) -> pd.DataFrame:
        """The metrics of one trial after each epoch.

        Args:
            trial_id: the trial, as in `trials()` or `best(arm).trial_ids`.

        Returns:
            One row an epoch, indexed by `epoch` (from 1); one column a metric. Empty before the first epoch ends.

        Raises:
            ValueError: if no trial of this id has started.

        Example:
            >>> quickstart.curves(quickstart.best("kd").trial_ids[0])["val/accuracy"].plot()
        """
        trial = StudyStore(self.directory).trial(trial_id)
        if not trial.begun:
            raise ValueError(
                f"trial_id must be one of the trials in {self.directory}, but got {trial_id!r}; `trials()` lists them"
            )
        return history_frame(trial.history())

    def _groups(self) -> list[Group]:
        return collect_groups(self.config, StudyStore(self.directory))


def chosen_objective(study: StudyConfig, metric: str | None) -> Objective:
    """The objective with the key `metric`; the first one for None. Raises ValueError if there is none."""
    objectives = study.search.objectives
    for objective in objectives:
        if metric in (None, objective.metric):
            return objective
    names = ", ".join(objective.metric for objective in objectives)
    raise ValueError(f"metric must be an objective of the study ({names}), but got {metric!r}")


def best_configuration(group: Group, metric: str) -> BestConfiguration:
    """A complete group, of which every seed has `metric`, as the API returns it."""
    mean = group.mean(metric)
    assert mean is not None
    trial_ids = tuple(trial.trial_id for trial in group.trials)
    place = group.arm, group.number, group.group_id
    return BestConfiguration(*place, dict(group.params), metric, mean, group.std(metric), len(trial_ids), trial_ids)
