"""Samplers: the next configuration of an arm, as a pure function of what the arm has tried so far.

Optuna's samplers have state (a random generator, caches, attributes of their trials) that a kill would lose. So a new
sampler makes every suggestion. It is seeded by (search.sampler_seed, arm, proposal number, attempt), and its temporary
Optuna study contains the earlier configurations in the order of their numbers. Nothing has to be saved, and a rejected
suggestion leaves no trace. This is exact for each sampler: CMA-ES, whose state grows with each generation, processes
the earlier configurations again; QMC returns the point of its sequence with the proposal's number.
"""

import importlib.util
import warnings
from collections.abc import Sequence
from typing import Literal, NamedTuple

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from search_spaces.domains import Choice, Domain, FloatRange, IntRange, Value
from study.config.study_config import Arm, Params, SearchConfig
from trainables.common.distributed import derive_seed

State = Literal["running", "complete", "pruned", "failed", "skipped"]
"""State of a configuration. Samplers learn from complete and pruned ones, and avoid running ones. They do not get the
skipped ones."""

STATES: dict[State, TrialState] = {
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "skipped": TrialState.FAIL,
}


INDEPENDENT = ("grid", "random", "qmc")
"""Samplers whose proposals do not depend on earlier results."""


class Observation(NamedTuple):
    """One earlier configuration, as input of a sampler."""

    params: Params
    state: State
    values: tuple[float, ...] = ()
    """Mean over seeds of each objective, if complete."""
    epochs: dict[int, float] = {}  # noqa: RUF012 - never changed
    """First objective after each epoch of the first seed."""


class Sampler:
    """Suggests configurations of one arm."""

    def __init__(self, arm: Arm, search: SearchConfig) -> None:
        """Prepare the sampler.

        Raises:
            ValueError: if the sampler cannot search the arm's space, or is not installed.
        """
        check_sampler(arm, search)
        self.arm = arm
        self.search = search
        self.distributions = {name: distribution(domain) for name, domain in sorted(arm.space.items())}

    def suggest(self, earlier: Sequence[Observation], number: int, attempt: int = 0) -> Params:
        """The configuration to try as proposal `number`.

        Args:
            earlier: the arm's configurations so far, by number.
            number: position of the proposal in the arm.
            attempt: 0, then 1, 2, ... for a replacement of a rejected suggestion.

        Returns:
            The values of the swept hyperparameters.
        """
        if self.search.sampler == "cmaes":
            return self._suggest_cmaes(earlier, number, attempt)
        sampler = self._sampler(number, attempt)
        study = optuna.create_study(directions=self._directions(), sampler=sampler)
        study.add_trials([self._frozen(observation) for observation in earlier])
        return self._ask(study)

    def random(self, number: int, attempt: int) -> Params:
        """A uniformly random configuration, seeded in the same way."""
        sampler = optuna.samplers.RandomSampler(seed=self._seed("random", number, attempt))
        return self._ask(optuna.create_study(sampler=sampler))

    def _suggest_cmaes(self, earlier: Sequence[Observation], number: int, attempt: int) -> Params:
        """Ask and tell the earlier configurations again, which rebuilds the generations, then ask for the next one."""
        sampler = optuna.samplers.CmaEsSampler(
            seed=self._seed("cmaes"),
            independent_sampler=optuna.samplers.RandomSampler(seed=self._seed(number, attempt)),
            n_startup_trials=max(1, self.search.startup_trials),
            warn_independent_sampling=False,
        )
        study = optuna.create_study(directions=self._directions(), sampler=sampler)
        for observation in earlier:
            study.enqueue_trial(self._encode(observation.params))
            trial = study.ask(self.distributions)
            _ = trial.relative_params  # CMA-ES then assigns the trial to a generation, although its values are enqueued
            if observation.state != "running":
                study.tell(trial, observation.values or None, STATES[observation.state])
        for _ in range(attempt):
            study.tell(study.ask(self.distributions), state=TrialState.FAIL)
        return self._ask(study)

    def _sampler(self, number: int, attempt: int) -> optuna.samplers.BaseSampler:
        seed, startup = self._seed(number, attempt), self.search.startup_trials
        match self.search.sampler:
            case "tpe":
                return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
            case "gp":
                return optuna.samplers.GPSampler(
                    seed=seed, n_startup_trials=max(1, startup), warn_independent_sampling=False
                )
            case "qmc":
                return SobolSampler(self._seed("qmc"), number + attempt, self.distributions)
            case _:
                return optuna.samplers.RandomSampler(seed=seed)

    def _ask(self, study: optuna.Study) -> Params:
        suggested = study.ask(self.distributions).params
        return {name: decode(domain, suggested[name]) for name, domain in self.arm.space.items()}

    def _frozen(self, observation: Observation) -> FrozenTrial:
        return optuna.trial.create_trial(
            state=STATES[observation.state],
            params=self._encode(observation.params),
            distributions=self.distributions,
            values=observation.values or None,
            intermediate_values=observation.epochs if len(self.search.objectives) == 1 else None,
        )

    def _encode(self, params: Params) -> Params:
        return {name: encode(self.arm.space[name], params[name]) for name in self.distributions}

    def _directions(self) -> list[Literal["maximize", "minimize"]]:
        return [objective.direction for objective in self.search.objectives]

    def _seed(self, *parts: int | str) -> int:
        return derive_seed(self.search.sampler_seed, self.arm.name, *parts) % 2**32


class SobolSampler(optuna.samplers.QMCSampler):
    """Returns point `index` of the arm's scrambled Sobol sequence. Optuna's QMCSampler counts its calls instead."""

    def __init__(self, seed: int, index: int, space: dict[str, BaseDistribution]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            super().__init__(scramble=True, seed=seed)
        self.index = index
        self.space = {name: domain for name, domain in space.items() if not domain.single()}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.space

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        return self.index


def check_sampler(arm: Arm, search: SearchConfig) -> None:
    """Check that `search.sampler` can search `arm`.

    Raises:
        ValueError: if it cannot.
    """
    if search.sampler == "grid" and arm.size() is None:
        name = next(name for name, domain in arm.space.items() if domain.grid() is None)
        raise ValueError(
            f"sampler 'grid' needs a finite space, but {name!r} of arm {arm.name!r} is {arm.space[name]!r}; "
            "list its values, give a `step`, or take another sampler"
        )
    if search.sampler == "cmaes" and importlib.util.find_spec("cmaes") is None:
        raise ValueError("sampler 'cmaes' needs the package 'cmaes', which is not installed; run `pip install cmaes`")
    if search.sampler == "cmaes" and len(search.objectives) > 1:
        metrics = [objective.metric for objective in search.objectives]
        raise ValueError(f"sampler 'cmaes' takes one objective, but got {metrics!r}; keep one, or take 'tpe'")


def distribution(domain: Domain) -> BaseDistribution:
    """The domain as an Optuna distribution. A stepped float range becomes the (exact) positions of its grid."""
    match domain:
        case FloatRange(step=None):
            return FloatDistribution(domain.low, domain.high, log=domain.log)
        case FloatRange():
            return IntDistribution(0, len(domain.grid() or ()) - 1)
        case IntRange():
            last = domain.low + (domain.high - domain.low) // domain.step * domain.step
            return IntDistribution(domain.low, last, log=domain.log, step=domain.step)
        case Choice():
            return CategoricalDistribution(domain.options)


def encode(domain: Domain, value: Value) -> Value:
    """A value of `domain` as Optuna's distribution has it."""
    if isinstance(domain, FloatRange) and domain.step is not None:
        return round((float(value) - domain.low) / domain.step)
    return value


def decode(domain: Domain, value: Value) -> Value:
    """The inverse of `encode`, as a plain Python value."""
    if isinstance(domain, FloatRange):
        grid = domain.grid() if domain.step is not None else None
        return float(grid[int(value)] if grid else value)
    return int(value) if isinstance(domain, IntRange) else value


def grid_point(arm: Arm, index: int) -> Params:
    """Number `index` of all combinations of a finite space; the last hyperparameter changes fastest."""
    params: Params = {}
    for name, domain in reversed(arm.space.items()):
        values = domain.grid()
        assert values is not None
        index, position = divmod(index, len(values))
        params[name] = values[position]
    return {name: params[name] for name in arm.space}
