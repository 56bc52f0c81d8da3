"""Reads the tables of nuScenes v1.0: samples, their boxes, and the poses of their sensors.

A table is a JSON list of rows that refer to each other by token. One row of sample_annotation.json:
{"token": "70aecbe9...", "sample_token": "e93e98b6...", "instance_token": "6b89da9b...", "visibility_token": "4",
"attribute_tokens": ["4d8821270b4a47e3a8a300cbec48188e"], "translation": [1004.8, 1610.8, 0.7], "size": [0.6, 0.6, 1.6],
"rotation": [0.98, 0.0, 0.0, -0.2], "prev": "...", "next": "...", "num_lidar_pts": 5, "num_radar_pts": 0}
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from trainables.detection.boxes import FIELDS, PADDING
from trainables.detection.classes import ATTRIBUTES, CATEGORIES, NO_ATTRIBUTE

CAMERAS = ("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT")
LIDAR = "LIDAR_TOP"

TABLES = (
    *("attribute", "calibrated_sensor", "category", "ego_pose", "instance", "log", "map"),
    *("sample", "sample_annotation", "sample_data", "scene", "sensor", "visibility"),
)
"""The 13 tables of every version."""

LONGEST_GAP = 1.5
"""Longest gap in seconds between two annotations of an object from which a velocity is derived (devkit's rule)."""

Row = dict[str, Any]
Matrix = Float64[ndarray, "4 4"]


class Reading(NamedTuple):
    """The key frame of one sensor in a sample."""

    path: Path
    to_global: Matrix
    """Transform from the sensor's frame to the global frame at the time of the reading."""
    intrinsic: Float64[ndarray, "3 3"] | None
    """Transform from camera coordinates to the image, relative to its width and height; None for the LiDAR."""


class Sample(NamedTuple):
    """One annotated moment."""

    token: str
    scene: str
    lidar: Reading
    cameras: tuple[Reading, ...]
    flat: Matrix
    """Transform from the global frame to the flat ego frame: origin at the vehicle, x ahead, rotated by its yaw."""
    boxes: Float32[ndarray, "boxes fields"]
    """Rows of `trainables.detection.boxes.FIELDS`: all boxes, also racks, far boxes and boxes without points."""


def read_table(folder: Path, name: str) -> list[Row]:
    """The rows of one table. Raises FileNotFoundError or ValueError."""
    path = folder / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"nuScenes has 13 tables in {str(folder)!r}, but {path.name!r} is missing; put the official metadata there"
        )
    try:
        rows = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"{str(path)!r} must be a JSON list of rows, but cannot be read ({error}); copy it again"
        ) from None
    if not isinstance(rows, list):
        raise ValueError(f"{str(path)!r} must be a JSON list of rows, but is {type(rows).__name__}; copy it again")
    return rows


def chosen_samples(folder: Path, stride: int) -> list[Row]:
    """Every `stride`-th sample of each scene, ordered by scene and time; `scene` is the name of its scene."""
    names = {row["token"]: (place, row["name"]) for place, row in enumerate(read_table(folder, "scene"))}
    rows = sorted(read_table(folder, "sample"), key=lambda row: (names[row["scene_token"]][0], row["timestamp"]))
    counts: dict[str, int] = {}
    chosen = []
    for row in rows:
        scene = names[row["scene_token"]][1]
        position = counts.get(scene, 0)
        counts[scene] = position + 1
        if position % stride == 0:
            chosen.append(row | {"scene": scene})
    return chosen


def read_samples(root: Path, folder: Path, stride: int) -> list[Sample]:
    """The chosen samples with their readings and boxes.

    Args:
        root: folder of the data set.
        folder: folder of the tables.
        stride: every `stride`-th sample of a scene is read.

    Raises:
        ValueError: if a sample has no key frame of a sensor, or an annotation has an unknown category or attribute.

    """
    samples = chosen_samples(folder, stride)
    readings = read_readings(root, folder, {row["token"] for row in samples})
    annotations = Annotations(folder)
    read = []
    for row in samples:
        sensors, poses = readings.get(row["token"], ({}, {}))
        for channel in (LIDAR, *CAMERAS):
            if channel not in sensors:
                raise ValueError(
                    f"every sample needs a key frame of {channel}, but sample {row['token']!r} of {row['scene']!r} has "
                    "none in sample_data.json; put the complete table there"
                )
        flat = flat_frame(poses[LIDAR])
        cameras = tuple(sensors[channel] for channel in CAMERAS)
        boxes = annotations.boxes(row["token"], flat)
        read.append(Sample(row["token"], row["scene"], sensors[LIDAR], cameras, flat, boxes))
    return read


def read_readings(root: Path, folder: Path, tokens: set[str]) -> dict[str, tuple[dict[str, Reading], dict[str, Row]]]:
    """For each sample its key frames and their ego poses, both by channel.

    Args:
        root: folder of the data set.
        folder: folder of the tables.
        tokens: tokens of the samples.

    """
    channels = {row["token"]: row["channel"] for row in read_table(folder, "sensor")}
    mounts = {row["token"]: row for row in read_table(folder, "calibrated_sensor")}
    frames = [row for row in read_table(folder, "sample_data") if row["is_key_frame"] and row["sample_token"] in tokens]
    used = {row["ego_pose_token"] for row in frames}
    poses = {row["token"]: row for row in read_table(folder, "ego_pose") if row["token"] in used}
    found: dict[str, tuple[dict[str, Reading], dict[str, Row]]] = {}
    for row in frames:
        mount, pose = mounts[row["calibrated_sensor_token"]], poses[row["ego_pose_token"]]
        channel = channels[mount["sensor_token"]]
        intrinsic = None
        if channel in CAMERAS:
            intrinsic = np.array(mount["camera_intrinsic"]) / np.array([[row["width"]], [row["height"]], [1]])
        sensors, ego = found.setdefault(row["sample_token"], ({}, {}))
        sensors[channel] = Reading(root / row["filename"], transform(pose) @ transform(mount), intrinsic)
        ego[channel] = pose
    return found


class Annotations:
    """The annotated boxes of all samples."""

    def __init__(self, folder: Path) -> None:
        categories = {row["token"]: row["name"] for row in read_table(folder, "category")}
        self.categories = {r["token"]: categories[r["category_token"]] for r in read_table(folder, "instance")}
        self.attributes = {row["token"]: row["name"] for row in read_table(folder, "attribute")}
        self.times = {row["token"]: row["timestamp"] for row in read_table(folder, "sample")}
        self.rows = {row["token"]: row for row in read_table(folder, "sample_annotation")}
        self.of_sample: dict[str, list[Row]] = {}
        for row in self.rows.values():
            self.of_sample.setdefault(row["sample_token"], []).append(row)

    def boxes(self, sample: str, flat: Matrix) -> Float32[ndarray, "boxes fields"]:
        """The boxes of a sample whose class is part of the task (or a rack), in the flat ego frame."""
        turn = np.arctan2(flat[1, 0], flat[0, 0])
        found = []
        for row in self.of_sample.get(sample, []):
            number = self.class_of(row)
            if number is None:
                continue
            centre = flat @ np.array([*row["translation"], 1.0])
            velocity = flat[:2, :3] @ self.velocity(row)
            points = row["num_lidar_pts"] + row["num_radar_pts"]
            box = (*centre[:3], *row["size"], yaw_of(row["rotation"]) + turn, *velocity)
            found.append((number, *box, self.attribute_of(row), points))
        return np.array(found, dtype=np.float32).reshape(-1, len(FIELDS))

    def class_of(self, row: Row) -> int | None:
        """Number of the class of a box, or None if it is not part of the task. Raises ValueError."""
        category = self.categories[row["instance_token"]]
        if category not in CATEGORIES:
            raise ValueError(
                f"the category of an annotation must be one of nuScenes' 23 ({', '.join(CATEGORIES)}), but "
                f"annotation {row['token']!r} has {category!r}; correct category.json"
            )
        return CATEGORIES[category]

    def attribute_of(self, row: Row) -> int:
        """Number of the attribute of a box, or `NO_ATTRIBUTE`. Raises ValueError if it has several."""
        names = [self.attributes[token] for token in row["attribute_tokens"]]
        if len(names) > 1 or not set(names) <= set(ATTRIBUTES):
            raise ValueError(
                f"a box must have at most one attribute: {', '.join(ATTRIBUTES)}, but annotation {row['token']!r} has "
                f"{names!r}; correct sample_annotation.json or attribute.json"
            )
        return ATTRIBUTES.index(names[0]) if names else NO_ATTRIBUTE

    def velocity(self, row: Row) -> Float64[ndarray, " 3"]:
        """Velocity in m/s from the annotations before and after (or one of them and this one).

        NaN if there is no other annotation, or the gap is longer than `LONGEST_GAP`.
        """
        before, after = self.rows.get(row["prev"], row), self.rows.get(row["next"], row)
        seconds = 1e-6 * (self.times[after["sample_token"]] - self.times[before["sample_token"]])
        gaps = (before is not row) + (after is not row)
        if not gaps or seconds > LONGEST_GAP * gaps:
            return np.full(3, np.nan)
        return (np.array(after["translation"]) - np.array(before["translation"])) / seconds


def padded(boxes: Iterable[Float32[ndarray, "_ fields"]]) -> Float32[ndarray, "samples boxes fields"]:
    """Boxes of several samples in one array with at least one place for each; unused places have class -1."""
    boxes = list(boxes)
    widest = max([1, *(len(rows) for rows in boxes)])
    labels = np.zeros((len(boxes), widest, len(FIELDS)), dtype=np.float32)
    labels[..., 0] = PADDING
    for label, rows in zip(labels, boxes, strict=True):
        label[: len(rows)] = rows
    return labels


def rotation_matrix(quaternion: list[float]) -> Float64[ndarray, "3 3"]:
    """Rotation matrix of a quaternion (w, x, y, z) of any length."""
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def yaw_of(quaternion: list[float]) -> float:
    """Angle of the rotated x axis in the horizontal plane, in radians."""
    turned = rotation_matrix(quaternion)
    return float(np.arctan2(turned[1, 0], turned[0, 0]))


def transform(row: Row) -> Matrix:
    """The matrix of a row's `rotation` and `translation`: from its frame to the frame in which they are given."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation_matrix(row["rotation"]), row["translation"]
    return matrix


def flat_frame(pose: Row) -> Matrix:
    """Transform from the global frame to the flat ego frame of an ego pose."""
    yaw = yaw_of(pose["rotation"])
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]]
    matrix[:3, 3] = -matrix[:3, :3] @ np.array(pose["translation"])
    return matrix
