"""Whether distillation is expected to pay: the estimates for every pair of networks of a study, over its seeds.

The estimates are stages (`trainables.stages.criterion`). Each is computed once, before any distillation, and is shared
by all arms and studies.
"""

from collections.abc import Callable, Iterator
from itertools import product
from math import prod, sqrt
from statistics import fmean, stdev
from typing import Literal, NamedTuple

import torch

from study.analysis.notation import show_param
from study.config.criterion import CriterionConfig
from study.config.resolved_study import network_params
from study.config.study_config import Arm, Params, StudyConfig
from study.planning.cost_probe import trial_threads
from study.planning.stage_counts import MAX_COMBINATIONS, example_params, fitting
from study.storage.store import StudyStore
from trainables.config import TrialConfig
from trainables.stages.artifacts import Artifact, StageStore
from trainables.stages.criterion import LEVEL, TERMS, Criterion, CriterionSettings, criterion_stage
from trainables.stages.estimator_error import SelfTestStage, read_self_test, self_test_stage
from trainables.training.session import NonFiniteLossError

Verdict = Literal["pays", "does not pay", "undecided"]

UNUSABLE = (NonFiniteLossError, FloatingPointError, ValueError, OSError)
"""Errors of an estimate, or of training its networks."""

Say = Callable[[str], object]


class Term(NamedTuple):
    """One estimate in nats, mean over seeds."""

    mean: float
    low: float
    high: float
    self_test: tuple[float, float] | None = None
    """Bias and spread of the estimator near this value, on Gaussians of known MI with as many rows and dimensions."""


class Assessment(NamedTuple):
    """The criterion's estimates for one pair of networks."""

    shared: Term
    """I(H1;H2)."""
    labels: Term
    """I(H2;Y)."""
    gap: Term
    """G = I(H1;H2) - I(H2;Y)."""
    seeds: int
    rows: int
    """Number of held-out pairs behind each estimate."""
    warnings: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """By the sign of the gap; undecided if its interval contains 0."""
        return "pays" if self.gap.low > 0 else "does not pay" if self.gap.high < 0 else "undecided"


class Cell(NamedTuple):
    """One arm on one pair of networks."""

    arm: str
    params: Params
    """The swept values that the networks depend on; empty for most arms."""
    teacher: str
    student: str
    trials: tuple[TrialConfig, ...]
    """One trial for each seed of the study, with the networks of the cell."""

    @property
    def name(self) -> str:
        """`pix → fou`."""
        return f"{self.teacher} → {self.student}"

    def stages(self, settings: CriterionSettings) -> list[Criterion]:
        """The stages of the estimates, one per seed."""
        return [criterion_stage(trial, settings) for trial in self.trials]


def distils(arm: Arm) -> bool:
    """Whether the arm has a teacher, so that the criterion applies to it."""
    return arm.base.method.teacher_source != "nothing"


def study_cells(study: StudyConfig, store: StudyStore) -> list[Cell]:
    """Every arm with a teacher on each pair of networks that it uses, as far as that is known.

    Pairs that cannot be listed beforehand are known once their configurations are proposed.
    """
    found: list[Cell] = []
    for arm in filter(distils, study.arms):
        values = network_values(arm)
        if values is None:
            proposed = [network_params(arm, proposal.params) for proposal in store.proposals(arm.name)]
            values = list({repr(params): params for params in proposed}.values())
        found += make_cells(arm, values, study.search.seeds)
    return found


def known_cells(study: StudyConfig) -> list[Cell]:
    """Those of `study_cells` that can be listed before any configuration is proposed."""
    found: list[Cell] = []
    for arm in filter(distils, study.arms):
        found += make_cells(arm, network_values(arm) or [], study.search.seeds)
    return found


def network_values(arm: Arm) -> list[Params] | None:
    """Every combination of the swept values that the arm's networks depend on.

    None if they cannot be listed: one of them has a range without steps, or there are too many combinations.
    """
    swept = list(network_params(arm, example_params(arm)))
    grids = [arm.space[name].grid() for name in swept]
    if None in grids or prod(len(grid or ()) for grid in grids) > MAX_COMBINATIONS:
        return None
    return [dict(zip(swept, values, strict=True)) for values in product(*(grid or () for grid in grids))]


def make_cells(arm: Arm, values: list[Params], seeds: tuple[int, ...]) -> list[Cell]:
    """The arm's cells at these values, without those that do not fit together."""
    return [cell for params in values if (cell := make_cell(arm, params, seeds))]


def make_cell(arm: Arm, params: Params, seeds: tuple[int, ...]) -> Cell | None:
    """The arm's cell at these values, or None if they are not valid together."""
    trials = [fitting(arm, {**example_params(arm), **params}, seed) for seed in seeds]
    whole = tuple(trial for trial in trials if trial)
    if len(whole) < len(trials):
        return None
    return Cell(arm.name, params, *labels_of(arm, whole[0], params), whole)


def labels_of(arm: Arm, trial: TrialConfig, params: Params) -> tuple[str, str]:
    """Names of teacher and student, made from the data's views, the teacher's degradation and the swept values."""
    data, fields = trial.data, type(trial.data).model_fields
    values = data.model_dump(mode="json")
    own = {
        name: values[name] for name in data.teacher_only if name != "teacher" and values[name] != fields[name].default
    }
    swept = {name: value for name, value in params.items() if name.partition(".")[2] not in data.teacher_only}
    parts = [str(values["teacher"])] if "teacher" in data.teacher_only else []
    parts += [f"{name} = {show_param(value)}" for name, value in own.items()] or ([] if parts else ["teacher"])
    student = str(values["student"]) if "teacher" in data.teacher_only and "student" in values else "student"
    return ", ".join(parts), ", ".join([student, *(f"{name} = {show_param(value)}" for name, value in swept.items())])


def assess(
    cell: Cell, settings: CriterionSettings, stages: StageStore, device: torch.device | None = None, repeats: int = 0
) -> Assessment | None:
    """The criterion's estimates for a cell.

    Args:
        cell: the arm and its pair of networks.
        settings: what determines the estimates.
        stages: the shared artifacts.
        device: where to compute missing estimates; None: compute nothing.
        repeats: repetitions of the estimator's self-test; with 0 the terms have no self-test.

    Returns:
        The estimates; None if one is missing and there is no `device`.
    """
    wanted = cell.stages(settings)
    if device is None and not all(map(stages.has, wanted)):
        return None
    found = [stages.get(stage, device or torch.device("cpu")) for stage in wanted]
    values = torch.stack([artifact.arrays["values"] for artifact in found]).tolist()
    errors = torch.stack([artifact.arrays["errors"] for artifact in found]).tolist()
    shared, labels, gap = (
        combine([row[index] for row in values], [row[index] for row in errors], settings.subsamples)
        for index in range(len(TERMS))
    )
    if repeats:
        shared, labels = (
            term._replace(self_test=own_error(test, term, stages, device))
            for term, test in zip((shared, labels), tests_of(found[0], settings, repeats), strict=True)
        )
    warnings = {str(text): None for artifact in found for text in as_list(artifact.notes["warnings"])}
    return Assessment(shared, labels, gap, len(found), int(str(found[0].notes["rows"])), tuple(warnings))


def tests_of(estimated: Artifact, settings: CriterionSettings, repeats: int) -> tuple[SelfTestStage, SelfTestStage]:
    """The estimator's tests for both terms of an estimate."""
    widths = [int(str(width)) for width in as_list(estimated.notes["widths"])]
    rows, classes = (int(str(estimated.notes[name])) for name in ("rows", "classes"))
    return (
        self_test_stage(settings.mi, rows, (widths[0], widths[1]), 0, repeats),
        self_test_stage(settings.mi, rows, (widths[1], 1), classes, repeats),
    )


def own_error(
    test: SelfTestStage, term: Term, stages: StageStore, device: torch.device | None
) -> tuple[float, float] | None:
    """Bias and spread of the estimator near a term; None if its self-test is missing or has failed."""
    if device is None and not stages.has(test):
        return None
    try:
        return read_self_test(stages.get(test, device or torch.device("cpu"))).at(term.mean)
    except UNUSABLE:
        return None


def as_list(value: object) -> list[object]:
    """A list as JSON gives it."""
    return value if isinstance(value, list) else []


def combine(values: list[float], errors: list[float], subsamples: int) -> Term:
    """Mean over seeds with its 95 % interval: mean ± sqrt((t e)² + (t' s)² / n).

    e is the mean standard error of one seed's estimate. All seeds measure the same held-out rows, so averaging does
    not reduce it. s is the deviation between the n seeds, whose networks differ.

    Args:
        values: estimates in nats, one per seed.
        errors: their standard errors.
        subsamples: number of subsamples behind each standard error.
    """
    from scipy.stats import t

    def quantile(freedom: int) -> float:
        return float(t.ppf((1 + LEVEL) / 2, freedom))

    mean, n = fmean(values), len(values)
    within = quantile(subsamples - 1) * fmean(errors)
    between = quantile(n - 1) * stdev(values) / sqrt(n) if n > 1 else 0.0
    half = sqrt(within**2 + between**2)
    return Term(mean, mean - half, mean + half)


def compute_criterion(study: StudyConfig, criterion: CriterionConfig, say: Say) -> dict[str, str]:
    """Compute every missing estimate, and store it as a stage.

    Args:
        study: the study.
        criterion: its settings.
        say: receives lines for the user.

    Returns:
        By name of the cell, why its estimate failed.
    """
    stages, store = StageStore(study.stages_directory), StudyStore(study.directory)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cells, failed = distinct(study_cells(study, store), criterion), dict[str, str]()
    missing = [cell for cell in cells if any(not stages.has(one) for one in wanted_stages(cell, criterion))]
    if missing:
        seeds = len(study.search.seeds)
        say(f"Criterion: {len(missing)} of {len(cells)} pairs of networks to be estimated, {seeds} seeds each")
    with trial_threads(study.resources):
        for cell in missing:
            try:
                for stage in wanted_stages(cell, criterion):
                    stages.get(stage, device)
            except UNUSABLE as error:
                failed[cell.name] = f"{type(error).__name__}: {' '.join(str(error).split())}"
                say(f"  {cell.name}: no estimate, {failed[cell.name]}")
                continue
            assessment = assess(cell, criterion.settings, stages)
            assert assessment is not None
            say(f"  {cell.name}: G = {show_term(assessment.gap)} nats, {assessment.verdict}")
        for cell in cells if criterion.self_test else ():
            if cell.name not in failed:
                for settings in criterion.settings_by_name.values():
                    assess(cell, settings, stages, device, criterion.self_test)
    return failed


def wanted_stages(cell: Cell, criterion: CriterionConfig) -> Iterator[Criterion]:
    """The stages of a cell's estimates by every estimator."""
    for settings in criterion.settings_by_name.values():
        yield from cell.stages(settings)


def distinct(cells: list[Cell], criterion: CriterionConfig) -> list[Cell]:
    """The first cell of each pair of networks. Arms with different methods share a pair."""
    return list({cell.stages(criterion.settings)[0].key: cell for cell in reversed(cells)}.values())[::-1]


def show_term(term: Term) -> str:
    """`+0.12 [-0.03, +0.27]`."""
    return f"{term.mean:+.2f} [{term.low:+.2f}, {term.high:+.2f}]"
