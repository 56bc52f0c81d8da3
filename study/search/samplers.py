"""Samplers: the next configuration of an arm, as a pure function of what the arm has tried so far.

Optuna's samplers keep state (a random generator, caches, attributes of their trials) that a kill would lose. So every
suggestion is made by a fresh sampler, seeded by (search.sampler_seed, arm, proposal number, attempt), on a throw-away
Optuna study that holds the earlier configurations in the order of their numbers. Nothing has to be saved, and a
suggestion that is turned down leaves no trace. This holds exactly for each sampler: CMA-ES, whose state grows from
generation to generation, is taken through the earlier configurations once more; QMC draws the point of its sequence
that the proposal's number names.
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
"""Where a configuration stands. Samplers learn from complete and pruned ones and keep away from running ones;
of skipped ones they are not told."""

STATES: dict[State, TrialState] = {
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "skipped": TrialState.FAIL,
}


INDEPENDENT = ("grid", "random", "qmc")
"""Samplers whose proposals do not depend on what earlier configurations came to."""


class Observation(NamedTuple):
    """What a sampler may know of one earlier configuration."""

    params: Params
    state: State
    values: tuple[float, ...] = ()
    """Mean over seeds of each objective, if complete."""
    epochs: dict[int, float] = {}  # noqa: RUF012 - never changed
    """First objective after each epoch of the first seed."""


class Sampler:
    """Suggests configurations of one arm."""

    def __init__(self, arm: Arm, search: SearchConfig) -> None:
        """Raises ValueError if the sampler cannot work in the arm's space or is not installed."""
        check_sampler(arm, search)
        self.arm = arm
        self.search = search
        self.distributions = {name: distribution(domain) for name, domain in sorted(arm.space.items())}

    def suggest(self, earlier: Sequence[Observation], number: int, attempt: int = 0) -> Params:
        """The configuration to try as proposal `number`.

        Args:
            earlier: the arm's configurations so far, by number.
            number: position of the proposal in the arm.
            attempt: 0, then 1, 2, ... for another suggestion in place of one that was turned down.

        """
        if self.search.sampler == "cmaes":
            return self._suggest_cmaes(earlier, number, attempt)
        sampler = self._sampler(number, attempt)
        study = optuna.create_study(directions=self._directions(), sampler=sampler)
        study.add_trials([self._frozen(observation) for observation in earlier])
        return self._ask(study)

    def random(self, number: int, attempt: int) -> Params:
        """A configuration drawn blindly, seeded in the same way."""
        sampler = optuna.samplers.RandomSampler(seed=self._seed("random", number, attempt))
        return self._ask(optuna.create_study(sampler=sampler))

    def _suggest_cmaes(self, earlier: Sequence[Observation], number: int, attempt: int) -> Params:
        """Ask and tell the earlier configurations again, which rebuilds the generations, then ask for the new one."""
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
            _ = trial.relative_params  # lets CMA-ES assign the trial to a generation, although its values are given
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
    """Point `index` of the arm's scrambled Sobol sequence, where Optuna's own counts the points it has handed out."""

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
    """Raise ValueError (rule, value, remedy) if `search.sampler` cannot search `arm`."""
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
    """The domain as Optuna sees it. A stepped float range is its grid's positions, which are exact."""
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
    """A value of `domain` as it stands in Optuna."""
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
