"""ResolvedStudy: a study as it is run. `study.planning.resolve` makes it from the StudyConfig of a study file."""

from pydantic import Field

from search_spaces.domains import Value
from study.config.study_config import Arm, Params, StudyConfig

NETWORK_SECTIONS = ("data", "teacher", "student", "pretraining")
"""Parts of a trial that its two unimodal networks depend on."""

PairKey = tuple[str, frozenset[tuple[str, Value]]]
"""One pair of networks of an arm: the arm's name and the swept values that the networks depend on."""


class ResolvedStudy(StudyConfig):
    """A study in which everything is decided that the study file leaves to a computation.

    Its arms search the values of H that the spectra suggest, and `skip_reasons` contains the criterion's verdicts.
    Everything that runs or reads a study takes this type.
    """

    skip_reasons: dict[PairKey, str] = Field(default={}, exclude=True)
    """Why the configurations of a pair of networks are skipped. A pair that is not in the table is run."""


def network_params(arm: Arm, params: Params) -> Params:
    """Those of `params` that the arm's unimodal networks depend on."""
    return {name: value for name, value in params.items() if arm.path(name).partition(".")[0] in NETWORK_SECTIONS}


def pair_key(arm: Arm, params: Params) -> PairKey:
    """The pair of networks that a configuration uses."""
    return arm.name, frozenset(network_params(arm, params).items())
