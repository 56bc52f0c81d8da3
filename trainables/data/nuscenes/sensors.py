"""Network inputs from the sensors of one nuScenes sample: the LiDAR as a bird's-eye grid, and six images, in bytes."""

from pathlib import Path

import numpy as np
from jaxtyping import Float16, Float32, Float64, UInt8
from numpy import ndarray
from PIL import Image, UnidentifiedImageError

from trainables.data.nuscenes.tables import Reading, Sample
from trainables.detection.boxes import EXTENT
from trainables.detection.projection_pixels import encode_projections

POINT = 5
"""Numbers of a LiDAR point: x, y, z, intensity, ring."""

BOTTOM, TOP = -3.0, 5.0
"""Range of heights in metres above the origin of the ego frame, which is on the ground; other points are dropped."""

FULL = 63
"""Number of points at which the byte of a voxel is 255; the bytes grow with the logarithm."""

HALF_MAX = 65504.0
"""Largest number in half precision, the format of features from files."""

STATISTICS = 2
"""Channels after the slices: highest point, mean intensity."""


def read_points(path: Path) -> Float32[ndarray, "points 5"]:
    """The points of a .pcd.bin file. Raises FileNotFoundError or ValueError."""
    if not path.is_file():
        raise FileNotFoundError(f"LiDAR file {str(path)!r} is missing; put the official samples folder into root")
    size = path.stat().st_size
    if size == 0 or size % (4 * POINT):
        raise ValueError(
            f"a .pcd.bin file has {POINT} float32 for each point, but {str(path)!r} has {size} bytes: it is "
            "truncated; copy it again"
        )
    return np.fromfile(path, dtype=np.float32).reshape(-1, POINT)


def lidar_grid(sample: Sample, cells: int, slices: int) -> UInt8[ndarray, "channels {cells} {cells}"]:
    """The key frame of the LiDAR as a grid in the flat ego frame.

    Args:
        sample: the sample.
        cells: cells along x and y.
        slices: number of height slices.

    Returns:
        uint8 (slices + 2, x, y): the logarithm of the number of points in each slice, then the highest point and the
        mean intensity of each column, all scaled to 0-255.

    """
    points = read_points(sample.lidar.path)
    xyz = moved(points[:, :3].astype(np.float64), sample.flat @ sample.lidar.to_global)
    column = np.floor((xyz[:, :2] + EXTENT) * cells / (2 * EXTENT)).astype(np.int64)
    height = (xyz[:, 2] - BOTTOM) / (TOP - BOTTOM)
    inside = ((column >= 0) & (column < cells)).all(axis=1) & (height >= 0) & (height < 1)
    column, height, intensity = column[inside], height[inside], points[inside, 3] / 255
    place = column[:, 0] * cells + column[:, 1]
    level = (height * slices).astype(np.int64)
    counts = np.bincount(level * cells**2 + place, minlength=slices * cells**2)
    grid = np.zeros((slices + STATISTICS, cells**2))
    grid[:slices] = (np.log1p(counts) / np.log1p(FULL)).reshape(slices, -1)
    np.maximum.at(grid[slices], place, height)
    per_column = np.bincount(place, minlength=cells**2)
    grid[slices + 1] = np.bincount(place, intensity, cells**2) / per_column.clip(min=1)
    return np.round(grid.clip(0, 1) * 255).astype(np.uint8).reshape(-1, cells, cells)


def camera_images(sample: Sample, height: int, width: int) -> UInt8[ndarray, "cameras 3 rows {width}"]:
    """The six images at `height` x `width`, each with one additional row that encodes its projection.

    See `trainables.detection.projection_pixels`.
    """
    images = np.stack([read_image(reading.path, height, width) for reading in sample.cameras])
    to_flat = np.linalg.inv(sample.flat)
    matrices = np.stack([projection(reading, to_flat) for reading in sample.cameras])
    return np.concatenate([images, encode_projections(matrices, width)], axis=2)


def projection(reading: Reading, to_global: Float64[ndarray, "4 4"]) -> Float64[ndarray, "3 4"]:
    """The matrix from the flat ego frame to (u depth, v depth, depth); u and v are in [0, 1] over the image."""
    assert reading.intrinsic is not None, "a camera has an intrinsic matrix"
    return reading.intrinsic @ (np.linalg.inv(reading.to_global) @ to_global)[:3]


def read_image(path: Path, height: int, width: int) -> UInt8[ndarray, "3 {height} {width}"]:
    """A camera's JPEG, resized without cropping. Raises FileNotFoundError or ValueError."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (2 * width, 2 * height))
            resized = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"camera image {str(path)!r} is missing; put the official samples folder into root"
        ) from None
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"camera image {str(path)!r} cannot be read ({error}); copy it again") from None
    return np.asarray(resized).transpose(2, 0, 1)


def read_features(path: Path, cells: int | None) -> Float16[ndarray, "x y dim"]:
    """Features (x cells, y cells, D) from a .npy file, averaged to `cells` x `cells`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if its shape or its numbers are wrong.

    """
    x, y, dim = features_shape(path)
    features = np.load(path, allow_pickle=False)
    if not abs(features).max(initial=0) <= HALF_MAX:
        raise ValueError(
            f"features must be numbers of at most {HALF_MAX:g}, the range of half precision, but those in "
            f"{str(path)!r} are not; write the file again"
        )
    step = x // (cells or x)
    blocks = features.astype(np.float32).reshape(x // step, step, y // step, step, dim)
    return blocks.mean(axis=(1, 3)).astype(np.float16)


def features_shape(path: Path) -> tuple[int, ...]:
    """Shape of a file of features, read from its header. Raises FileNotFoundError or ValueError."""
    if not path.is_file():
        raise FileNotFoundError(
            f"features of a sample are expected in {str(path)!r}, but there is no such file; put one "
            "<sample token>.npy of shape (x cells, y cells, D) there for each sample"
        )
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except ValueError as error:
        raise ValueError(
            f"{str(path)!r} must be an .npy file of numbers, but cannot be read ({error}); write it again"
        ) from None
    if len(shape) != 3 or shape[0] != shape[1]:
        raise ValueError(
            f"features must have the shape (cells, cells, D), but {str(path)!r} has {shape}; write it again"
        )
    return shape


def moved(points: Float64[ndarray, "points 3"], matrix: Float64[ndarray, "4 4"]) -> Float64[ndarray, "points 3"]:
    """The points in the frame to which `matrix` maps."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]
