"""Sections of the report that describe the study: introduction, arms and settings, data, open choices of the papers."""

from collections.abc import Iterable

from pydantic import BaseModel, JsonValue

from search_spaces.domains import Choice, Domain, FloatRange
from study.analysis.notation import show_param
from study.analysis.study_results import StudyResults
from study.config.study_config import Arm, StudyConfig
from study.report.format.document import Block, Heading, Items, Table, Text
from study.report.format.tables import settings_table
from study.report.sections.findings import seeds_text
from trainables.common.atomic_files import read_json
from trainables.data import DATASETS
from trainables.stages.artifacts import StageStore
from trainables.stages.prepared import prepared_stage
from trainables.tasks import TASKS

CHOICES: dict[str, tuple[str, ...]] = {
    "kd": (
        "`kd`: the convex mix (1 − λ)·CE + λ·T²·KL; the factor T² and the mix are this project's reading for classes.",
    ),
    "feature_kd": (
        "`feature_kd`: MSE is averaged over feature dimensions (`reduction: sum` gives Eq. 1's sum); where the widths "
        "differ, a linear adapter maps student features to the teacher's width.",
    ),
    "ciba": (
        "`ciba`: the student imitates the mean of the frozen encoder, h' = μ, not a sample; it is initialised again in "
        "stage 2; the weight λ_IB and the widths of the bottleneck's networks are not in the paper.",
        "`ciba`: sizes of the `sa` and `vq` bottlenecks, and what regularises them, are not in the paper, nor is how "
        "to tell that a spectrum has stopped changing.",
        "`ciba`: the margin and the temperature of the Margin and CLIP feature losses are not in the paper.",
    ),
    "clip_kd": (
        "`clip_kd`: TE1 and TE2 are proxies, and no transfer entropy is estimated: cosines of differences between rows "
        "that are neighbours in the batch, taken after normalisation (and after the projection to the teacher's "
        "width), lag 0, mean over both modalities; the order of a shuffled batch has a true transfer entropy of 0.",
        "`clip_kd`: KL uses one temperature for teacher and student; MI is InfoNCE between student and teacher within "
        "each modality, negative; the weight of AFD is 1 unless swept. Their weights and learning rates are not in the "
        "sources.",
        "Retrieval: a wrong candidate that is exactly as similar as the right one counts against the student, and any "
        "of an image's captions is a hit. KL and MSE to the teacher are of the whole validation split.",
    ),
}
"""By method: choices where the papers are silent. A method without any needs no entry."""

GENERAL_CHOICES = (
    "Features are tapped before the last ReLU unless `tap` says otherwise; the papers do not say on which side.",
    "The papers do not name the test behind their p-values; here it is Welch's, two-sided.",
)


def counted(task: str, number: int) -> str:
    """`10 classes`, `1 output`, `at most 5 captions`."""
    unit = TASKS[task].counted
    most = "at most " if unit == "caption" else ""
    return f"{most}{number} {unit}{'' if number == 1 else 'es' if unit.endswith('s') else 's'}"


def introduction(study: StudyConfig, results: StudyResults) -> list[Block]:
    """A paragraph that describes the study."""
    data = study.arms[0].base.data
    shape = DATASETS[tag(data, "dataset")].shape(data)
    objectives = ", ".join(f"{objective.direction} `{objective.metric}`" for objective in study.search.objectives)
    baselines = ", ".join(f"`{name}`" for name in dict.fromkeys(results.baselines.values())) or f"`{results.baseline}`"
    first = " The comparison below uses the first objective." if len(study.search.objectives) > 1 else ""
    return [
        Text(
            f"This study compares {len(study.arms)} arms on `{tag(data, 'dataset')}` ({shape.train} training pairs, "
            f"{shape.val} validation, {shape.test} test, {counted(data.task, shape.num_classes)}). "
            f"Each arm is a method with its own search space and the same budget: up to {study.search.trials} "
            f"configurations, proposed by `{study.search.sampler}`, pruned by `{study.search.pruner}`, each run with "
            f"{seeds_text(len(study.search.seeds))} ({', '.join(map(str, study.search.seeds))}). Objective: "
            f"{objectives}, mean over seeds.{first} Baseline: "
            f"{baselines}."
        )
    ]


def settings(study: StudyConfig) -> list[Block]:
    """Arms, data, networks and training in full."""
    rows = tuple(
        (f"`{arm.name}`", f"`{tag(arm.base.method, 'method')}`", space_text(arm), fixed_text(arm)) for arm in study.arms
    )
    bases = {
        part: {arm.name: settings_text(getattr(arm.base, part)) for arm in study.arms}
        for part in ("data", "teacher", "student", "training", "pretraining")
    }
    values: dict[str, object] = {
        part if len(set(texts.values())) == 1 else f"{part} of {name}": text
        for part, texts in bases.items()
        for name, text in texts.items()
    }
    arms = Table("Arms and their search spaces.", ("arm", "method", "swept", "fixed"), rows, 4)
    base = settings_table("Data, networks and training. Swept values replace these.", values)
    return [Heading("Arms and settings"), arms, base]


def tag(config: BaseModel, name: str) -> str:
    """The entry of a table that a config names: its `dataset`, `model` or `method`."""
    return str(getattr(config, name))


def settings_text(config: BaseModel) -> str:
    """`name = value` of every field."""
    return pairs_text(config.model_dump(mode="json").items())


def pairs_text(pairs: Iterable[tuple[str, JsonValue]]) -> str:
    """`name = value`, joined by commas."""
    return ", ".join(f"{name} = {value_text(value)}" for name, value in pairs)


def value_text(value: JsonValue) -> str:
    """A value as YAML would show it."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ", ".join(map(value_text, value)) + "]"
    return show_param(value) if isinstance(value, bool | int | float | str) else str(value)


def space_text(arm: Arm) -> str:
    """The arm's search space in one line."""
    return "; ".join(f"{name} {domain_text(domain)}" for name, domain in arm.space.items()) or "nothing"


def domain_text(domain: Domain) -> str:
    """A domain as the papers write it: {2, 4, 8} or [0.1, 10] log."""
    if isinstance(domain, Choice):
        return "{" + ", ".join(show_param(option) for option in domain.options) + "}"
    step = (
        ""
        if domain.step is None or (domain.step == 1 and not isinstance(domain, FloatRange))
        else f" step {domain.step:g}"
    )
    return f"[{show_param(domain.low)}, {show_param(domain.high)}]{' log' if domain.log else ''}{step}"


def fixed_text(arm: Arm) -> str:
    """The method's hyperparameters that the arm does not sweep."""
    swept = {arm.path(name) for name in arm.space}
    values = arm.base.method.model_dump(mode="json").items()
    return (
        pairs_text((name, value) for name, value in values if name != "method" and f"method.{name}" not in swept) or "–"
    )


def silent_choices(study: StudyConfig) -> list[Block]:
    """Choices that the papers leave open."""
    methods = dict.fromkeys(tag(arm.base.method, "method") for arm in study.arms)
    items = [choice for method in methods for choice in CHOICES.get(method, ())]
    return [Heading("Choices where the papers are silent"), Items((*items, *GENERAL_CHOICES))]


def data_notes(study: StudyConfig) -> list[Block]:
    """The notes of each prepared data set, and the arms that use it; empty without notes."""
    stages, arms = StageStore(study.stages_directory), dict[str, list[str]]()
    notes: dict[str, dict[str, JsonValue]] = {}
    for arm in study.arms:
        try:
            stage = prepared_stage(arm.base)
        except (OSError, ValueError):
            continue  # the key of the stage depends on the raw files, which are missing
        if stages.has(stage):
            notes[stage.key] = read_json(stages.path(stage) / "stage.json")["notes"].get("notes", {})
            arms.setdefault(stage.key, []).append(f"`{arm.name}`")
    items = tuple(
        f"{', '.join(arms[key])}: {notes_text(values)}" for key, values in notes.items() if notes_text(values)
    )
    return [Heading("Data as prepared"), Items(items)] if items else []


def notes_text(notes: dict[str, JsonValue]) -> str:
    """`clips 24; clips skipped 1; ...`, without empty lists."""
    shown = {name.replace("_", " "): value for name, value in notes.items() if value not in ([], "", None)}
    return "; ".join(
        f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in shown.items()
    )
