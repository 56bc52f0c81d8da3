"""Writes a tiny nuScenes in the official layout: JPEGs, .pcd.bin files and all 13 tables, with objects to be found.

Each sample has one object of each of the ten classes around the vehicle (same size and colour for a class), and
what the task must ignore: an animal, a car without points, a cone out of range, and a bicycle in a bicycle rack.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image, ImageDraw

CAMERAS = {
    "CAM_FRONT_LEFT": 55,
    "CAM_FRONT": 0,
    "CAM_FRONT_RIGHT": -55,
    "CAM_BACK_LEFT": 110,
    "CAM_BACK": 180,
    "CAM_BACK_RIGHT": -110,
}
WIDTH, HEIGHT, FOCAL = 160, 90, 100.0

OBJECTS: list[tuple[str, tuple[float, float, float], str | None, float, str]] = [
    ("vehicle.car", (1.9, 4.6, 1.7), "vehicle.moving", 4.0, "red"),
    ("vehicle.truck", (2.5, 6.9, 2.8), "vehicle.parked", 0.0, "orange"),
    ("vehicle.bus.rigid", (2.9, 11.0, 3.5), "vehicle.stopped", 0.0, "yellow"),
    ("vehicle.trailer", (2.9, 12.3, 3.9), "vehicle.parked", 0.0, "green"),
    ("vehicle.construction", (2.7, 6.4, 3.2), "vehicle.moving", 1.0, "cyan"),
    ("human.pedestrian.adult", (0.7, 0.7, 1.8), "pedestrian.moving", 1.2, "blue"),
    ("vehicle.motorcycle", (0.8, 2.1, 1.5), "cycle.with_rider", 3.0, "magenta"),
    ("vehicle.bicycle", (0.6, 1.7, 1.3), "cycle.without_rider", 0.0, "pink"),
    ("movable_object.trafficcone", (0.4, 0.4, 1.1), None, 0.0, "white"),
    ("movable_object.barrier", (2.5, 0.5, 1.0), None, 0.0, "brown"),
]
"""Category, size, attribute, speed and colour; in the order of the classes."""

COUNTED = len(OBJECTS)
"""Boxes of each sample that count."""

LEFT_OUT: list[tuple[str, tuple[float, float, float], tuple[float, float, float], int]] = [
    ("animal", (0.3, 0.8, 0.5), (6.0, -3.0, 0.3), 4),
    ("vehicle.car", (1.9, 4.6, 1.7), (-8.0, 2.0, 0.8), 0),
    ("movable_object.trafficcone", (0.4, 0.4, 1.1), (33.0, 5.0, 0.5), 3),
    ("static_object.bicycle_rack", (2.0, 4.0, 1.5), (5.0, 5.0, 0.6), 9),
    ("vehicle.bicycle", (0.6, 1.7, 1.3), (5.5, 5.5, 0.6), 5),
]
"""Category, size, place in the ego frame and points of objects that do not count; the rack is stored with the boxes."""

ATTRIBUTES = [
    *("cycle.with_rider", "cycle.without_rider", "pedestrian.moving", "pedestrian.sitting_lying_down"),
    *("pedestrian.standing", "vehicle.moving", "vehicle.parked", "vehicle.stopped"),
]

TABLES = [
    *("attribute", "calibrated_sensor", "category", "ego_pose", "instance", "log", "map"),
    *("sample", "sample_annotation", "sample_data", "scene", "sensor", "visibility"),
]


class Writer:
    """Collects the rows of the tables; `write` puts them into files."""

    def __init__(self, root: Path, version: str, seed: int) -> None:
        self.root, self.version = root, version
        self.generator = np.random.default_rng(seed)
        self.tables: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
        self.mounts: dict[str, str] = {}
        self.categories: dict[str, str] = {}
        for name in ATTRIBUTES:
            self.add("attribute", f"attribute-{name}", name=name, description="")
        for name in dict.fromkeys([row[0] for row in OBJECTS] + [row[0] for row in LEFT_OUT]):
            self.categories[name] = self.add("category", f"category-{name}", name=name, description="")
        self.add("visibility", "4", level="v80-100", description="")
        self.add("log", "log-0", logfile="", vehicle="n000", date_captured="2018-07-24", location="boston-seaport")
        self.add("map", "map-0", log_tokens=["log-0"], category="semantic_prior", filename="maps/none.png")
        self.mount("LIDAR_TOP", "lidar", (0.94, 0.0, 1.84), yaw_quaternion(-np.pi / 2), [])
        intrinsic = [[FOCAL, 0.0, WIDTH / 2], [0.0, FOCAL, HEIGHT / 2], [0.0, 0.0, 1.0]]
        for name, degrees in CAMERAS.items():
            yaw = np.deg2rad(degrees)
            turn = multiply(yaw_quaternion(yaw), [0.5, -0.5, 0.5, -0.5])
            self.mount(name, "camera", (1.2 * np.cos(yaw), 0.6 * np.sin(yaw), 1.5), turn, intrinsic)

    def add(self, table: str, token: str, **fields: Any) -> str:
        self.tables[table].append({"token": token, **fields})
        return token

    def mount(self, channel: str, modality: str, translation: tuple, rotation: list[float], intrinsic: list) -> None:
        sensor = self.add("sensor", f"sensor-{channel}", channel=channel, modality=modality)
        self.mounts[channel] = self.add(
            *("calibrated_sensor", f"mount-{channel}"),
            **{"sensor_token": sensor, "translation": list(translation), "rotation": rotation},
            camera_intrinsic=intrinsic,
        )

    def write(self) -> None:
        folder = self.root / self.version
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in self.tables.items():
            (folder / f"{name}.json").write_text(json.dumps(rows))

    def scene(self, name: str, samples: int) -> None:
        """A drive along a straight line; the objects move independently."""
        start, heading = self.generator.uniform(200, 900, size=2), self.generator.uniform(-np.pi, np.pi)
        tokens = [f"{name}-sample-{number}" for number in range(samples)]
        links = linked(tokens)
        ends = {"first_sample_token": tokens[0], "last_sample_token": tokens[-1], "nbr_samples": samples}
        self.add("scene", f"{name}-token", log_token="log-0", name=name, description="", **ends)
        placed = self.place(name, start, heading, tokens)
        for number, token in enumerate(tokens):
            time = 1_532_402_927_600_000 + 500_000 * number
            self.add("sample", token, timestamp=time, scene_token=f"{name}-token", **links[token])
            ego = [self.ego(start, heading, number + shift) for shift in (0.0, 0.05)]
            boxes = [annotation for annotation in placed if annotation["sample_token"] == token]
            self.lidar(token, time, ego[0], boxes)
            for channel in CAMERAS:
                self.camera(token, time + 25_000, ego[1], channel, boxes)

    def ego(self, start: ndarray, heading: float, steps: float) -> dict[str, Any]:
        """The vehicle's pose: two metres a step, with a slight roll."""
        xy = start + 2.0 * steps * np.array([np.cos(heading), np.sin(heading)])
        roll = [np.cos(0.005), np.sin(0.005), 0.0, 0.0]
        return {"translation": [*xy.tolist(), 0.0], "rotation": multiply(yaw_quaternion(heading), roll)}

    def place(self, scene: str, start: ndarray, heading: float, samples: list[str]) -> list[dict[str, Any]]:
        """The annotations of a scene, object by object, linked in time."""
        rows = []
        angles = self.generator.permutation(len(OBJECTS)) * 2 * np.pi / len(OBJECTS)
        for number, (category, size, attribute, speed, colour) in enumerate(OBJECTS):
            angle, yaw = angles[number] + heading, self.generator.uniform(-np.pi, np.pi)
            centre = start + self.generator.uniform(11, 22) * np.array([np.cos(angle), np.sin(angle)])
            velocity = speed * np.array([np.cos(yaw), np.sin(yaw)])
            places = [[*(centre + 0.5 * step * velocity).tolist(), size[2] / 2] for step in range(len(samples))]
            attributes = [] if attribute is None else [f"attribute-{attribute}"]
            rows += self.track(scene, number, category, size, yaw, places, samples, attributes, 12, colour)
        for number, (category, size, where, points) in enumerate(LEFT_OUT, start=len(OBJECTS)):
            places = []
            for step in range(len(samples)):
                x, y = where[0] + 2.0 * step, where[1]
                turned = [x * np.cos(heading) - y * np.sin(heading), x * np.sin(heading) + y * np.cos(heading)]
                places.append([*(start + turned).tolist(), where[2]])
            rows += self.track(scene, number, category, size, heading, places, samples, [], points, "grey")
        return rows

    def track(
        self,
        scene: str,
        number: int,
        category: str,
        size: tuple[float, float, float],
        yaw: float,
        places: list[list[float]],
        samples: list[str],
        attributes: list[str],
        points: int,
        colour: str,
    ) -> list[dict[str, Any]]:
        """One object's annotations; also what `lidar` and `camera` draw."""
        instance = self.add("instance", f"{scene}-instance-{number}", category_token=self.categories[category])
        tokens = [f"{instance}-{step}" for step in range(len(samples))]
        ends = {"first_annotation_token": tokens[0], "last_annotation_token": tokens[-1]}
        self.tables["instance"][-1] |= ends | {"nbr_annotations": len(samples)}
        links = linked(tokens)
        found = []
        for token, sample, place in zip(tokens, samples, places, strict=True):
            fields = {"sample_token": sample, "instance_token": instance, "visibility_token": "4", **links[token]}
            fields |= {"attribute_tokens": attributes, "translation": place, "size": list(size)}
            fields |= {"rotation": yaw_quaternion(yaw), "num_lidar_pts": points, "num_radar_pts": 0}
            self.add("sample_annotation", token, **fields)
            found.append(fields | {"colour": colour})
        return found

    def reading(self, sample: str, time: int, pose: dict[str, Any], channel: str, suffix: str) -> Path:
        """The rows of one key frame, and of a sweep that is not a key frame; returns the key frame's path."""
        for key_frame, folder in ((True, "samples"), (False, "sweeps")):
            token = f"{folder}-{sample}-{channel}"
            shift = 0.0 if key_frame else 99.0
            translation = [pose["translation"][0] + shift, *pose["translation"][1:]]
            self.add("ego_pose", f"pose-{token}", timestamp=time, translation=translation, rotation=pose["rotation"])
            file = f"{folder}/{channel}/{self.version}__{sample}__{channel}__{time}{suffix}"
            size = {"width": WIDTH, "height": HEIGHT} if suffix == ".jpg" else {"width": 0, "height": 0}
            self.add(
                *("sample_data", token),
                **{"sample_token": sample, "ego_pose_token": f"pose-{token}", "timestamp": time, "filename": file},
                **{"calibrated_sensor_token": self.mounts[channel], "fileformat": suffix[1:]},
                **{"is_key_frame": key_frame, "prev": "", "next": "", **size},
            )
        path = self.root / "samples" / channel / f"{self.version}__{sample}__{channel}__{time}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def lidar(self, sample: str, time: int, pose: dict[str, Any], boxes: list[dict[str, Any]]) -> None:
        """Points inside the objects, and a few on the ground."""
        path = self.reading(sample, time, pose, "LIDAR_TOP", ".pcd.bin")
        clouds = [self.inside(box) for box in boxes if box["num_lidar_pts"]]
        ego = np.array(pose["translation"])
        ground = self.generator.uniform([-40, -40, 0], [40, 40, 0.1], size=(300, 3)) + ego
        points = to_sensor(np.concatenate([*clouds, ground]), pose, self.mount_of("LIDAR_TOP"))
        rest = np.stack([self.generator.uniform(0, 255, len(points)), np.zeros(len(points))], axis=1)
        np.concatenate([points, rest], axis=1).astype(np.float32).tofile(path)

    def inside(self, box: dict[str, Any]) -> ndarray:
        width, length, height = box["size"]
        half = np.array([length, width, height]) / 2
        points = self.generator.uniform(-half, half, size=(60, 3))
        return points @ rotation(box["rotation"]).T + box["translation"]

    def camera(self, sample: str, time: int, pose: dict[str, Any], channel: str, boxes: list[dict[str, Any]]) -> None:
        """The objects as flat shapes, the farthest first."""
        path = self.reading(sample, time, pose, channel, ".jpg")
        image = Image.new("RGB", (WIDTH, HEIGHT), "black")
        draw = ImageDraw.Draw(image)
        mount = self.mount_of(channel)
        ego = np.array(pose["translation"])
        for box in sorted(boxes, key=lambda box: -float(np.linalg.norm(box["translation"] - ego))):
            uv, depth = pixels(corners(box), pose, mount)
            if (depth > 0.5).all():
                (left, top), (right, bottom) = uv.min(axis=0), uv.max(axis=0)
                draw.rectangle((left, top, right, bottom), fill=box["colour"])
        image.save(path, quality=90)

    def mount_of(self, channel: str) -> dict[str, Any]:
        return next(row for row in self.tables["calibrated_sensor"] if row["token"] == self.mounts[channel])


def write_nuscenes(root: Path, scenes: dict[str, int], version: str = "v1.0-mini", seed: int = 0) -> Path:
    """A whole data set with these scenes and numbers of samples; `root`."""
    writer = Writer(root, version, seed)
    for name, samples in scenes.items():
        writer.scene(name, samples)
    writer.write()
    return root


def write_contract_copy(root: Path) -> None:
    """The folder for the contract suite of data sets: two versions, the split file, two folders of features."""
    write_nuscenes(root, {"scene-0061": 2, "scene-0553": 2, "scene-0655": 1, "scene-0103": 2})
    write_nuscenes(root, {"scene-0061": 2, "scene-0553": 2, "scene-0103": 1}, "v1.0-other", seed=1)
    lists = {"train": ["scene-0061", "scene-0553", "scene-0655"], "val": ["scene-0103"], "test": ["scene-0001"]}
    (root / "splits.json").write_text(json.dumps(lists))
    write_features(root)
    write_features(root, dim=5, folder="other")


def write_features(root: Path, version: str = "v1.0-mini", cells: int = 8, dim: int = 6, folder: str = "bev") -> None:
    """Features like those of another network: the class of the object in each cell, with noise."""
    generator = np.random.default_rng(5)
    (root / folder).mkdir(exist_ok=True)
    for row in json.loads((root / version / "sample.json").read_text()):
        np.save(root / folder / f"{row['token']}.npy", generator.normal(size=(cells, cells, dim)).astype(np.float16))


def linked(tokens: list[str]) -> dict[str, dict[str, str]]:
    return {
        token: {"prev": tokens[i - 1] if i else "", "next": tokens[i + 1] if i + 1 < len(tokens) else ""}
        for i, token in enumerate(tokens)
    }


def yaw_quaternion(yaw: float) -> list[float]:
    return [float(np.cos(yaw / 2)), 0.0, 0.0, float(np.sin(yaw / 2))]


def multiply(a: list[float], b: list[float]) -> list[float]:
    """Hamilton product: first turn by `b`, then by `a`."""
    (s, *v), (t, *w) = a, b
    vector = s * np.array(w) + t * np.array(v) + np.cross(v, w)
    return [float(s * t - np.dot(v, w)), *vector.tolist()]


def rotation(quaternion: list[float]) -> ndarray:
    """By turning the three axes: q p q*."""
    conjugate = [quaternion[0], *(-part for part in quaternion[1:])]
    axes = [multiply(multiply(quaternion, [0.0, *axis]), conjugate)[1:] for axis in np.eye(3).tolist()]
    return np.array(axes).T


def to_sensor(points: ndarray, pose: dict[str, Any], mount: dict[str, Any]) -> ndarray:
    """Global points in a sensor's frame."""
    in_ego = (points - pose["translation"]) @ rotation(pose["rotation"])
    return (in_ego - mount["translation"]) @ rotation(mount["rotation"])


def pixels(points: ndarray, pose: dict[str, Any], mount: dict[str, Any]) -> tuple[ndarray, ndarray]:
    """Where global points fall in a camera's image, and their depths."""
    seen = to_sensor(points, pose, mount) @ np.array(mount["camera_intrinsic"]).T
    return seen[:, :2] / seen[:, 2:], seen[:, 2]


def corners(box: dict[str, Any]) -> ndarray:
    """The eight corners of an annotation, global."""
    width, length, height = box["size"]
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    return signs * np.array([length, width, height]) / 2 @ rotation(box["rotation"]).T + box["translation"]
