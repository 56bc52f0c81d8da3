"""Images per second of captioned photographs: prepared once, then read batch by batch; against decoding every time.

    python benchmarks/captions.py [--images 512] [--size 224] [--views 1] [--batch 256] [--decoders 0 1 2]

Makes jpeg files of 640 x 480 pixels (smooth noise, quality 90: some 90 kB, as in COCO) in COCO's layout, in a temporary
folder, and measures in one run:

    prepare        the data set's own preparation: decode, resize, crop, write, tokenise; all cores, with their start
    stored         shuffled batches of the prepared stage, one view of each image, turned into numbers
    decoded by N   the same batches of `input: decoded`, from N processes that were started before; 0: from this one

The last column is what the process that trains spends itself; it depends less on what else runs on the machine.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from trainables.common.distributed import ONE_WORKER
from trainables.common.types import Batch
from trainables.common.view_sampling import sample_views
from trainables.data.image_text.coco import COCOConfig
from trainables.stages.artifacts import StageStore
from trainables.stages.prepared import data_stage, read_prepared
from trainables.training.batches import read_ahead
from trainables.training.inputs import select_rows


def make_coco(root: Path, images: int) -> list[Path]:
    """Smooth noise with five captions each; the first 8 are val, the next 8 test."""
    (root / "val2014").mkdir()
    entries, paths = [], []
    generator = np.random.default_rng(0)
    for number in range(images + 16):
        noise = generator.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        fine = generator.normal(0, 9, (480, 640, 3))
        smooth = np.asarray(Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)) + fine
        path = root / "val2014" / f"{number:012d}.jpg"
        Image.fromarray(smooth.clip(0, 255).astype(np.uint8)).save(path, quality=90)
        split = "val" if number < 8 else "test" if number < 16 else "restval"
        captions = [{"raw": f"A photo of noise number {number}, caption {place}."} for place in range(5)]
        entries.append({"filepath": "val2014", "filename": path.name, "split": split, "sentences": captions})
        if split == "restval":
            paths.append(path)
    (root / "dataset_coco.json").write_text(json.dumps({"images": entries}))
    return paths


def prepared_train(folder: Path, arguments: argparse.Namespace, **reading: Any) -> Batch:
    """The training rows, prepared in a stage of their own."""
    config = COCOConfig(root=str(folder / "coco"), size=arguments.size, views=arguments.views, **reading)
    return read_prepared(StageStore(folder / str(reading["input"])), data_stage(config)).train


def timed_epoch(train: Batch, arguments: argparse.Namespace) -> tuple[float, float]:
    """Seconds of all rows in shuffled batches, as a training asks for them: by the clock, and of this process."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(train.labels), generator=generator).split(arguments.batch)
    started, own = time.perf_counter(), time.process_time()
    read_ahead(train, order, sample_views, generator, ONE_WORKER)
    for rows in order:
        select_rows(train.teacher, rows, ONE_WORKER.device, torch.float32, sample_views(train, rows, generator).views)
    return time.perf_counter() - started, time.process_time() - own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("images", 512), ("size", 224), ("views", 1), ("batch", 256)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--decoders", type=int, nargs="*", default=[0, 1, 2])
    arguments = parser.parse_args()
    seconds: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "coco").mkdir()
        paths = make_coco(folder / "coco", arguments.images)
        size = sum(path.stat().st_size for path in paths) / len(paths)
        started, own = time.perf_counter(), time.process_time()
        train = prepared_train(folder, arguments, input="stored")
        seconds["prepare"] = time.perf_counter() - started, time.process_time() - own
        seconds["stored"] = timed_epoch(train, arguments)
        for processes in arguments.decoders:
            train = prepared_train(folder, arguments, input="decoded", decoders=processes)
            select_rows(train.teacher, torch.arange(8 * max(1, processes)), ONE_WORKER.device, torch.float32)
            seconds[f"decoded by {processes}"] = timed_epoch(train, arguments)
    print(f"{arguments.images} images of {size / 1000:.0f} kB, {arguments.views} views of {arguments.size} px")
    print("| what | seconds | images/s | own CPU ms an image |\n| --- | ---: | ---: | ---: |")
    for name, (clock, own) in seconds.items():
        print(f"| {name} | {clock:.1f} | {arguments.images / clock:.0f} | {1000 * own / arguments.images:.1f} |")


if __name__ == "__main__":
    main()
