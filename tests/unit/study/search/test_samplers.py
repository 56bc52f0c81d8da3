import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from search_spaces.domains import Choice, FloatRange, IntRange
from study.config.study_config import Arm, Objective, SearchConfig
from study.search.pruners import ArmPruner
from study.search.samplers import Observation, Sampler, State, decode, distribution, encode, grid_point
from tests.helpers.example_store import trial_config
from tests.helpers.fake_trials import accuracy, finite_arm
from trainables.common.distributed import derive_seed

SPACE = {
    "temperature": FloatRange(1.0, 8.0, log=True),
    "lambda_kd": FloatRange(0.1, 0.9),
    "batch_size": Choice((32, 64, 128)),
}
ARM = Arm(name="kd", base=trial_config("kd"), space=SPACE)


def value_of(params: dict) -> float:
    return accuracy(ARM.trial(params, 0), 4)


class ReseedingTPE(optuna.samplers.TPESampler):
    """Optuna's TPE as one would use it by hand, reseeded before each trial: the reference for ours."""

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        seed = derive_seed(0, "kd", trial.number, 0) % 2**32
        self._rng.rng.seed(seed)
        self._random_sampler._rng.rng.seed(seed)
        super().before_trial(study, trial)


class ReseedingRandom(optuna.samplers.RandomSampler):
    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._rng.rng.seed(derive_seed(0, "kd", trial.number, 0) % 2**32)


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_suggestions_are_those_of_a_living_optuna_study(name: str) -> None:
    reference = optuna.create_study(
        direction="maximize", sampler=ReseedingTPE(n_startup_trials=4) if name == "tpe" else ReseedingRandom()
    )
    sampler, earlier = Sampler(ARM, SearchConfig(sampler=name, startup_trials=4)), []
    for number in range(25):
        trial = reference.ask({key: distribution(domain) for key, domain in sorted(SPACE.items())})
        params = sampler.suggest(earlier, number)
        assert params == trial.params
        state: State = {3: "failed", 7: "failed", 9: "running", 12: "pruned", 17: "pruned"}.get(number, "complete")
        epochs = {1: value_of(params) / 2} if state == "pruned" else {}
        earlier.append(Observation(params, state, (value_of(params),) if state == "complete" else (), epochs))
        tell(reference, trial, earlier[-1])


def tell(study: optuna.Study, trial: optuna.Trial, observation: Observation) -> None:
    for epoch, value in observation.epochs.items():
        trial.report(value, epoch)
    if observation.state == "failed":
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    elif observation.state == "pruned":
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    elif observation.state == "complete":
        study.tell(trial, observation.values)


def test_cma_es_goes_through_the_generations_of_a_living_optuna_study() -> None:
    space = {"temperature": FloatRange(1.0, 8.0, log=True), "lambda_kd": FloatRange(0.1, 0.9)}
    sampler = Sampler(ARM.model_copy(update={"space": space}), SearchConfig(sampler="cmaes", startup_trials=1))
    living = optuna.samplers.CmaEsSampler(seed=derive_seed(0, "kd", "cmaes") % 2**32, n_startup_trials=1)
    reference, earlier = optuna.create_study(direction="maximize", sampler=living), []
    for number in range(20):  # three generations of six
        params = sampler.suggest(earlier, number)
        if number == 0:
            reference.enqueue_trial(params)  # a blind draw, seeded by hand in ours
        trial = reference.ask({key: distribution(domain) for key, domain in sorted(space.items())})
        _ = trial.relative_params
        assert trial.params == params
        earlier.append(Observation(params, "complete", (value_of({**params, "batch_size": 64}),)))
        reference.tell(trial, earlier[-1].values)


def test_tpe_learns_from_complete_configurations_and_ignores_failed_ones() -> None:
    sampler = Sampler(ARM, SearchConfig(startup_trials=4))
    rng, earlier = np.random.default_rng(0), []
    for _ in range(12):
        params = {"temperature": rng.uniform(1, 8), "lambda_kd": rng.uniform(0.1, 0.9), "batch_size": 64}
        earlier.append(Observation(params, "complete", (value_of(params),)))
    failed = Observation({"temperature": 2.0, "lambda_kd": 0.3, "batch_size": 64}, "failed")
    assert sampler.suggest([*earlier, failed], 12) == sampler.suggest(earlier, 12)
    assert sampler.suggest([*earlier, failed._replace(state="complete", values=(9.0,))], 12) != sampler.suggest(
        earlier, 12
    )


def test_a_suggestion_depends_on_arm_number_attempt_and_seed() -> None:
    sampler = Sampler(ARM, SearchConfig())
    other = Sampler(ARM.model_copy(update={"name": "kd2"}), SearchConfig())
    reseeded = Sampler(ARM, SearchConfig(sampler_seed=1))
    suggestions = [
        sampler.suggest([], 0),
        sampler.suggest([], 1),
        sampler.suggest([], 0, attempt=1),
        sampler.random(0, 0),
        other.suggest([], 0),
        reseeded.suggest([], 0),
    ]
    assert len({tuple(params.items()) for params in suggestions}) == 6
    assert Sampler(ARM, SearchConfig()).suggest([], 0) == suggestions[0]


def test_qmc_covers_the_space_evenly() -> None:
    arm = Arm(
        name="kd", base=trial_config("kd"), space={"lambda_kd": FloatRange(0.0, 1.0), "batch_size": Choice((32, 64))}
    )
    sampler = Sampler(arm, SearchConfig(sampler="qmc"))
    points = [sampler.suggest([], number) for number in range(16)]
    assert sorted(int(point["lambda_kd"] * 16) for point in points) == list(range(16))  # one in each sixteenth
    assert [point["batch_size"] for point in points].count(32) == 8
    assert sampler.suggest([], 3, attempt=2) == points[5]


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (FloatRange(0.1, 0.7, step=0.1), FloatRange(0.1, 0.7, step=0.1).grid()),
        (IntRange(3, 12, step=4), (3, 7, 11)),
        (Choice((8, 2, "full")), (8, 2, "full")),
        (Choice((True,)), (True,)),
        (FloatRange(2.0, 2.0), (2.0,)),
    ],
)
def test_a_finite_domain_gives_exactly_its_values(domain: object, expected: tuple) -> None:
    as_seen: BaseDistribution = distribution(domain)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = {decode(domain, study.ask({"x": as_seen}).params["x"]) for _ in range(60)}
    assert drawn == set(expected) and {type(value) for value in drawn} == {type(value) for value in expected}
    assert [decode(domain, encode(domain, value)) for value in expected] == list(expected)


def test_grid_points_count_with_the_last_hyperparameter_first() -> None:
    arm = finite_arm()
    points = [tuple(grid_point(arm, index).values()) for index in range(15)]
    assert points[:4] == [(2, 0.001), (2, 0.002), (2, 0.003), (4, 0.001)] and len(set(points)) == 15


@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_stops_are_those_of_a_living_optuna_study(pruner: str) -> None:
    search = SearchConfig(pruner=pruner, startup_trials=3, warmup_epochs=2, reduction_factor=2)
    by_hand = (
        optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=2)
        if pruner == "median"
        else optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=2)
    )
    reference = optuna.create_study(direction="maximize", pruner=by_hand)
    ours, rng, stops = ArmPruner(search), np.random.default_rng(3), []
    for number in range(20):
        trial, stopped = reference.ask(), False
        ours.begin(number)
        level = rng.uniform(0.5, 1)
        for epoch in range(1, 10):
            value = level * (1 - 0.5**epoch) + rng.normal(0, 0.05)
            trial.report(value, epoch)
            stopped = trial.should_prune()
            assert ours.report(number, epoch, value) == stopped
            if stopped:
                stops.append(epoch)
                break
        reference.tell(trial, None if stopped else level, optuna.trial.TrialState.PRUNED if stopped else None)
        ours.end(number, "pruned" if stopped else "complete", None if stopped else level)
    assert 2 in stops and len(set(stops)) > 1 and len(stops) < 20


def test_several_objectives_have_no_pruner() -> None:
    search = SearchConfig(pruner="asha", objectives=(Objective(), Objective(metric="val/loss", direction="minimize")))
    pruner = ArmPruner(search.model_copy(update={"warmup_epochs": 1}))
    for number in range(5):
        pruner.begin(number)
        assert not any(pruner.report(number, epoch, -number) for epoch in range(1, 9))
        pruner.end(number, "complete", float(-number))
