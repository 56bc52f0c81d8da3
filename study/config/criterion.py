"""`criterion:` of a study file: how to estimate whether distillation will pay, and what to do with the estimate."""

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, JsonValue, SerializeAsAny, WithJsonSchema

from search_spaces.explain import not_a_choice
from trainables.common.types import Frozen
from trainables.mi import ESTIMATORS, IntervalConfig
from trainables.mi.base import MIConfig
from trainables.stages.criterion import CriterionSettings

ESTIMATOR_SCHEMA: dict[str, JsonValue] = {
    "anyOf": [
        {"enum": [name for name, entry in ESTIMATORS.items() if "continuous" in entry.targets]},
        {"type": "object", "required": ["estimator"]},
    ]
}


def estimator_config(given: object) -> object:
    """An estimator by name, or by a mapping that also sets its options.

    Raises:
        ValueError: if there is no such estimator, or (pydantic's) if it has no such setting.
    """
    if isinstance(given, MIConfig):
        return given
    values: dict[str, Any] = dict(cast(dict[str, Any], given)) if isinstance(given, dict) else {"estimator": given}
    name = values.get("estimator")
    able = [known for known, entry in ESTIMATORS.items() if "continuous" in entry.targets]
    if not isinstance(name, str) or name not in able:
        raise ValueError(not_a_choice(name, able))
    known = ESTIMATORS[name].config.model_fields
    for key in values:
        if key not in known:
            raise ValueError(
                f"{name} has no setting {key!r}; known settings: {', '.join(sorted(set(known) - {'interval'}))}"
            )
    return ESTIMATORS[name].config.model_validate(values)


Estimator = Annotated[SerializeAsAny[MIConfig], BeforeValidator(estimator_config), WithJsonSchema(ESTIMATOR_SCHEMA)]


class CriterionConfig(Frozen):
    """Estimates G = I(H1;H2) - I(H2;Y), in nats, from frozen unimodal networks. G > 0: distillation should pay.

    This is the cross-modal complementarity hypothesis (sufficient for Gaussians, not necessary). G is computed before
    any distillation, once for each pair of teacher and student and each seed, and stored with the shared stages.
    """

    estimator: Estimator = Field(default="ksg", validate_default=True)
    """Estimator of both terms: a name, or a mapping such as `{estimator: ksg, k: 5}`."""
    action: Literal["report", "gate"] = "report"
    """`report` compares G with the measured gains. `gate` also skips configurations with the verdict "does not pay"."""
    explore: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the configurations with that verdict that are run anyway, so that the gate can be judged."""
    pca: Annotated[int, Field(ge=1)] | None = 8
    """Principal components of H1 and H2 that are kept (neighbour estimates fail above about 20 dimensions); null:
    all. An estimator's own `pca` replaces this one."""
    representation: Literal["features", "logits"] = "features"
    """What H1 and H2 are: the penultimate activations, or the scores."""
    split: Literal["val", "test"] = "val"
    """Split whose pairs are used. A gate must not use the test pairs."""
    subsamples: Annotated[int, Field(ge=2)] = 20
    """Random parts of the pairs that the intervals are computed from."""
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the pairs in each part."""
    self_test: Annotated[int, Field(ge=0)] = 2
    """Number of tests on Gaussians of each of four known values, with the same number of rows and dimensions. The error
    is shown next to every estimate; 0: no tests."""
    compare: tuple[Estimator, ...] = ()
    """Additional estimators that are reported but do not decide."""

    @property
    def settings(self) -> CriterionSettings:
        """What determines the estimates, with the estimator that decides."""
        return self.settings_with(self.estimator)

    @property
    def settings_by_name(self) -> dict[str, CriterionSettings]:
        """All estimators' settings by name, the one that decides first; a repeated name lists what was set."""
        found: dict[str, CriterionSettings] = {}
        for config in (self.estimator, *self.compare):
            told = config.model_dump(exclude_unset=True, exclude={"estimator"})
            longer = ", ".join([config.kind, *(f"{key} = {value}" for key, value in told.items())])
            names = (config.kind, longer, *(f"{longer} ({number})" for number in range(2, 100)))
            found[next(name for name in names if name not in found)] = self.settings_with(config)
        return found

    def settings_with(self, estimator: MIConfig) -> CriterionSettings:
        """The settings with one estimator, its `pca` filled in; the interval of the gap is computed separately."""
        changed = {"pca": estimator.pca or self.pca, "interval": IntervalConfig(subsamples=0)}
        return CriterionSettings(
            mi=estimator.model_copy(update=changed),
            representation=self.representation,
            split=self.split,
            subsamples=self.subsamples,
            fraction=self.fraction,
        )
