"""`study export`: the best student as a folder that open_clip loads without this project, and as an MLflow model.

    <output>/open_clip_config.json        open_clip's model and preprocessing config
             open_clip_model.safetensors  the weights of the selected epoch
             README.md                    what it is, and how to load it

The folder is loaded with open_clip and compared with the student before the command reports success.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn.functional import normalize

from study.analysis.notation import METRICS, metric_label, metric_name, show_params, show_value
from study.analysis.study_results import StudyResults, study_results, values_by_seed
from study.commands import open_stored
from study.config.resolved_study import ResolvedStudy
from study.errors import StudyError
from study.storage.groups import Group, collect_groups
from study.storage.store import StudyStore, TrialRecord
from study.tracking.model_registry import Example, log_export
from study.tracking.tracker import TrackingUnavailable
from trainables.common.atomic_files import write_bytes
from trainables.config import TrialConfig
from trainables.data import DATASETS
from trainables.models import MODELS
from trainables.models.base import Model
from trainables.models.contrastive.base import ContrastiveModel

if TYPE_CHECKING:
    from open_clip import CLIP

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
"""The names that open_clip looks for."""

TOLERANCE = 1e-4
"""Largest allowed difference between an embedding of the student and that of open_clip's copy."""


class OpenClipForm(NamedTuple):
    """A student as open_clip's config and weights."""

    model: dict[str, Any]
    """Its model config."""
    preprocess: dict[str, Any]
    state: dict[str, Tensor]


class Chosen(NamedTuple):
    """The student to export."""

    arm: str
    group: Group
    trial: TrialRecord
    value: float
    """Of the objective metric."""


class Exported(NamedTuple):
    """What was written."""

    folder: Path
    chosen: Chosen
    example: Example


def print_export(path: Path, arm: str | None, output: Path | None) -> None:
    """Export, register in MLflow, and print where both are. Raises StudyError.

    The folder is written even if MLflow cannot be reached.
    """
    study, store = open_stored(path)
    exported = export_student(study, store, arm, output)
    print(f"student  {exported.folder}  (arm {exported.chosen.arm}, seed {exported.chosen.trial.config.seed})")
    print(f"load     open_clip.create_model_and_transforms('local-dir:{exported.folder}')")
    try:
        registered = log_export(study, store, exported.chosen.trial.trial_id, exported.folder, exported.example)
    except (TrackingUnavailable, ValueError) as error:
        raise StudyError(f"the student is exported, but not registered: {error}") from error
    print(f"MLflow   {registered.uri} at {study.tracking.uri}")


def export_student(
    study: ResolvedStudy, store: StudyStore, arm: str | None = None, output: Path | None = None
) -> Exported:
    """Export the best student of one arm, or of all, to `output` (by default a folder of the store).

    Raises:
        StudyError: if there is none, or if open_clip has no such towers.

    """
    results = study_results(study, collect_groups(study, store))
    chosen = choose(study, results, arm)
    student = restore_student(store, chosen.trial)
    form = open_clip_form(student)
    if form is None or not isinstance(student, ContrastiveModel):
        model = chosen.trial.config.student.kind
        raise StudyError(
            "the student must be one whose towers open_clip has (model: open_clip, or model: clip with a timm "
            f"image tower, norm: batch and text: transformer), but that of arm {chosen.arm!r} is not (model: {model}); "
            f"its weights are in {store.trial(chosen.trial.trial_id).checkpoint / 'state.pt'}"
        )
    folder = output or store.directory / "export" / chosen.arm
    write_folder(folder, form, readme(study, results, chosen))
    return Exported(folder, chosen, compare_folder(folder, student, form))


def choose(study: ResolvedStudy, results: StudyResults, arm: str | None) -> Chosen:
    """The best group by the objective, of `arm` or of all arms, and in it the best seed (the first of equals)."""
    names = [row.arm for row in results.arms]
    if arm is not None and arm not in names:
        raise StudyError(f"the arm must be one of {', '.join(names)}, but got {arm!r}")
    sign = 1 if results.direction == "maximize" else -1
    rows = [row for row in results.arms if row.objective and row.best and arm in (None, row.arm)]
    if not rows:
        which = f"arm {arm!r}" if arm else f"study {study.study!r}"
        raise StudyError(f"{which} has no complete configuration yet, so there is no best student; run it first")
    best = max(rows, key=lambda row: sign * (row.objective.mean if row.objective else 0.0))
    assert best.best is not None
    values = values_by_seed(best.best, results.metric)
    seed = max(values, key=lambda seed: sign * values[seed])
    trial = next(trial for trial in best.best.trials if trial.config.seed == seed)
    return Chosen(best.arm, best.best, trial, values[seed])


def restore_student(store: StudyStore, trial: TrialRecord) -> Model:
    """The trained student with the selected epoch's weights, on the CPU, in eval mode."""
    path = store.trial(trial.trial_id).checkpoint / "state.pt"
    if not path.exists():
        raise StudyError(f"{path} is missing: the student's weights are kept there until they are deleted")
    progress = torch.load(path, weights_only=True, map_location="cpu")["progress"]
    student = empty_student(trial.config)
    student.load_state_dict(progress["best_state"])
    return student.float().eval()


def empty_student(config: TrialConfig) -> Model:
    """The trial's student, not trained: a network that sees both modalities."""
    shape = DATASETS[config.data.kind].shape(config.data)
    entry = MODELS[config.student.kind]
    own = (shape.teacher, shape.student) if config.student.sees == "both" else shape.student
    return entry.build(config.student, own, shape.num_classes)


def open_clip_form(student: Model) -> OpenClipForm | None:
    """The student as open_clip's config and weights; None where open_clip has no such towers."""
    if not isinstance(student, ContrastiveModel) or student.open_clip_config is None:
        return None
    mean, deviation = (part.flatten().tolist() for part in (student.colours.mean, student.colours.deviation))
    size = student.open_clip_config["vision_cfg"]["image_size"]
    preprocess = {"size": size, "mean": mean, "std": deviation, "interpolation": "bicubic", "resize_mode": "shortest"}
    state = student.open_clip_state() | {"logit_scale": student.scale().log()}  # held below its limit, as in training
    return OpenClipForm(student.open_clip_config, preprocess, state)


def write_folder(folder: Path, form: OpenClipForm, text: str) -> None:
    """Config, weights and README, each replaced as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": form.model, "preprocess_cfg": form.preprocess}
    weights = {name: value.detach().float().contiguous() for name, value in form.state.items()}
    write_bytes(folder / WEIGHTS, save(weights, metadata={"format": "pt"}))
    write_bytes(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    write_bytes(folder / "README.md", text.encode())


def load_folder(folder: Path) -> "CLIP":
    """The model that open_clip loads from an exported folder, in eval mode."""
    import open_clip

    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return cast("CLIP", model.eval())


@torch.no_grad()
def compare_folder(folder: Path, student: ContrastiveModel, form: OpenClipForm) -> Example:
    """Inputs and outputs of open_clip's copy for an example. Raises StudyError where the student's outputs differ."""
    loaded = load_folder(folder)
    pixels, tokens = example_inputs(form)
    mean, deviation = (torch.tensor(form.preprocess[name])[:, None, None] for name in ("mean", "std"))
    images = (pixels - mean) / deviation
    theirs = loaded.encode_image(images, normalize=True), loaded.encode_text(tokens.long(), normalize=True)
    ours = student.encode_images(pixels), student.encode_text(tokens)
    for mine, other in zip(ours, theirs, strict=True):
        difference = float((normalize(mine, dim=1) - other).abs().max())
        if not difference < TOLERANCE:
            raise StudyError(
                f"{folder}: the embeddings of open_clip's copy differ from the student's by {difference:.2g}, which "
                f"must be below {TOLERANCE:g}; do not use this export, and report it"
            )
    inputs = {"images": images.numpy(), "tokens": tokens.long().numpy()}
    return Example(inputs, {"image_embeddings": theirs[0].numpy(), "text_embeddings": theirs[1].numpy()})


def example_inputs(form: OpenClipForm) -> tuple[Tensor, Tensor]:
    """Two pictures with values in [0, 1] and two short captions, as token numbers."""
    side, text = form.preprocess["size"], form.model["text_cfg"]
    height, width = (side, side) if isinstance(side, int) else side
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 3, height, width, generator=generator)
    tokens = torch.zeros(2, text["context_length"], dtype=torch.int32)
    end = text["vocab_size"] - 1
    tokens[0, :4] = torch.tensor([end - 1, 320, 1125, end])
    tokens[1, :3] = torch.tensor([end - 1, 1929, end])
    return pixels, tokens


def readme(study: ResolvedStudy, results: StudyResults, chosen: Chosen) -> str:
    """The README of the folder: the student, how to load it, and its metrics."""
    measured = chosen.trial.result.metrics if chosen.trial.result else {}
    shown = [
        f"| {metric_label(name)} | {show_value(measured[name], name)} |"
        for name in sorted(measured, key=place_in_tables)
        if not name.startswith("train/")
    ]
    lines = [
        f"# Student of study {study.study}, arm {chosen.arm}",
        "",
        f"Trial `{chosen.trial.trial_id}`, seed {chosen.trial.config.seed}, {show_params(chosen.group.params)}: the "
        f"seed with the best value of the configuration with the best mean {metric_name(results.metric)}.",
        "",
        "```python",
        "import open_clip",
        "",
        'folder = "local-dir:."  # this folder',
        "model, preprocess_train, preprocess = open_clip.create_model_and_transforms(folder)",
        "tokenizer = open_clip.get_tokenizer(folder)",
        "image = model.encode_image(preprocess(picture)[None], normalize=True)  # picture: a PIL image",
        'text = model.encode_text(tokenizer(["a caption"]), normalize=True)',
        "```",
        "",
        "| metric | value |",
        "|---|---:|",
        *shown,
    ]
    return "\n".join(lines) + "\n"


def place_in_tables(metric: str) -> tuple[str, int, str]:
    """Sorts metrics by split, and within it as tables have them: R@5 before R@10."""
    split, _, name = metric.partition("/")
    known = list(METRICS)
    return split, known.index(name) if name in METRICS else len(known), name
