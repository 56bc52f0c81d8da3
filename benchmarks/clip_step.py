"""One distillation step of CLIP, RN50 into ResNet-34: with a live and a cached teacher, and with open_clip's classes.

    python benchmarks/clip_step.py [--batch-size 256] [--steps 20] [--precision bfloat16]

The same networks with random weights, the same stored pictures and captions, the same objective (contrastive loss, and
the divergence of the similarities from the teacher's), the same optimiser, in one run. `open_clip` is the step that its
own training loop takes, written with its model and `DistillClipLoss`; it has no cached teacher. Of every step,
everything is counted from stored uint8 pictures to updated weights.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import open_clip
import torch
from open_clip.loss import DistillClipLoss
from open_clip.model import CustomTextCLIP
from torch import Tensor

from trainables.common.distributed import Workers
from trainables.common.types import Batch, ModelOutput
from trainables.config import TrainingConfig
from trainables.methods.clip_kd import ClipKD, ClipKDConfig
from trainables.models.contrastive.base import ContrastiveModel
from trainables.models.contrastive.clip import ClipConfig, build_clip
from trainables.models.contrastive.open_clip import OpenClipConfig, build_open_clip
from trainables.tasks import TASKS
from trainables.training.session import Problem, Session, make_optimizer, run_model

SHAPES = ((1, 3, 224, 224), (1, 77))
WARM_UP = 2
OBJECTIVE = ClipKDConfig(crd=1.0, learn_temperature=True)


class Setting(NamedTuple):
    """What all variants share."""

    train: Batch
    teacher: ContrastiveModel
    training: TrainingConfig
    device: torch.device


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--batches", type=int, default=2, help="stored batches, which are taken in turn")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    training = TrainingConfig(
        batch_size=options.batch_size, optimizer="adam", lr=1e-4, weight_decay=0.0, precision=options.precision
    )
    torch.manual_seed(0)
    teacher = build_open_clip(OpenClipConfig(), SHAPES, 1).to(device).eval().requires_grad_(False)
    setting = Setting(stored(options.batches * options.batch_size, device), teacher, training, device)
    live, cached, theirs = ours(setting, teacher), ours(setting, stored_outputs(setting)), open_clips(setting)
    variants = {"live teacher": live, "cached teacher": cached, "open_clip, live teacher": theirs}
    seconds = {name: timed(step, options, device) for name, step in variants.items()}
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    print(f"{name}, torch {torch.__version__}, open_clip {open_clip.__version__}, {options.precision}")
    print("| variant | batch | s a step | images/s | to open_clip |\n| --- | ---: | ---: | ---: | ---: |")
    for variant, taken in seconds.items():
        ratio = seconds["open_clip, live teacher"] / taken
        print(f"| {variant} | {options.batch_size} | {taken:.3f} | {options.batch_size / taken:.1f} | {ratio:.2f} |")


def stored(rows: int, device: torch.device) -> Batch:
    """Noise as pictures, random words as captions; on the device, as a split that fits is."""
    pictures = torch.randint(256, (rows, *SHAPES[0]), dtype=torch.uint8)
    words = torch.randint(1, 49406, (rows, *SHAPES[1]), dtype=torch.int32)
    words[:, :, 0], words[:, :, 12], words[:, :, 13:] = 49406, 49407, 0
    every = torch.ones(rows, 1, dtype=torch.bool)
    return Batch(*(part.to(device) for part in (pictures, words, every, every[:, 0], torch.arange(rows))))


def stored_outputs(setting: Setting) -> ModelOutput:
    """The teacher's outputs for all rows, which a study computes once."""
    return run_model(setting.teacher, (setting.train.teacher, setting.train.student), setting.device)


def student(device: torch.device) -> ContrastiveModel:
    """ResNet-34 and a transformer of two layers, with the same weights in every variant."""
    torch.manual_seed(1)
    config = ClipConfig(
        image="resnet34", norm="batch", feature_dim=512, text="transformer", text_width=512, text_depth=2, text_heads=8
    )
    return build_clip(config, SHAPES, 1).to(device)


def ours(setting: Setting, targets: ModelOutput | ContrastiveModel) -> Callable[[Tensor], None]:
    """A step of this project's training loop."""
    own, task = student(setting.device), TASKS["retrieval"]
    method = ClipKD(OBJECTIVE, 512, 1024, task)
    problem = Problem(own, method, setting.train, setting.train, targets, task)
    session = Session(problem, setting.training, 0, Workers(device=setting.device))
    epoch = session.begin_epoch(1)

    def step(rows: Tensor) -> None:
        session.run_step(rows, epoch)

    return step


def open_clips(setting: Setting) -> Callable[[Tensor], None]:
    """The step of open_clip's training loop with `--distill-model`."""
    own = student(setting.device)
    settings = {key: value for key, value in (own.open_clip_config or {}).items() if key != "custom_text"}
    network: Any = CustomTextCLIP(**settings).to(setting.device)
    network.load_state_dict(own.open_clip_state())
    teacher: Any = setting.teacher.network
    optimizer, loss = make_optimizer(list(network.parameters()), setting.training), DistillClipLoss()
    colours, scale = setting.teacher.colours, setting.teacher.scale()

    def step(rows: Tensor) -> None:
        pictures, words = setting.train.teacher[rows, 0], setting.train.student[rows, 0]
        pictures = colours(pictures.float() / 255)
        optimizer.zero_grad(set_to_none=True)
        with autocast(setting):
            image, text, own_scale = network(pictures, words)
            with torch.no_grad():
                target_image = teacher.encode_image(pictures, normalize=True)
                target_text = teacher.encode_text(words, normalize=True)
            total = sum(loss(image, text, own_scale, target_image, target_text, scale))
        assert isinstance(total, Tensor)
        total.backward()
        optimizer.step()

    return step


def autocast(setting: Setting) -> AbstractContextManager[Any]:
    """The number format of the forward passes."""
    if setting.training.precision == "float32":
        return nullcontext()
    return torch.autocast(setting.device.type, dtype=torch.bfloat16)


def timed(step: Callable[[Tensor], None], options: argparse.Namespace, device: torch.device) -> float:
    """Median seconds of a step: of the processor, which other work does not disturb, or on the clock of a GPU."""
    on_gpu = device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    taken = []
    for number in range(WARM_UP + options.steps):
        first = number % options.batches * options.batch_size
        rows = torch.arange(first, first + options.batch_size, device=device)
        started = clock()
        step(rows)
        if on_gpu:
            torch.cuda.synchronize(device)
        taken.append(clock() - started)
    return statistics.median(taken[WARM_UP:])


if __name__ == "__main__":
    main()
