"""Reads the arms of a study file: what each changes of the study, and what it sweeps."""

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from search_spaces.domains import Choice, Domain, Value
from search_spaces.explain import nearest, not_a_choice
from search_spaces.space import ValueProblem, declared_domains, domain_from, names_of
from study.config.spectrum_rule import SpectrumRule
from study.config.study_file import ARM_SECTIONS, methods_with
from study.parsing.pairs import Member
from study.parsing.problems import Place, Problems
from study.parsing.sections import GivenValue, Section, entries_of, read_fields, read_tagged, twice
from study.parsing.spectrum_space import is_spectrum_rule, read_spectrum_rule
from study.parsing.yaml_tree import Node, join
from trainables.config import CHOICES, TrainingConfig
from trainables.methods import METHODS

TAGS = {"data.dataset", "teacher.model", "student.model", "method.method"}
"""Fields that say which other fields there are."""


class Swept(NamedTuple):
    """One entry of a space."""

    domain: Domain
    node: Node
    path: str
    """Where it is written, by canonical names: `space.batch_size`, `arms.ciba.space.bottleneck_dim`."""
    rule: SpectrumRule | None = None
    """How the value is chosen among the domain before the search, if the file says `from_spectrum`."""

    def endpoints(self) -> Iterator[tuple[Value, Place]]:
        """The values at the edge of the domain (each choice, both ends of a range), each with its place."""
        if isinstance(self.domain, Choice):
            for index, option in enumerate(self.domain.options):
                yield option, self.node.at((index,))
        else:
            yield self.domain.low, self.node.at(("low",))
            yield self.domain.high, self.node.at(("high",))


class Draft(NamedTuple):
    """One arm as the file describes it, before anything is checked together."""

    name: str
    place: Place
    sections: dict[str, Section]
    """`data`, `teacher`, `student`, `training`, `pretraining` and `method`, the study's values included; what the
    file makes nothing of is missing."""
    space: dict[str, Swept]
    written: str = ""
    """Name in the file, if `pairs` makes several arms of it."""

    @property
    def path(self) -> str:
        """Where the file describes it."""
        return join("arms", self.written or self.name)

    @property
    def whole(self) -> bool:
        """Whether every section is known."""
        return len(self.sections) == len(ARM_SECTIONS) + 1


def read_arm(
    name: str, member: Member, study: dict[str, Section | None], shared: Node | None, problems: Problems
) -> Draft | None:
    """One arm, or None (with the reasons among `problems`) if its method is not known."""
    written, node = member
    path = join("arms", written)
    entries = entries_of(node, path, problems)
    method = read_method(written, node, path, problems)
    if method is None:
        return None
    sections: dict[str, Section] = {"method": method}
    for part in ARM_SECTIONS:
        own = entries.get(part)
        changed = None if own is None else read_part(own, part, join(path, part), study.get(part), problems)
        base = study.get(part)
        merged = base.changed_by(changed) if base else changed
        if merged:
            sections[part] = merged
    draft = Draft(name, node.place, sections, {}, written if written != name else "")
    fixed = set(own_values(draft, entries))
    if "space" in entries:
        read_space(draft, entries["space"], join(path, "space"), fixed, problems)
    if shared is not None:
        add_shared(draft, shared, fixed, problems)
    return draft


def read_method(name: str, node: Node, path: str, problems: Problems) -> Section | None:
    """The arm's method and its fixed hyperparameters."""
    entries = node.mapping or {}
    given = entries["method"].plain if "method" in entries else name
    if not isinstance(given, str) or given not in METHODS:
        place = entries["method"].place if "method" in entries else node.place
        missing = "" if "method" in entries else "is missing, and the arm's name is no method: "
        problems.add(place, join(path, "method"), missing + not_a_choice(given, list(METHODS)))
        return None
    if name == "none" and given != "none":
        problems.add(node.place, path, f"the arm `none` must have the method none, but got {given!r}; rename the arm")
    section = read_fields(node, METHODS[given].config, path, problems, (*ARM_SECTIONS, "space"))
    section.given["method"] = GivenValue(given, node.place, join(path, "method"))
    return section


def read_part(node: Node, part: str, path: str, inherited: Section | None, problems: Problems) -> Section | None:
    """A part of a trial."""
    if part in CHOICES:
        return read_tagged(node, part, path, problems, inherited)
    return read_fields(node, TrainingConfig, path, problems)


def own_values(draft: Draft, entries: dict[str, Node]) -> Iterator[str]:
    """Swept names (as `space` writes them) of what the arm itself gives a fixed value."""
    for part, section in draft.sections.items():
        config = section.config
        written = entries if part == "method" else (entries[part].mapping or {}) if part in entries else {}
        for key in written:
            if key in names_of(config):
                found = resolve(draft.sections, f"{part}.{key}")
                if found:
                    yield found[0]


def resolve(sections: dict[str, Section], name: str) -> tuple[str, FieldInfo, str] | None:
    """Canonical name of a hyperparameter, its field and its path in a trial; None if the arm has no such thing.

    Without a dot, the method's fields come first, then the training's: `T` is `temperature`, `training.B` is
    `batch_size`, `student.feature_dim` stays as it is.
    """
    part, _, key = name.rpartition(".")
    for candidate in [part] if part else ["method", "training"]:
        config = sections[candidate].config if candidate in sections else None
        if config and (field := names_of(config).get(key)):
            return (
                canonical(sections["method"].config, candidate, field),
                config.model_fields[field],
                f"{candidate}.{field}",
            )
    return None


def target(draft: Draft, name: str) -> str:
    """Path in a trial of a swept hyperparameter."""
    found = resolve(draft.sections, name)
    assert found is not None
    return found[2]


def canonical(method: type[BaseModel], part: str, field: str) -> str:
    """The one name of a hyperparameter: no dot for the method's and for what only training has."""
    plain = part == "method" or (part == "training" and field not in method.model_fields)
    return field if plain else f"{part}.{field}"


def known_names(sections: dict[str, Section]) -> list[str]:
    """Every name that a space may use, those with a default range first."""
    first: list[str] = []
    others: list[str] = []
    for part in ("method", *(part for part in sections if part != "method")):
        config = sections[part].config
        for name, field in names_of(config).items():
            if f"{part}.{field}" not in TAGS:
                names = first if name in declared_domains(config) else others
                names += [name] * (part in ("method", "training")) + [f"{part}.{name}"] * (part != "method")
    return first + others


def read_space(draft: Draft, node: Node, path: str, fixed: set[str], problems: Problems) -> None:
    """Add the arm's own space to the draft."""
    written: dict[str, str] = {}
    for name, value in entries_of(node, path, problems).items():
        found = resolve(draft.sections, name)
        if found is None:
            if not about_unknown_section(draft, name):
                problems.add(node.keys[name], join(path, name), unknown_name(name, known_names(draft.sections), draft))
            continue
        canonical_name, field, target = found
        where = join(path, canonical_name)
        if canonical_name in written:
            problems.add(node.keys[name], where, twice(name, written[canonical_name]))
            continue
        written[canonical_name] = name
        if target in TAGS:
            problems.add(
                node.keys[name], where, "cannot be swept, because other keys depend on it; make an arm for each"
            )
        elif canonical_name in fixed:
            message = f"{name!r} is swept here and has a fixed value in the same arm; remove one of the two"
            problems.add(node.keys[name], where, message)
        elif swept := read_domain(draft, canonical_name, value, field, where, problems):
            draft.space[canonical_name] = swept


def about_unknown_section(draft: Draft, name: str) -> bool:
    """Whether `name` is in a section that the file makes nothing of: that is a problem already, and the only one."""
    part = name.partition(".")[0]
    return part in ARM_SECTIONS and part not in draft.sections


def add_shared(draft: Draft, shared: Node, fixed: set[str], problems: Problems) -> None:
    """Add what the shared space sweeps, where the arm has it and neither sweeps nor fixes it itself."""
    for name, value in (shared.mapping or {}).items():
        found = resolve(draft.sections, name)
        if found is None or found[0] in draft.space or found[0] in fixed or found[2] in TAGS:
            continue
        canonical_name, field, _ = found
        if swept := read_domain(draft, canonical_name, value, field, join("space", canonical_name), problems):
            draft.space[canonical_name] = swept


def check_shared_names(shared: Node, drafts: list[Draft], problems: Problems) -> None:
    """A name in the shared space must be one in some arm, and be given once."""
    entries = entries_of(shared, "space", problems)
    for name in entries if drafts else ():
        path = join("space", name)
        found = [match for draft in drafts if (match := resolve(draft.sections, name))]
        if not found and not any(about_unknown_section(draft, name) for draft in drafts):
            known = [known for draft in drafts for known in known_names(draft.sections)]
            problems.add(shared.keys[name], path, unknown_name(name, known, None))
        elif any(match[2] in TAGS for match in found):
            problems.add(
                shared.keys[name], path, "cannot be swept, because other keys depend on it; make an arm for each"
            )
    for draft in drafts:
        written: dict[str, str] = {}
        for name in entries:
            match = resolve(draft.sections, name)
            if match and match[0] in written:
                problems.add(shared.keys[name], join("space", match[0]), twice(name, written[match[0]]))
            elif match:
                written[match[0]] = name


def read_domain(draft: Draft, name: str, node: Node, field: FieldInfo, path: str, problems: Problems) -> Swept | None:
    """What `node` sweeps, or the grid of which it lets the spectrum choose."""
    if not is_spectrum_rule(node):
        return read_swept(node, field, path, problems)
    found = read_spectrum_rule(draft.sections, name, node, field, path, problems)
    return Swept(*found) if found else None


def read_swept(node: Node, field: FieldInfo, path: str, problems: Problems) -> Swept | None:
    """What `node` sweeps; of a list with wrong choices, the right ones, so that those are checked further."""
    try:
        return Swept(domain_from(node.plain, field), node, path)
    except ValueProblem as problem:
        for fault in problem.faults:
            problems.add(node.at(fault.location), path, fault.message)
        wrong = {fault.location[0] for fault in problem.faults if fault.location}
    if isinstance(node.value, list) and wrong:
        rest = Node([item for index, item in enumerate(node.value) if index not in wrong], node.place)
        return read_swept(rest, field, path, problems) if rest.value else None
    return None


def unknown_name(name: str, known: list[str], draft: Draft | None) -> str:
    """What to say about a swept name that nothing has."""
    said = f"no hyperparameter {name!r}" + (f" in the arm {draft.name}" if draft else " in any arm")
    if name == "seed":
        return f"{said}; seeds belong under `search.seeds:`"
    if owners := methods_with(name):
        return f"{said}; it belongs to the method {' or '.join(owners)}"
    dotted = [other for other in known if other.endswith(f".{name}")]
    if dotted:
        return f"{said}; write {' or '.join(dict.fromkeys(dotted))}"
    guess = nearest(name, known)
    return (
        f"{said}; did you mean {guess}?" if guess else f"{said}; there are {', '.join(dict.fromkeys(known[:12]))}, ..."
    )
