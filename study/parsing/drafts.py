"""One arm as a study file describes it, before its parts are checked together."""

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from search_spaces.domains import Choice, Domain, Value
from search_spaces.space import names_of
from study.config.spectrum_rule import SpectrumRule
from study.config.study_file import ARM_SECTIONS
from study.parsing.problems import Place
from study.parsing.sections import Section
from study.parsing.yaml_tree import Node, join


class SpaceEntry(NamedTuple):
    """One swept hyperparameter."""

    domain: Domain
    node: Node
    path: str
    """Where it is written, by canonical names: `space.batch_size`, `arms.ciba.space.bottleneck_dim`."""
    rule: SpectrumRule | None = None
    """How H is chosen from the domain before the search, if the file says `from_spectrum`."""

    def endpoints(self) -> Iterator[tuple[Value, Place]]:
        """The values at the edge of the domain (each choice, or both ends of a range), each with its place."""
        if isinstance(self.domain, Choice):
            for index, option in enumerate(self.domain.options):
                yield option, self.node.at((index,))
        else:
            yield self.domain.low, self.node.at(("low",))
            yield self.domain.high, self.node.at(("high",))


class Hyperparameter(NamedTuple):
    """One field that a space names."""

    name: str
    """Canonical name: `temperature`, `student.feature_dim`."""
    field: FieldInfo
    path: str
    """Path in a TrialConfig: `method.temperature`."""


class ArmDraft(NamedTuple):
    """One arm as the file describes it."""

    name: str
    place: Place
    sections: dict[str, Section]
    """`data`, `teacher`, `student`, `training`, `pretraining` and `method`, with the study's values included. A section
    that could not be read is missing."""
    space: dict[str, SpaceEntry]
    """Swept hyperparameters by canonical name."""
    written: str = ""
    """Name in the file, if `pairs` makes several arms of it."""

    @property
    def path(self) -> str:
        """Where the file describes it."""
        return join("arms", self.written or self.name)

    @property
    def complete(self) -> bool:
        """Whether every section was read."""
        return len(self.sections) == len(ARM_SECTIONS) + 1

    def trial_path(self, name: str) -> str:
        """Path in a TrialConfig of a hyperparameter that the arm has."""
        found = find_hyperparameter(self.sections, name)
        assert found is not None
        return found.path

    def fixed_value(self, path: str) -> object:
        """The value at `path` of a TrialConfig where it is not swept: the file's, or else the default."""
        part, key = path.split(".")
        section = self.sections[part]
        return section.fields[key].value if key in section.fields else section.config.model_fields[key].default

    def place_of(self, path: str) -> tuple[Place, str]:
        """Place and path in the file where a user can change the value at `path` of a TrialConfig."""
        part, _, key = path.partition(".")
        for name, entry in self.space.items():
            if self.trial_path(name) == path:
                return entry.node.place, entry.path
        section = self.sections[part]
        if key in section.fields:
            return section.fields[key].place, section.fields[key].path
        return section.place, f"{section.path}.{key}" if key else section.path


def find_hyperparameter(sections: dict[str, Section], name: str) -> Hyperparameter | None:
    """The field that a space calls `name`, or None if the arm has no such field.

    A name without a dot is looked up in the method first and then in `training`: `T` is `temperature`, `training.B` is
    `batch_size`, `student.feature_dim` keeps its name.
    """
    part, _, key = name.rpartition(".")
    for candidate in [part] if part else ["method", "training"]:
        config = sections[candidate].config if candidate in sections else None
        if config and (field := names_of(config).get(key)):
            canonical = canonical_name(sections["method"].config, candidate, field)
            return Hyperparameter(canonical, config.model_fields[field], f"{candidate}.{field}")
    return None


def canonical_name(method: type[BaseModel], part: str, field: str) -> str:
    """The name of a hyperparameter in a space: without a dot if it is the method's, or only training has it."""
    plain = part == "method" or (part == "training" and field not in method.model_fields)
    return field if plain else f"{part}.{field}"
