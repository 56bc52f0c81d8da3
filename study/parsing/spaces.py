"""Reads the shared `space` of a study file and the `space` of each arm."""

from pydantic.fields import FieldInfo

from search_spaces.domains import Choice
from search_spaces.explain import nearest
from search_spaces.space import ValueProblem, declared_domain, declared_domains, domain_from, names_of
from study.config.spectrum_rule import BOTTLENECK, KEY, SpectrumRule
from study.config.study_file import ARM_SECTIONS, methods_with
from study.parsing.drafts import ArmDraft, SpaceEntry, find_hyperparameter
from study.parsing.problems import Problems
from study.parsing.sections import Section, entries_of, read_fields, two_names
from study.parsing.yaml_tree import Node, join

TAGS = {"data.dataset", "teacher.model", "student.model", "method.method"}
"""Fields whose value decides which other fields there are."""

TAG_SWEPT = "cannot be swept, because other keys depend on it; make an arm for each"

NAMES_TO_LIST = 12
"""Known names that are listed for an unknown name."""


def read_space(draft: ArmDraft, node: Node, path: str, fixed: set[str], problems: Problems) -> None:
    """Add the arm's own space to the draft.

    Args:
        draft: Arm whose `space` is filled in.
        node: The arm's `space` in the file.
        path: Dotted path of `node`.
        fixed: Canonical names that the same arm gives a fixed value.
        problems: Receives what is wrong.
    """
    written: dict[str, str] = {}
    for name, value in entries_of(node, path, problems).items():
        found = find_hyperparameter(draft.sections, name)
        if found is None:
            if not in_unread_section(draft, name):
                problems.add(node.keys[name], join(path, name), unknown_name(name, known_names(draft.sections), draft))
            continue
        inner = join(path, found.name)
        if found.name in written:
            problems.add(node.keys[name], inner, two_names(name, written[found.name]))
            continue
        written[found.name] = name
        if found.path in TAGS:
            problems.add(node.keys[name], inner, TAG_SWEPT)
        elif found.name in fixed:
            message = f"{name!r} is swept here and has a fixed value in the same arm; remove one of the two"
            problems.add(node.keys[name], inner, message)
        elif entry := read_entry(draft, found.name, value, found.field, inner, problems):
            draft.space[found.name] = entry


def add_shared_space(draft: ArmDraft, shared: Node, fixed: set[str], problems: Problems) -> None:
    """Add the entries of the shared space that the arm has and neither sweeps nor fixes itself."""
    for name, value in (shared.mapping or {}).items():
        found = find_hyperparameter(draft.sections, name)
        if found is None or found.name in draft.space or found.name in fixed or found.path in TAGS:
            continue
        if entry := read_entry(draft, found.name, value, found.field, join("space", found.name), problems):
            draft.space[found.name] = entry


def check_shared_names(shared: Node, drafts: list[ArmDraft], problems: Problems) -> None:
    """A name in the shared space must be a hyperparameter of some arm, and no two names may mean the same field."""
    entries = entries_of(shared, "space", problems)
    for name in entries if drafts else ():
        found = [match for draft in drafts if (match := find_hyperparameter(draft.sections, name))]
        if not found and not any(in_unread_section(draft, name) for draft in drafts):
            known = [known for draft in drafts for known in known_names(draft.sections)]
            problems.add(shared.keys[name], join("space", name), unknown_name(name, known, None))
        elif any(match.path in TAGS for match in found):
            problems.add(shared.keys[name], join("space", name), TAG_SWEPT)
    for draft in drafts:
        written: dict[str, str] = {}
        for name in entries:
            match = find_hyperparameter(draft.sections, name)
            if match and match.name in written:
                problems.add(shared.keys[name], join("space", match.name), two_names(name, written[match.name]))
            elif match:
                written[match.name] = name


def read_entry(
    draft: ArmDraft, name: str, node: Node, field: FieldInfo, path: str, problems: Problems
) -> SpaceEntry | None:
    """The domain that `node` describes for a field, or None with the reasons in `problems`.

    Args:
        draft: Arm that sweeps the field.
        name: Canonical name of the field.
        node: A list, a range, `default` or `{from_spectrum: ...}`.
        field: The field itself.
        path: Dotted path of `node`.
        problems: Receives what is wrong.
    """
    if isinstance(node.value, dict) and KEY in node.value:
        return read_spectrum_entry(draft.sections, name, node, field, path, problems)
    return read_domain(node, field, path, problems)


def read_domain(node: Node, field: FieldInfo, path: str, problems: Problems) -> SpaceEntry | None:
    """The domain of a list, a range or `default`. Wrong choices of a list are left out, so that the rest is checked."""
    try:
        return SpaceEntry(domain_from(node.plain, field), node, path)
    except ValueProblem as problem:
        for fault in problem.faults:
            problems.add(node.at(fault.location), path, fault.message)
        wrong = {fault.location[0] for fault in problem.faults if fault.location}
    if isinstance(node.value, list) and wrong:
        rest = Node([item for index, item in enumerate(node.value) if index not in wrong], node.place)
        return read_domain(rest, field, path, problems) if rest.value else None
    return None


def read_spectrum_entry(
    sections: dict[str, Section], name: str, node: Node, field: FieldInfo, path: str, problems: Problems
) -> SpaceEntry | None:
    """The grid of `H: {from_spectrum: {...}}` and its rule, or None with the reasons in `problems`.

    The domain is the whole grid, because any value of it may be chosen.

    Args:
        sections: Sections of the arm.
        name: Canonical name of the swept field; only the bottleneck dimension can be chosen from spectra.
        node: The mapping with the key `from_spectrum`.
        field: The swept field, whose declared values are the default grid.
        path: Dotted path of `node`.
        problems: Receives what is wrong.
    """
    entries = node.mapping or {}
    if name != BOTTLENECK:
        message = f"`{KEY}` chooses the bottleneck dimension H, not {name}; give a list or {{low, high}}"
        problems.add(node.keys[KEY], path, message)
        return None
    for other in entries:
        if other != KEY:
            problems.add(
                node.keys[other],
                path,
                f"`{KEY}` allows no other key, but got {other!r}; remove it, or move it into `{KEY}`",
            )
    before = len(problems)
    inner = entries[KEY]
    section = read_fields(inner, SpectrumRule, join(path, KEY), problems)
    grid = section.fields.get("grid")
    if grid and not grid.value:
        problems.add(grid.place, grid.path, "must have 2 or more values, but got []; add to the list")
    if len(problems) > before or len(entries) > 1:
        return None
    rule = SpectrumRule.model_validate(section.values)
    if rule.grid:
        return SpaceEntry(Choice(rule.grid), (inner.mapping or {})["grid"], path, rule)
    declared = declared_domain(field)
    assert isinstance(declared, Choice), "the declared range of H lists its values"
    limit = student_width(sections, declared)
    options = tuple(value for value in declared.options if int(value) <= limit)
    if len(options) < 2:
        message = f"fewer than two of the declared H fit the student feature dimension {limit}; add `grid: [...]`"
        problems.add(inner.place, path, message)
        options = (1,)  # fits every student, so that no second problem is reported
    return SpaceEntry(Choice(options), inner, path, rule)


def student_width(sections: dict[str, Section], declared: Choice) -> int:
    """The student's feature dimension; the largest declared H if the student could not be read."""
    student = sections.get("student")
    if student is None:
        return int(max(declared.options))
    given = student.fields.get("feature_dim")
    return int(given.value if given else student.config.model_fields["feature_dim"].default)


def in_unread_section(draft: ArmDraft, name: str) -> bool:
    """Whether `name` belongs to a section that could not be read: that problem is reported already."""
    part = name.partition(".")[0]
    return part in ARM_SECTIONS and part not in draft.sections


def known_names(sections: dict[str, Section]) -> list[str]:
    """Every name that a space may use. Names with a default range come first."""
    with_range: list[str] = []
    others: list[str] = []
    for part in ("method", *(part for part in sections if part != "method")):
        config = sections[part].config
        for name, field in names_of(config).items():
            if f"{part}.{field}" not in TAGS:
                names = with_range if name in declared_domains(config) else others
                names += [name] * (part in ("method", "training")) + [f"{part}.{name}"] * (part != "method")
    return with_range + others


def unknown_name(name: str, known: list[str], draft: ArmDraft | None) -> str:
    """The message about a swept name that no hyperparameter has; `draft` is None for the shared space."""
    start = f"no hyperparameter {name!r}" + (f" in the arm {draft.name}" if draft else " in any arm")
    if name == "seed":
        return f"{start}; seeds belong under `search.seeds:`"
    if owners := methods_with(name):
        return f"{start}; it belongs to the method {' or '.join(owners)}"
    if dotted := [other for other in known if other.endswith(f".{name}")]:
        return f"{start}; write {' or '.join(dict.fromkeys(dotted))}"
    if guess := nearest(name, known):
        return f"{start}; did you mean {guess}?"
    return f"{start}; there are {', '.join(dict.fromkeys(known[:NAMES_TO_LIST]))}, ..."
