"""nuScenes v1.0: driving scenes seen by a LiDAR (teacher) and by six cameras (student); labels are boxes.

Official layout in `root`: samples/<channel>/*, and the tables in v1.0-trainval/ (or another `version`). One sample:
samples/LIDAR_TOP/n015-...__LIDAR_TOP__1532402927647951.pcd.bin, six JPEGs of 1600 x 900 such as
samples/CAM_FRONT/n015-...__CAM_FRONT__1532402927612460.jpg, and 69 annotated boxes, the first a pedestrian of
0.62 x 0.67 x 1.64 m. The teacher sees a bird's-eye grid of the LiDAR's key frame (no sweeps), or features of another
network from files; the student sees the images, each with its calibration in one additional row of pixels.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray
from pydantic import Field

from trainables.common.types import Batch, PairedData
from trainables.data.common.base import DataConfig, Dataset, DataShape
from trainables.data.common.raw_files import fingerprint_of
from trainables.data.nuscenes.scene_splits import SPLIT_FILE, scenes_of_splits
from trainables.data.nuscenes.sensors import (
    STATISTICS,
    camera_images,
    features_shape,
    lidar_grid,
    read_features,
)
from trainables.data.nuscenes.tables import CAMERAS, TABLES, Row, Sample, chosen_samples, padded, read_samples
from trainables.detection.boxes import boxes_of_labels
from trainables.detection.classes import CLASSES, RACK
from trainables.detection.matching import counted

logger = logging.getLogger(__name__)

VERSION = 1
"""Increase it when `load` makes other arrays from the same files and config."""

SPLITS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")

THREADS = 8
"""Number of scenes that are read at the same time."""


class NuScenesConfig(DataConfig):
    """Bird's-eye detection: LiDAR for the teacher, six cameras for the student."""

    task: ClassVar[str] = "detection"
    location: ClassVar[tuple[str, ...]] = ("root",)
    teacher_only: ClassVar[tuple[str, ...]] = ("teacher", "bev", "bev_cells")
    dataset: Literal["nuscenes"] = "nuscenes"
    """nuScenes v1.0 in its official layout."""
    root: str = "data/nuscenes"
    """Folder that contains `samples/` and the folder of tables."""
    version: str = "v1.0-trainval"
    """Folder of the 13 tables: v1.0-trainval, v1.0-mini, or another with the same tables."""
    split: Literal["official", "mini", "hash"] = "official"
    """Source of the lists `train` and `val` of scenes: `splits.json` in the root, the lists of v1.0-mini, or a hash
    of the scene names (85 and 15 %). `val` is the test split, as in published results."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the scenes of `train` that become the validation split, by a hash of their names."""
    stride: Annotated[int, Field(ge=1)] = 1
    """Every n-th sample of a scene is used (samples are half a second apart)."""
    image_height: Annotated[int, Field(ge=8)] = 144
    """Height to which the camera images of 900 x 1600 pixels are resized."""
    image_width: Annotated[int, Field(ge=12)] = 256
    """Width to which the camera images are resized."""
    teacher: Literal["lidar", "bev"] = "lidar"
    """What the teacher sees: the LiDAR's grid, or features from files (with `model: bev_features`)."""
    student: Literal["camera", "lidar"] = "camera"
    """What the student sees: the six cameras, or the LiDAR's grid (to measure the teacher's network)."""
    pillars: Annotated[int, Field(ge=4)] = 128
    """Cells along each side of the LiDAR's grid, which covers 102.4 m."""
    slices: Annotated[int, Field(ge=1)] = 8
    """Number of height slices of the LiDAR's grid."""
    bev: str = "bev"
    """Folder in the root with one `<sample token>.npy` of shape (x cells, y cells, D) for each sample."""
    bev_cells: Annotated[int, Field(ge=1)] | None = None
    """Cells along each side to which features from files are averaged; null: all their cells."""


TEACHER_TYPES = {"lidar": "uint8", "bev": "float16"}
"""dtype of the teacher's inputs."""


ORDINALS = {2: "nd", 3: "rd"}


class Parts(NamedTuple):
    """Inputs of the samples of one scene."""

    teacher: ndarray
    student: ndarray


def load(config: NuScenesConfig) -> PairedData:
    """The three splits, in memory: see `load_in`."""
    return prepare(config, None)


def load_in(config: NuScenesConfig, folder: Path) -> PairedData:
    """The three splits with inputs memory-mapped in `folder`, where finished scenes are kept.

    Teacher: uint8 (slices + 2, pillars, pillars), or float16 (cells, cells, D) from files. Student: uint8 (6, 3, height
    + 1, width). Labels: float32 (boxes, 12), see `trainables.detection.boxes.FIELDS`. Boxes that do not count (out of
    the range of their class, without points, cycles in racks) are left out; racks are kept for the metrics.

    Raises:
        FileNotFoundError: if the root, a table or a sensor's file is missing.
        ValueError: if one of them is broken, or an annotation has an unknown category.

    """
    return prepare(config, folder)


def prepare(config: NuScenesConfig, folder: Path | None) -> PairedData:
    """See `load_in`; without a folder all arrays are in memory."""
    root, tables = folders(config)
    scenes = scenes_of(config, chosen_samples(tables, config.stride))
    samples = read_samples(root, tables, config.stride)
    labels = counted_labels(padded(sample.boxes for sample in samples))
    logger.info("nuScenes: %d samples of %d scenes", len(samples), len({sample.scene for sample in samples}))
    batches, measured = {}, shape(config)
    for name in SPLITS:
        rows = [row for row, sample in enumerate(samples) if sample.scene in scenes[name]]
        inputs = (empty(folder, f"{name}-teacher", len(rows), measured.teacher, TEACHER_TYPES[config.teacher]),)
        inputs += (empty(folder, f"{name}-student", len(rows), measured.student, "uint8"),)
        fill(Parts(*inputs), [samples[row] for row in rows], config, folder)
        rest = labels[rows], np.ones(len(rows), dtype=bool), np.array(rows, dtype=np.int64)
        batches[name] = Batch(*(torch.from_numpy(array) for array in (*inputs, *rest)))
    return PairedData(**batches, num_classes=len(CLASSES))


def counted_labels(labels: Float32[ndarray, "samples boxes fields"]) -> Float32[ndarray, "samples fewer fields"]:
    """The labels without the boxes that do not count; racks stay."""
    truth = boxes_of_labels(torch.from_numpy(labels))
    kept = (counted(truth, truth).classes >= 0) | (truth.classes == RACK)
    return padded(rows[keep] for rows, keep in zip(labels, kept, strict=True))


def empty(folder: Path | None, name: str, rows: int, sides: tuple[int, ...], dtype: str) -> ndarray:
    """A new array of shape (rows, *sides), in memory or memory-mapped in `folder`."""
    if folder is None:
        return np.empty((rows, *sides), dtype)
    folder.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.dtype(dtype), (rows, *sides))


def fill(arrays: Parts, samples: list[Sample], config: NuScenesConfig, folder: Path | None) -> None:
    """Read the inputs of the samples into `arrays`, several scenes at a time.

    Args:
        arrays: teacher and student inputs, one row for each sample.
        samples: the samples.
        config: the data config.
        folder: where finished scenes are kept; None: nowhere.

    """
    of_scene: dict[str, list[int]] = {}
    for row, sample in enumerate(samples):
        of_scene.setdefault(sample.scene, []).append(row)

    def one(scene: str) -> None:
        rows = of_scene[scene]
        parts = scene_parts(scene, [samples[row] for row in rows], config, folder, arrays.teacher.shape[1:])
        arrays.teacher[rows], arrays.student[rows] = parts

    with ThreadPoolExecutor(THREADS) as pool:
        for done, _ in enumerate(pool.map(one, of_scene), start=1):
            logger.debug("nuScenes: %d of %d scenes", done, len(of_scene))


def scene_parts(
    scene: str, samples: list[Sample], config: NuScenesConfig, folder: Path | None, wanted: tuple[int, ...]
) -> Parts:
    """The inputs of one scene, read from `folder` if they were finished before.

    Args:
        scene: name of the scene.
        samples: its samples.
        config: the data config.
        folder: where finished scenes are kept; None: nowhere.
        wanted: expected shape of a teacher input.

    """
    finished = None if folder is None else folder / f"{scene}.npz"
    if finished is not None and finished.exists():
        with np.load(finished) as arrays:
            return Parts(arrays["teacher"], arrays["student"])
    teacher = np.stack([teacher_input(sample, config, wanted) for sample in samples])
    parts = Parts(teacher, np.stack([student_input(sample, config) for sample in samples]))
    if finished is not None:
        unfinished = finished.with_suffix(".tmp.npz")
        np.savez(unfinished, **parts._asdict())
        unfinished.rename(finished)
    return parts


def student_input(sample: Sample, config: NuScenesConfig) -> ndarray:
    """The student's input of one sample."""
    if config.student == "lidar":
        return lidar_grid(sample, config.pillars, config.slices)
    return camera_images(sample, config.image_height, config.image_width)


def teacher_input(sample: Sample, config: NuScenesConfig, wanted: tuple[int, ...]) -> ndarray:
    """The teacher's input of one sample. Raises ValueError if its shape is not `wanted`."""
    if config.teacher == "lidar":
        return lidar_grid(sample, config.pillars, config.slices)
    path = Path(config.root, config.bev, f"{sample.token}.npy")
    features = read_features(path, config.bev_cells)
    if features.shape != wanted:
        raise ValueError(
            f"the features of every sample must have the same shape, but those in {str(path)!r} have {features.shape} "
            f"instead of {wanted}; write the file again"
        )
    return features


def folders(config: NuScenesConfig) -> tuple[Path, Path]:
    """The root and the folder of tables. Raises FileNotFoundError."""
    root = Path(config.root)
    tables = root / config.version
    for folder, content in ((root, f"`samples` and `{config.version}`"), (tables, "the 13 tables of the metadata")):
        if not folder.is_dir():
            raise FileNotFoundError(
                f"nuScenes is expected in root = {config.root!r}, but there is no folder {str(folder)!r}; put "
                f"{content} of the official download there, or correct data.root or data.version"
            )
    for name in TABLES:
        if not (tables / f"{name}.json").is_file():
            raise FileNotFoundError(
                f"nuScenes has 13 tables in {str(tables)!r}, but {name + '.json'!r} is missing; put the official "
                "metadata there"
            )
    return root, tables


def scenes_of(config: NuScenesConfig, samples: list[Row]) -> dict[str, set[str]]:
    """Names of the scenes of train, val and test. Raises FileNotFoundError or ValueError."""
    return scenes_of_splits(Path(config.root), config.version, config.split, config.held_out, samples)


def fingerprint(config: NuScenesConfig) -> str:
    """Hash of the tables, the split file, names and sizes of the sensor files, and `VERSION`."""
    root, tables = folders(config)
    index = [tables / f"{name}.json" for name in TABLES] + [root / SPLIT_FILE]
    raw = [path.read_bytes() for path in index if path.is_file()]
    big = [root / "samples", *([root / config.bev] if config.teacher == "bev" else [])]
    files = sorted((path, path.stat().st_size) for folder in big for path in folder.rglob("*") if path.is_file())
    sizes = "".join(f"{path.relative_to(root)} {size}\n" for path, size in files)
    return fingerprint_of("nuscenes", VERSION, *raw, sizes.encode())


def shape(config: NuScenesConfig) -> DataShape:
    """Shapes and sizes, read from the tables of scenes and samples only. Raises FileNotFoundError or ValueError."""
    _, tables = folders(config)
    samples = chosen_samples(tables, config.stride)
    scenes = scenes_of(config, samples)
    counts = [sum(row["scene"] in scenes[name] for row in samples) for name in SPLITS]
    cameras = (len(CAMERAS), 3, config.image_height + 1, config.image_width)
    student = {"camera": cameras, "lidar": lidar_shape(config)}[config.student]
    return DataShape(teacher_shape(config, samples[0]["token"]), student, len(CLASSES), *counts)


def lidar_shape(config: NuScenesConfig) -> tuple[int, ...]:
    """Shape of the LiDAR's grid."""
    return (config.slices + STATISTICS, config.pillars, config.pillars)


def teacher_shape(config: NuScenesConfig, token: str) -> tuple[int, ...]:
    """Shape of the teacher's inputs; features from files have that of sample `token`."""
    if config.teacher == "lidar":
        return lidar_shape(config)
    path = Path(config.root, config.bev, f"{token}.npy")
    cells, _, dim = features_shape(path)
    wanted = config.bev_cells or cells
    if cells % wanted:
        raise ValueError(
            f"data.bev_cells must divide the {cells} cells of the features in {str(path)!r}, but got {wanted}; "
            f"choose one of {[side for side in range(1, cells + 1) if cells % side == 0]}"
        )
    return (wanted, wanted, dim)


def not_comparable(config: NuScenesConfig) -> str:
    """The networks of the paper are larger, so results are never comparable with its table."""
    reasons = ["compact networks and BEV grid instead of BEVFormer and Object-DGCNN at 128 x 128 x 256"]
    if config.split != "official" or config.version != "v1.0-trainval":
        reasons.append(f"scenes of {config.version} split by {config.split!r}")
    if config.stride > 1:
        reasons.append(f"every {config.stride}{ORDINALS.get(config.stride, 'th')} sample only")
    return "; ".join(reasons)


NUSCENES = Dataset(NuScenesConfig, load, fingerprint, shape, load_in, not_comparable)
