"""Tiny copies of the official layouts, with real mp4, wav, jpeg and hdf5 files, made once for all tests of a process.

Processes that a test starts find the same copies through the environment.
"""

import atexit
import csv
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np

from tests.helpers.generated_captions import CAPTION_LAYOUTS
from tests.helpers.generated_cch import mnist_m, mosei_csd, mosei_mmsa, tcga_linkedomics, tcga_mogonet
from tests.helpers.generated_nuscenes import write_contract_copy

PLACE = "GENERATED_LAYOUTS"
"""Environment variable with the folder of the copies."""

FPS, SECONDS, RATE = 10, 1.2, 16_000
EMOTIONS = 8
GENRES = ("Drama", "Comedy", "Horror", "Western")


def root(name: str) -> str:
    """The folder of one generated layout."""
    path = folder() / name
    if not path.exists():
        LAYOUTS[name](path)
    return str(path)


@cache
def folder() -> Path:
    if PLACE not in os.environ:
        os.environ[PLACE] = tempfile.mkdtemp(prefix="layouts-")
        atexit.register(shutil.rmtree, os.environ[PLACE], ignore_errors=True)
    return Path(os.environ[PLACE])


def tone(pitch: float, seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    """A hum of `pitch` Hz that grows louder."""
    time = np.arange(int(seconds * rate)) / rate
    return (0.1 + 0.4 * time / seconds) * np.sin(2 * np.pi * pitch * time)


def write_video(
    path: Path, grey: Iterable[int], sound: np.ndarray | None = None, size: tuple[int, int] = (32, 64), rate: int = RATE
) -> None:
    """Plain grey pictures at 10 a second, brighter in their left half by 20, and a mono sound track."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"threads": "1", "preset": "ultrafast"})
        video.height, video.width, video.pix_fmt = *size, "yuv420p"
        audio = None if sound is None else container.add_stream("aac", rate=rate, layout="mono")
        for value in grey:
            picture = np.full((*size, 3), value, dtype=np.uint8)
            picture[:, : size[1] // 2] += 20
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        if audio is not None and sound is not None:
            frame = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), format="fltp", layout="mono")
            frame.sample_rate = rate
            container.mux([*audio.encode(frame), *audio.encode()])


def write_wav(path: Path, sound: np.ndarray, rate: int = RATE) -> None:
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate)


def write_image(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_csv(path: Path, lines: Iterable[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)


def ravdess_clips(path: Path) -> None:
    """Three actors, eight emotions: grey level and pitch encode the emotion. Actor 2 has no wav, actor 3 no 01 file."""
    for actor in range(1, 4):
        for emotion in range(1, EMOTIONS + 1):
            name = f"01-{emotion:02d}-01-01-01-{actor:02d}"
            sound, grey = tone(200 + 100 * emotion + actor), [20 * emotion + number for number in range(12)]
            folder = path / f"Actor_{actor:02d}"
            if actor == 3:
                write_video(folder / f"02-{name}.mp4", grey)
            else:
                write_video(folder / f"01-{name}.mp4", grey, sound)
            if actor != 2:
                write_wav(folder / f"03-{name}.wav", sound)


def ravdess_features(path: Path) -> None:
    """Eight emotions: 24 training rows, 8 for validation and 8 for the test, pictures of 16 x 32."""
    generator = np.random.default_rng(0)
    for split, rows in (("dl", 24), ("val", 8), ("test", 8)):
        lines: list[tuple[object, ...]] = [("audio", "image", "label")]
        for row in range(rows):
            label = row % EMOTIONS
            mfcc = generator.normal(-10 + 20 * label, 5, (40, 250 + row))
            pixels = generator.integers(20 * label, 20 * label + 30, (16, 32, 3), dtype=np.uint8)
            (path / "aud_features").mkdir(parents=True, exist_ok=True)
            np.save(path / "aud_features" / f"{split}{row}.npy", mfcc)
            write_image(path / "vid_features" / f"{split}{row}.png", pixels)
            lines.append((f"{split}{row}.npy", f"{split}{row}.png", label))
        write_csv(path / "data_file" / f"spa_{split}.csv", lines)


def mmimdb_hdf5(path: Path, rows: int = 40, genres: int = 5) -> None:
    """40 films: rows [0, 20) train, [20, 30) dev, [30, 40) test."""
    import h5py

    generator = np.random.default_rng(0)
    labels = generator.random((rows, genres)) < 0.4
    labels[:, 0] |= ~labels.any(axis=1)
    path.mkdir(parents=True, exist_ok=True)
    with h5py.File(path / "multimodal_imdb.hdf5", "w") as file:
        file["features"] = generator.normal(labels @ np.eye(genres, 12) * 3, 1.0)
        file["vgg_features"] = np.maximum(0, generator.normal(labels @ np.eye(genres, 20), 1.0))
        file["genres"] = labels.astype(np.int64)


def mmimdb_raw(path: Path) -> None:
    """12 films whose plots name their genres and whose posters have the brightness of their first genre."""
    generator = np.random.default_rng(0)
    films = {"train": range(8), "dev": range(8, 10), "test": range(10, 12)}
    for number in range(12):
        genres = [GENRES[number % 4], "News"] + ([GENRES[(number + 1) % 4]] if number % 3 == 0 else [])
        plot = [f"Short {number}.", f"Film number {number}, a long story of {' and '.join(genres)}, don't miss it."]
        about = path / "dataset" / f"{number:07d}.json"
        about.parent.mkdir(parents=True, exist_ok=True)
        about.write_text(json.dumps({"plot": plot, "genres": genres, "title": f"Film {number}"}))
        pixels = generator.integers(50 * (number % 4), 50 * (number % 4) + 50, (24, 16, 3), dtype=np.uint8)
        write_image(about.with_suffix(".jpeg"), pixels)
        for view, width in (("text", 12), ("image", 20)):
            (path / "features" / view).mkdir(parents=True, exist_ok=True)
            np.save(path / "features" / view / f"{number:07d}.npy", generator.normal(number % 4, 1, width))
    splits = {split: [f"{number:07d}" for number in own] for split, own in films.items()}
    (path / "split.json").write_text(json.dumps(splits))


VGG_CLASSES = ("baby crying, loudly", "dog barking", "people marching")


def vggsound(path: Path) -> None:
    """Three classes, 4 training clips and one test clip each; two more are listed, but their files are missing."""
    lines: list[tuple[object, ...]] = []
    for place, label in enumerate(VGG_CLASSES):
        for number in range(5):
            video, start = f"-v_{place}{number}", 10 * number
            lines.append((video, start, label, "train" if number < 4 else "test"))
            sound = tone(300 * (place + 1) + number)
            grey = [60 * place + 2 * number + 3 * frame for frame in range(12)]
            write_video(path / "video" / f"{video}_{start:06d}.mp4", grey, sound, size=(32, 32))
    lines += [("gone0", 1, VGG_CLASSES[0], "train"), ("gone1", 2, VGG_CLASSES[1], "test")]
    write_csv(path / "vggsound.csv", lines)
    (path / "two_classes.txt").write_text(f"{VGG_CLASSES[0]}\n{VGG_CLASSES[2]}\n")
    (path / "clips.txt").write_text(
        "".join(
            f"-v_{place}{number}_{10 * number:06d},{split}\n"
            for place in range(3)
            for number, split in enumerate(("train", "val", "train", "test", "test"))
        )
    )


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "ravdess_clips": ravdess_clips,
    "ravdess_features": ravdess_features,
    "mmimdb_hdf5": mmimdb_hdf5,
    "mmimdb_raw": mmimdb_raw,
    "vggsound": vggsound,
    "nuscenes": write_contract_copy,
    "mnist_m": mnist_m,
    "mosei_mmsa": mosei_mmsa,
    "mosei_csd": mosei_csd,
    "tcga_linkedomics": tcga_linkedomics,
    "tcga_mogonet": tcga_mogonet,
    **CAPTION_LAYOUTS,
}
