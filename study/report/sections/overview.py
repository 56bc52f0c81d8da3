"""The sections of the report: what the study is, how the numbers are meant, and where they come from."""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, JsonValue

from search_spaces.domains import Choice, Domain, FloatRange
from study.analysis.notation import metric_name, show_param
from study.analysis.stage_usage import stage_usage
from study.analysis.study_results import StudyResults
from study.config.study_config import Arm, StudyConfig
from study.report.format.csv_tables import all_trials
from study.report.format.document import Block, Code, Heading, Items, Table, Text
from study.report.format.tables import ended_table, settings_table, stages_table
from study.report.sections.findings import seeds_text
from study.storage.manifest import as_list, read_manifest
from study.storage.store import StudyStore
from trainables.common.types import TrialResult
from trainables.data import DATASETS
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
        "`ciba`: the student imitates the mean of the frozen encoder, h' = μ, not a sample; it starts afresh in stage "
        "2; the weight λ_IB and the widths of the bottleneck's networks are not in the paper.",
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
    """What the study is, in a paragraph."""
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
    arms = Table("Arms, and what each searches.", ("arm", "method", "swept", "fixed"), rows, 4)
    base = settings_table("Data, networks and training. Swept values stand in place of these.", values)
    return [Heading("Arms and settings"), arms, base]


def tag(config: BaseModel, name: str) -> str:
    """The entry that a config names: its `dataset`, `model` or `method`."""
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


def reading(results: StudyResults) -> list[Block]:
    """How the numbers are to be read: the assumptions behind the table."""
    return [
        Heading("How to read the numbers"),
        Items(
            (
                f"An arm's configuration is the one with the best mean {metric_name(results.metric)}. That choice "
                "among many makes its validation values too good; the test examples took no part in it.",
                "The seeds of the reported runs are also those by which the configuration was chosen, so other seeds "
                "may come out slightly lower. Arms that chose among more configurations profit more.",
                "p: Welch's two-sided test of the test values over seeds, variances not assumed equal. It speaks about "
                "repeating the training on this split, not about other splits or data: all seeds share the test rows.",
                "Holm p: corrected over all arms of the table, so that the chance of even one false claim is at most "
                "5 %.",
                "g: Hedges' g, the difference in pooled standard deviations; with few seeds it is a rough number.",
                "Paired Δ: mean difference seed by seed, with Student's 95 % interval, not corrected. Equal seeds "
                "share teacher, initialisation and data order, so it can be narrower than Welch's comparison.",
            )
        ),
    ]


def ended(results: StudyResults) -> list[Block]:
    """Failed and pruned trials by name, with tracebacks."""
    blocks: list[Block] = [Heading("Failed and pruned trials")]
    tables = [table for table in (ended_table(results, "failed"), ended_table(results, "pruned")) if table]
    if not tables:
        return [*blocks, Text("None.")]
    blocks += tables
    for group, trial in all_trials(results):
        error = trial.result.error if trial.result else None
        if error and error.traceback:
            where = f"`{group.arm}`, proposal {group.number}, seed {trial.config.seed}, trial `{trial.trial_id}`"
            step = f", step {error.step}" if error.step else ""
            blocks.append(Code(error.traceback, f"Traceback of {where}{step}: {error.kind}"))
    return blocks


def work(results: StudyResults, timing: Mapping[str, float | None] | None) -> list[Block]:
    """Shared stages and where the time went."""
    done = {trial.trial_id: trial.result for _, trial in all_trials(results) if trial.result}
    trained = sum(result.seconds for result in done.values())
    text = (
        f"{len(done)} finished trials trained for {hours(trained)}{packs_text(done.values())}. {stages_text(results)}"
    )
    known = [f"{name.replace('_', ' ')} {value:.3g} s" for name, value in (timing or {}).items() if value is not None]
    if known:
        text += f" Last run: {', '.join(known)}."
    table = stages_table(results)
    return [Heading("Work done and saved"), Text(text), *([table] if table else [])]


def packs_text(results: Iterable[TrialResult]) -> str:
    """How many trials were trained together with others; empty if none was."""
    sizes = sorted(result.trained_together for result in results if result.trained_together > 1)
    if not sizes:
        return ""
    many = f"{sizes[0]} to {sizes[-1]}" if sizes[0] < sizes[-1] else f"{sizes[0]}"
    return f", {len(sizes)} of them in packs of {many} (the seconds of a pack are shared among its trials)"


def stages_text(results: StudyResults) -> str:
    """What sharing stages has spared, within the study and across studies."""
    usage = stage_usage(group for row in results.arms for group in row.groups)
    others = f"; {usage.elsewhere} of the reused ones came from other studies or estimates" if usage.elsewhere else ""
    return (
        f"Shared stages: {usage.computed} computed, {usage.reused} times reused, "
        f"{hours(usage.seconds_saved)} saved{others}."
    )


def hours(seconds: float) -> str:
    """A time in hours, below one of them in seconds too."""
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{seconds:.0f} s ({seconds / 3600:.2g} h)"


def silent_choices(study: StudyConfig) -> list[Block]:
    """Where the papers leave something open."""
    methods = dict.fromkeys(tag(arm.base.method, "method") for arm in study.arms)
    items = [choice for method in methods for choice in CHOICES.get(method, ())]
    return [Heading("Choices where the papers are silent"), Items((*items, *GENERAL_CHOICES))]


def provenance(study: StudyConfig, store: StudyStore) -> list[Block]:
    """Environment, how to reproduce, and the study file."""
    manifest = read_manifest(store)
    earlier = as_list(manifest.pop("earlier", []))
    blocks: list[Block] = [Heading("Environment")]
    if manifest:
        blocks.append(settings_table("Where the study last ran (`manifest.json`).", dict(flatten(manifest))))
    else:
        blocks.append(Text("No environment was recorded (`manifest.json` is missing)."))
    for entry in earlier:
        changed = changes(entry, manifest) if isinstance(entry, dict) else ""
        blocks.append(Text(f"Part of the study ran in another environment: {changed}."))
    return [
        *blocks,
        Heading("How to reproduce"),
        Text(reproduce(study, manifest)),
        Code(study.source),
    ]


def flatten(values: dict[str, JsonValue], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested mappings as dotted names."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value_text(value)


def changes(earlier: dict[str, JsonValue], now: dict[str, JsonValue]) -> str:
    """What an earlier environment had otherwise."""
    before, after = dict(flatten(earlier)), dict(flatten(now))
    names = [name for name in before if before[name] != after.get(name) and name not in ("command", "seeds")]
    return ", ".join(f"{name} {before[name]} (last: {after.get(name, 'none')})" for name in names)


def reproduce(study: StudyConfig, manifest: dict[str, JsonValue]) -> str:
    """The steps in words."""
    git = manifest.get("git")
    at = ""
    if isinstance(git, dict):
        dirty = ", which had uncommitted changes," if git.get("dirty") else ""
        at = f"check out commit `{git['commit']}`{dirty} and run `make install`; then "
    return (
        f"To repeat the study, {at}save the text below as `{study.study}.yaml` and run "
        f"`python -m study.run {study.study}.yaml`. A trial is determined by its config: the same versions on the same "
        "kind of machine give the same numbers, up to floating-point differences between machines."
    )
