"""Names, values and domains of hyperparameters, read from the fields of config classes.

This module uses pydantic classes and domains only; it does not depend on what the hyperparameters are for.
"""

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from search_spaces.domains import Aliases, Choice, Domain, FloatRange, IntRange, Value
from search_spaces.explain import Location, nearest, one_of, shown, words_for

DEFAULT = "default"
"""The word for the range that the field declares."""

RANGE_KEYS = ("low", "high", "log", "step")
OTHER_RANGE_KEYS = {"min": "low", "max": "high", "lower": "low", "upper": "high", "start": "low", "stop": "high"}
"""Names that other tools use for the ends of a range, with ours."""

Kind = Literal["int", "float", "bool", "text", "other"]


class Fault(NamedTuple):
    """One error in a value."""

    location: Location
    """Position inside the value; empty for the value itself."""
    message: str


class ValueProblem(ValueError):
    """All errors in one value."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = faults


def aliases(field: FieldInfo) -> tuple[str, ...]:
    """Other names of a field."""
    return next((item.names for item in field.metadata if isinstance(item, Aliases)), ())


def names_of(config: type[BaseModel]) -> dict[str, str]:
    """Every name under which a field of `config` may be written, and its canonical name."""
    fields = config.model_fields.items()
    return {name: name for name, _ in fields} | {alias: name for name, field in fields for alias in aliases(field)}


def declared_domain(field: FieldInfo) -> Domain | None:
    """The search range that a field declares, or None."""
    return next((item for item in field.metadata if isinstance(item, FloatRange | IntRange | Choice)), None)


def domain_words(domain: Domain | None) -> str:
    """A domain in a few words: `1 to 8, log` or `2, 4, 8`; empty for None."""
    if isinstance(domain, Choice):
        return ", ".join(str(option) for option in domain.options)
    if domain is None:
        return ""
    step = (
        "" if domain.step is None or (isinstance(domain, IntRange) and domain.step == 1) else f", step {domain.step:g}"
    )
    return f"{domain.low:g} to {domain.high:g}{', log' if domain.log else ''}{step}"


def declared_domains(config: type[BaseModel]) -> dict[str, Domain]:
    """The search range of every field that declares one, by canonical name."""
    domains = {name: declared_domain(field) for name, field in config.model_fields.items()}
    return {name: domain for name, domain in domains.items() if domain is not None}


def kind_of(field: FieldInfo) -> Kind:
    """The kind of value that a field takes; for an optional field the kind of its set values."""
    return _kind(field.annotation)


def _kind(annotation: Any) -> Kind:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin in (Union, UnionType):
        kinds: set[Kind] = {_kind(part) for part in get_args(annotation) if part is not NoneType}
        return kinds.pop() if len(kinds) == 1 else "other"
    if origin is Literal:
        return "text" if all(isinstance(option, str) for option in get_args(annotation)) else "other"
    kinds_by_type: dict[Any, Kind] = {int: "int", float: "float", bool: "bool", str: "text"}
    return kinds_by_type.get(annotation, "other")


def json_schema(field: FieldInfo) -> dict[str, Any]:
    """The JSON schema of one field."""
    return TypeAdapter[Any](_annotated(field)).json_schema()


def _annotated(field: FieldInfo) -> Any:
    annotation: Any = field.annotation
    for item in field.metadata:
        annotation = Annotated[annotation, item]
    return annotation


def coerce(value: Any, field: FieldInfo) -> Any:
    """`value` converted to the type of `field`: `"1e-4"` becomes 0.0001 for a float field.

    Raises:
        ValueProblem: with the rule, the value and the fix.
    """
    if kind_of(field) != "text" and "bool" not in str(field.annotation) and (booleans := _booleans_in(value)):
        raise ValueProblem(*(Fault(location, _boolean_message(boolean, field)) for location, boolean in booleans))
    is_model = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)  # has its own config
    config = None if is_model else ConfigDict(allow_inf_nan=False)
    try:
        return TypeAdapter[Any](_annotated(field), config=config).validate_python(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise ValueProblem(*(Fault(detail["loc"], words_for(detail)) for detail in details)) from None


def _booleans_in(value: Any, location: Location = ()) -> list[tuple[Location, bool]]:
    """Every boolean in a nested value with its position. Python would accept them as the numbers 1 and 0."""
    if isinstance(value, bool):
        return [(location, value)]
    if isinstance(value, list):
        items = cast(list[Any], value)
        return [pair for index, item in enumerate(items) for pair in _booleans_in(item, (*location, index))]
    return []


def _boolean_message(value: bool, field: FieldInfo) -> str:
    number = "a whole number" if kind_of(field) != "float" else "a number"
    digit = "1" if value else "0"
    return f"must be {number}, but got the boolean {shown(value)}; write {digit} if you mean the number"


def domain_from(value: Any, field: FieldInfo) -> Domain:
    """The domain that `value` (a list, a range or `default`) describes for `field`. All its values are checked.

    Raises:
        ValueProblem: with one fault for each wrong endpoint or choice.
    """
    if kind_of(field) == "other":
        raise ValueProblem(Fault((), "contains several values and cannot be swept; make an arm for each value"))
    if value == DEFAULT:
        declared = declared_domain(field)
        if declared is None:
            raise ValueProblem(Fault((), "declares no default range; give a list or {low, high}"))
        return declared
    if isinstance(value, list):
        return _choice(cast(list[Any], value), field)
    if isinstance(value, dict):
        return _range(cast(dict[str, Any], value), field)
    raise ValueProblem(
        Fault((), f"needs a list, {{low, high}} or the word default, but got {shown(value)}{_fixed(value)}")
    )


def _fixed(value: Any) -> str:
    return (
        ""
        if value is None or isinstance(value, bool)
        else f"; a fixed value belongs outside `space:`, or write [{value}]"
    )


def _choice(options: list[Any], field: FieldInfo) -> Choice:
    faults: list[Fault] = []
    values: list[Value] = []
    for index, option in enumerate(options):
        try:
            if option is None:
                raise ValueProblem(Fault((), "null cannot be one of the choices; make a separate arm for it"))
            values.append(coerce(option, field))
        except ValueProblem as problem:
            faults += [Fault((index, *fault.location), fault.message) for fault in problem.faults]
    if faults:
        raise ValueProblem(*faults)
    repeated = [index for index, option in enumerate(values) if option in values[:index]]
    if repeated:
        raise ValueProblem(
            *(Fault((index,), f"{shown(values[index])} is listed twice; remove one") for index in repeated)
        )
    try:
        return Choice(tuple(values))
    except ValueError as error:
        raise ValueProblem(Fault((), str(error))) from None


def _range(given: dict[str, Any], field: FieldInfo) -> Domain:
    kind = kind_of(field)
    if kind not in ("int", "float"):
        raise ValueProblem(Fault((), "must be a list, because words have no range; write [...]"))
    faults = [Fault((key,), _unknown_range_key(key)) for key in given if key not in RANGE_KEYS]
    faults += [Fault((), f"a range needs `{key}`; write {{low: ..., high: ...}}") for key in _missing(given)]
    ends: dict[str, Any] = {}
    for key in ("low", "high"):
        try:
            if key in given:
                ends[key] = coerce(given[key], field)
        except ValueProblem as problem:
            faults += [Fault((key,), fault.message) for fault in problem.faults]
    log, step = given.get("log", False), given.get("step")
    if not isinstance(log, bool):
        faults.append(Fault(("log",), f"must be true or false, but got {shown(log)}"))
    if step is not None:
        try:
            step = coerce(step, FieldInfo(annotation=int if kind == "int" else float))
        except ValueProblem as problem:
            faults += [Fault(("step",), fault.message) for fault in problem.faults]
    if faults:
        raise ValueProblem(*faults)
    return _checked_range(kind, ends, log, step)


def _checked_range(kind: Kind, ends: dict[str, Any], log: bool, step: Any) -> Domain:
    if log and step is not None:
        raise ValueProblem(Fault(("step",), "`log` and `step` cannot be combined; list the values instead: [...]"))
    try:
        if kind == "int":
            return IntRange(**ends, log=log, step=1 if step is None else step)
        return FloatRange(**ends, log=log, step=step)
    except ValueError as error:
        raise ValueProblem(Fault(("step",) if "`step`" in str(error) else ("low",), str(error))) from None


def _missing(given: dict[str, Any]) -> list[str]:
    renamed = {OTHER_RANGE_KEYS.get(key, nearest(key, RANGE_KEYS)) for key in given if key not in RANGE_KEYS}
    return [key for key in ("low", "high") if key not in given and key not in renamed]


def _unknown_range_key(key: str) -> str:
    guess = OTHER_RANGE_KEYS.get(key) or nearest(key, RANGE_KEYS)
    use = "write a choice as a list: [...]" if key in ("values", "choices") else f"use {one_of(RANGE_KEYS)}"
    return f"a range has no key {key!r}; " + (f"did you mean {guess}?" if guess else use)


def domain_to_json(domain: Domain) -> dict[str, Any]:
    """A domain as JSON: one key that names its kind, with its content."""
    if isinstance(domain, Choice):
        return {"choice": list(domain.options)}
    ends: dict[str, Any] = {"low": domain.low, "high": domain.high, "log": domain.log, "step": domain.step}
    return {"float" if isinstance(domain, FloatRange) else "int": ends}


def domain_from_json(value: Any) -> Domain:
    """The domain that `domain_to_json` wrote; a domain is returned as it is."""
    if isinstance(value, FloatRange | IntRange | Choice):
        return value
    (kind, content), *_ = value.items()
    if kind == "choice":
        return Choice(tuple(content))
    return FloatRange(**content) if kind == "float" else IntRange(**content)
