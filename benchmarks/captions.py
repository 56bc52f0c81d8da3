"""Images per second of captioned photographs: prepared once, then read batch by batch; against decoding every time.

    python benchmarks/captions.py [--images 512] [--size 224] [--views 1] [--batch 256]

Makes jpeg files of 640 x 480 pixels (smooth noise, quality 90: some 90 kB, as in COCO) in COCO's layout, in a temporary
folder, and measures in one run:

    prepare   the data set's own preparation: decode, resize, crop, write, tokenise; all cores, with their start
    batches   shuffled batches of the prepared stage, one view of each image, turned into numbers
    decode    the same batches decoded from the jpeg files in this process alone, as a loader's worker does
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from trainables.artifacts import StageStore
from trainables.data.image_views import Photo, read_photo_views
from trainables.inputs import take
from trainables.stages import prepared_data, read_paired

CPU = torch.device("cpu")


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


def timed_batches(stages: StageStore, root: Path, arguments: argparse.Namespace) -> tuple[float, float]:
    """Seconds of the preparation, and of all its training rows in shuffled batches."""
    from trainables.data.coco import COCOConfig

    config = COCOConfig(root=str(root), size=arguments.size, views=arguments.views)
    started = time.perf_counter()
    data = read_paired(stages, prepared_data(config))
    prepared = time.perf_counter()
    for rows in torch.randperm(arguments.images).split(arguments.batch):
        take(data.train.teacher, rows, CPU, torch.float32, torch.randint(arguments.views, (len(rows),)))
    return prepared - started, time.perf_counter() - prepared


def timed_decoding(paths: list[Path], arguments: argparse.Namespace) -> float:
    """Seconds of decoding the same rows anew."""
    started = time.perf_counter()
    for rows in torch.randperm(len(paths)).split(arguments.batch):
        photos = [Photo(str(paths[row]), arguments.size, 1, (0, row)) for row in rows.tolist()]
        pixels = np.concatenate([read_photo_views(photo)["teacher"] for photo in photos])
        take(torch.from_numpy(pixels), torch.arange(len(rows)), CPU, torch.float32)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("images", 512), ("size", 224), ("views", 1), ("batch", 256)):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "coco"
        root.mkdir()
        paths = make_coco(root, arguments.images)
        size = sum(path.stat().st_size for path in paths) / len(paths)
        prepare, batches = timed_batches(StageStore(Path(folder) / "stages"), root, arguments)
        decode = timed_decoding(paths, arguments)
    print(f"{arguments.images} images of {size / 1000:.0f} kB, {arguments.views} views of {arguments.size} px")
    print("| what | seconds | images/s |\n| --- | ---: | ---: |")
    for name, seconds in (("prepare", prepare), ("batches", batches), ("decode", decode)):
        print(f"| {name} | {seconds:.1f} | {arguments.images / seconds:.0f} |")
    print(f"batches : decode = {decode / batches:.0f}")


if __name__ == "__main__":
    main()
