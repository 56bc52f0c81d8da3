"""nuScenes: the loader against the generated layout, and every wrong file with its one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import generated_nuscenes as generated
from tests.helpers.generated_nuscenes import write_contract_copy
from trainables.data.nuscenes import dataset as nuscenes
from trainables.data.nuscenes.dataset import NuScenesConfig, load, load_in, not_comparable, shape
from trainables.data.nuscenes.sensors import camera_images, lidar_grid
from trainables.data.nuscenes.tables import read_samples, rotation_matrix, yaw_of
from trainables.detection.boxes import EXTENT, FIELDS
from trainables.detection.classes import ATTRIBUTES, CATEGORIES, CLASSES, RACK
from trainables.detection.projection_pixels import decode_projections, encode_projections

SCENES = {"train": {"scene-0061", "scene-0553", "scene-0655"}, "test": {"scene-0103"}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nuscenes")
    write_contract_copy(folder)
    return folder


@pytest.fixture(scope="module")
def three_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scenes = {"scene-0061": 1, "scene-0553": 1, "scene-0103": 1}
    return generated.write_nuscenes(tmp_path_factory.mktemp("three"), scenes)


@pytest.fixture
def broken(three_scenes: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(three_scenes, tmp_path / "copy"))


def config(root: Path, **changes: Any) -> NuScenesConfig:
    small = {"version": "v1.0-mini", "image_height": 18, "image_width": 32, "pillars": 16, "slices": 2}
    return NuScenesConfig.model_validate({"root": str(root), "split": "mini", **small, **changes})


def table(root: Path, name: str) -> list[dict[str, Any]]:
    return json.loads((root / "v1.0-mini" / f"{name}.json").read_text())


def field(labels: torch.Tensor, name: str) -> torch.Tensor:
    return labels[..., FIELDS.index(name)]


def test_every_label_is_what_was_written(root: Path) -> None:
    """Counted boxes with their classes, sizes and attributes; places and headings as seen from the vehicle."""
    labels = load(config(root)).train.labels[0]
    classes = field(labels, "class").long()
    assert sorted(classes[classes >= 0].tolist()) == [*range(len(CLASSES)), RACK]
    pose = next(row for row in table(root, "ego_pose") if row["token"].endswith("scene-0553-sample-0-LIDAR_TOP"))
    sample = load(config(root)).train.indices[0]
    assert sample == 2, "scene-0061 is held out, and its two samples come first"
    heading = yaw_of(pose["rotation"])
    for row in table(root, "sample_annotation"):
        number = next((n for n, thing in enumerate(generated.OBJECTS) if row["token"].endswith(f"-{n}-0")), None)
        if row["sample_token"] != "scene-0553-sample-0" or number is None:
            continue
        (mine,) = labels[classes == number]
        dx, dy, dz = np.array(row["translation"]) - pose["translation"]
        ahead = dx * np.cos(heading) + dy * np.sin(heading)
        left = dy * np.cos(heading) - dx * np.sin(heading)
        assert mine[1:4].tolist() == pytest.approx([ahead, left, dz], abs=1e-4)
        assert mine[4:7].tolist() == pytest.approx(row["size"])
        turn = yaw_of(row["rotation"]) - heading - float(field(mine, "yaw"))
        assert np.cos(turn) == pytest.approx(1, abs=1e-6)
        category, _, attribute, speed, _ = generated.OBJECTS[number]
        assert CATEGORIES[category] == number
        assert field(mine, "attribute") == (ATTRIBUTES.index(attribute) if attribute else -1)
        yaw = float(field(mine, "yaw"))
        assert mine[8:10].tolist() == pytest.approx([np.cos(yaw) * speed, np.sin(yaw) * speed], abs=1e-3)


def test_an_object_seen_once_has_no_velocity(root: Path) -> None:
    data = load(config(root, held_out=0.5))
    once = [labels for split in (data.train, data.val) for labels in split.labels[split.indices == 4]]
    assert len(once) == 1, "scene-0655 has one sample"
    assert field(once[0], "vx")[field(once[0], "class") >= 0].isnan().all()


def test_official_split_and_what_is_held_out(root: Path) -> None:
    """`val` of the file is measured; a part of `train` becomes the validation split."""
    rows = [{"scene": scene} for scenes in SCENES.values() for scene in scenes]
    scenes = nuscenes.scenes_of(config(root, split="official"), rows)
    assert scenes["test"] == SCENES["test"]
    assert scenes["train"] | scenes["val"] == SCENES["train"] and not scenes["train"] & scenes["val"]
    assert len(scenes["val"]) == 1
    assert shape(config(root, split="official"))[3:] == shape(config(root))[3:]


def test_the_split_by_hash_needs_no_list(root: Path) -> None:
    scenes = nuscenes.scenes_of(config(root, split="hash"), [{"scene": f"scene-{n:04}"} for n in range(1000)])
    assert [len(scenes[name]) for name in ("train", "val", "test")] == [765, 85, 150]
    assert not scenes["train"] & scenes["test"] and not scenes["val"] & scenes["test"]


def test_a_stride_takes_every_second_sample_of_each_scene(root: Path) -> None:
    assert shape(config(root))[3:] == (3, 2, 2)
    assert shape(config(root, stride=2))[3:] == (2, 1, 1)


def test_lidar_points_fall_into_their_cells(root: Path) -> None:
    """Every object has its points in the cells around its centre, and most cells are empty."""
    sample = read_samples(root, root / "v1.0-mini", 1)[0]
    grid = lidar_grid(sample, cells=64, slices=8).astype(int)
    assert grid.shape == (10, 64, 64) and (grid[:8].sum(axis=0) == 0).mean() > 0.8
    for box in sample.boxes[sample.boxes[:, 0] < 10]:
        if box[FIELDS.index("points")] and np.hypot(*box[1:3]) < 30:
            x, y = ((box[1:3] + EXTENT) / (2 * EXTENT / 64)).astype(int)
            column = grid[:8, x - 1 : x + 2, y - 1 : y + 2].sum(axis=(1, 2))
            assert column[3:].sum() > 0, "heights above the ground"


def test_lidar_grid_against_a_loop(root: Path) -> None:
    sample = read_samples(root, root / "v1.0-mini", 1)[1]
    matrix = sample.flat @ sample.lidar.to_global
    counts, tops, brightness = np.zeros((2, 16, 16)), np.zeros((16, 16)), {}
    for x, y, z, intensity, _ in np.fromfile(sample.lidar.path, dtype=np.float32).reshape(-1, 5):
        px, py, pz, _ = matrix @ np.array([x, y, z, 1.0])
        i, j, level = (px + 51.2) // 6.4, (py + 51.2) // 6.4, (pz + 3) // 4
        if 0 <= i < 16 and 0 <= j < 16 and 0 <= level < 2:
            counts[int(level), int(i), int(j)] += 1
            tops[int(i), int(j)] = max(tops[int(i), int(j)], (pz + 3) / 8)
            brightness.setdefault((int(i), int(j)), []).append(intensity / 255)
    grid = lidar_grid(sample, cells=16, slices=2)
    expected = np.minimum(np.log(1 + counts) / np.log(64), 1) * 255
    assert np.abs(grid[:2] - expected).max() < 0.51
    assert np.abs(grid[2] - tops * 255).max() < 0.51
    assert all(abs(grid[3, i, j] - np.mean(values) * 255) < 0.51 for (i, j), values in brightness.items())


def test_the_calibration_in_the_pixels_finds_the_objects(root: Path) -> None:
    """The decoded matrix sends every box where the generator, from the tables, draws it; the car is red there."""
    sample = read_samples(root, root / "v1.0-mini", 1)[0]
    images = camera_images(sample, 90, 160)
    matrices = decode_projections(torch.from_numpy(images[:, :, -1]).double() / 255).numpy()
    centres = {row["token"]: row for row in table(root, "sample_annotation")}
    poses = {row["token"]: row for row in table(root, "ego_pose")}
    mounts = {row["token"]: row for row in table(root, "calibrated_sensor")}
    compared = red = 0
    for image, matrix, reading in zip(images, matrices, sample.cameras, strict=True):
        channel = reading.path.parent.name
        pose, mount = poses[f"pose-samples-{sample.token}-{channel}"], mounts[f"mount-{channel}"]
        for number in range(len(generated.OBJECTS)):
            box = sample.boxes[sample.boxes[:, 0] == number][0]
            centre = np.array(centres[f"{sample.scene}-instance-{number}-0"]["translation"])
            uv, (expected_depth,) = generated.pixels(centre[None], pose, mount)
            u, v, depth = matrix @ np.array([*box[1:4].astype(float), 1.0])
            assert depth == pytest.approx(expected_depth, abs=1e-3)
            if depth > 1:
                place = np.array([u, v]) / depth * [generated.WIDTH, generated.HEIGHT]
                assert place == pytest.approx(uv[0], abs=0.05)
                compared += 1
                if number == 0 and (place > 1).all() and (place < [159, 89]).all():
                    red += image[0, int(place[1]), int(place[0])] > 180
    assert compared > 20 and red >= 1


def test_calibration_survives_the_bytes() -> None:
    matrices = np.random.default_rng(0).uniform(-15.9, 15.9, size=(6, 3, 4))
    row = torch.from_numpy(encode_projections(matrices, 20))[:, :, 0]
    for dtype, step in ((torch.float32, 4e-6), (torch.float64, 2e-6)):
        decoded = decode_projections(row.to(dtype) / 255)
        assert np.abs(decoded.numpy() - matrices).max() < step
    with pytest.raises(ValueError, match=r"within 16.0 .*17.0; check calibrated_sensor"):
        encode_projections(np.full((1, 3, 4), 17.0), 20)


def test_rotation_matrix_against_turning_the_axes() -> None:
    for quaternion in np.random.default_rng(0).normal(size=(5, 4)):
        unit = (quaternion / np.linalg.norm(quaternion)).tolist()
        assert np.allclose(rotation_matrix(quaternion.tolist()), generated.rotation(unit), atol=1e-12)


def test_features_from_files_are_averaged_down(root: Path) -> None:
    data = load(config(root, teacher="bev", bev_cells=4))
    raw = np.load(root / "bev" / "scene-0553-sample-0.npy").astype(np.float64)
    assert data.train.teacher.shape == (3, 4, 4, 6) and data.train.teacher.dtype == torch.float16
    for x, y in np.ndindex(4, 4):
        expected = raw[2 * x : 2 * x + 2, 2 * y : 2 * y + 2].mean(axis=(0, 1))
        assert np.allclose(data.train.teacher[0, x, y], expected, atol=2e-3)


def test_finished_scenes_are_kept_over_a_kill(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load(config(root))
    images = nuscenes.camera_images
    done: list[str] = []

    def dies(sample: Any, height: int, width: int) -> Any:
        if sample.scene == "scene-0103":
            raise KeyboardInterrupt
        done.append(sample.token)
        return images(sample, height, width)

    monkeypatch.setattr(nuscenes, "camera_images", dies)
    with pytest.raises(KeyboardInterrupt):
        load_in(config(root), tmp_path)
    assert len(done) == 5
    monkeypatch.setattr(nuscenes, "camera_images", lambda *a: done.append(a[0].token) or images(*a))
    again = load_in(config(root), tmp_path)
    assert done[5:] == ["scene-0103-sample-0", "scene-0103-sample-1"], "the others are not read again"
    for split in ("train", "val", "test"):
        for mine, theirs in zip(again.split(split), whole.split(split), strict=True):
            assert torch.equal(mine.nan_to_num(), theirs.nan_to_num())


def test_moving_the_data_changes_no_identity(root: Path, tmp_path: Path) -> None:
    moved = generated.write_nuscenes(tmp_path, {"scene-0061": 2}, seed=3)
    assert nuscenes.fingerprint(config(root)) != nuscenes.fingerprint(config(moved)), "other files"
    assert "root" in NuScenesConfig.location


def test_no_result_here_is_comparable() -> None:
    reason = not_comparable(NuScenesConfig(stride=2, split="hash"))
    assert "compact networks" in reason and "split by 'hash'" in reason and "every 2nd sample" in reason
    assert "split" not in not_comparable(NuScenesConfig())


def drop_table(root: Path) -> None:
    (root / "v1.0-mini" / "ego_pose.json").unlink()


def break_table(root: Path) -> None:
    (root / "v1.0-mini" / "scene.json").write_text("[{")


def other_category(root: Path) -> None:
    rows = table(root, "category")
    rows[0]["name"] = "vehicle.tram"
    (root / "v1.0-mini" / "category.json").write_text(json.dumps(rows))


def other_attribute(root: Path) -> None:
    rows = table(root, "attribute")
    for row in rows:
        row["name"] = "vehicle.flying"
    (root / "v1.0-mini" / "attribute.json").write_text(json.dumps(rows))


def no_front_camera(root: Path) -> None:
    rows = [row for row in table(root, "sample_data") if "/CAM_FRONT/" not in row["filename"]]
    (root / "v1.0-mini" / "sample_data.json").write_text(json.dumps(rows))


def first(root: Path, channel: str) -> Path:
    return sorted((root / "samples" / channel).iterdir())[0]


def truncate(root: Path) -> None:
    path = first(root, "LIDAR_TOP")
    path.write_bytes(path.read_bytes()[:-7])


def lose_image(root: Path) -> None:
    first(root, "CAM_BACK").unlink()


def break_image(root: Path) -> None:
    first(root, "CAM_BACK").write_bytes(b"not a JPEG")


def cut_image(root: Path) -> None:
    path = first(root, "CAM_BACK")
    path.write_bytes(path.read_bytes()[:400])


WRONG: list[tuple[Callable[[Path], object], type[Exception], str]] = [
    (drop_table, FileNotFoundError, r"'ego_pose.json' is missing; put the official metadata there"),
    (break_table, ValueError, r"scene.json' must be a JSON list of rows, but cannot be read"),
    (other_category, ValueError, r"one of nuScenes' 23 .* has 'vehicle.tram'; correct category.json"),
    (other_attribute, ValueError, r"has \['vehicle.flying'\]; correct sample_annotation.json"),
    (no_front_camera, ValueError, r"needs a key frame of CAM_FRONT, but sample 'scene-0061-sample-0'"),
    (truncate, ValueError, r"5 float32 for each point, but .* has \d+ bytes: it is truncated; copy it again"),
    (lose_image, FileNotFoundError, r"camera image .* is missing; put the official samples folder"),
    (break_image, ValueError, r"camera image .* cannot be read .*; copy it again"),
    (cut_image, ValueError, r"camera image .* cannot be read .*; copy it again"),
]


@pytest.mark.parametrize(("damage", "error", "message"), WRONG, ids=[row[0].__name__ for row in WRONG])
def test_wrong_data_gives_one_clear_line(
    broken: Path, damage: Callable[[Path], object], error: type[Exception], message: str
) -> None:
    damage(broken)
    with pytest.raises(error, match=message) as raised:
        load(config(broken))
    assert "\n" not in str(raised.value)


def test_a_missing_root_or_split_file_says_what_to_put_where(broken: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"root = '/nowhere', .* put `samples` and `v1.0-mini`"):
        shape(config(Path("/nowhere")))
    with pytest.raises(FileNotFoundError, match=r"no folder .*v1.0-test.*data.version"):
        shape(config(broken, version="v1.0-test"))
    with pytest.raises(FileNotFoundError, match=r"splits.json.*create_splits_scenes\(\)"):
        shape(config(broken, split="official"))
    (broken / "splits.json").write_text('{"train": 3}')
    with pytest.raises(ValueError, match=r"splits.json.*lists of scene names under 'train' and 'val'"):
        shape(config(broken, split="official"))
    (broken / "splits.json").write_text('{"train": ["scene-0061", "scene-0103"], "val": ["scene-0103"]}')
    with pytest.raises(ValueError, match=r"'scene-0103' is in two lists; correct splits.json"):
        shape(config(broken, split="official"))
    (broken / "splits.json").write_text('{"train": ["scene-0061"], "val": ["scene-0103"]}')
    with pytest.raises(ValueError, match=r"the val split has no scene"):
        shape(config(broken, split="official"))


def test_wrong_features_say_so(root: Path, broken: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"put one <sample token>.npy of shape"):
        shape(config(broken, teacher="bev"))
    with pytest.raises(
        ValueError, match=r"bev_cells must divide the 8 cells .* but got 3; choose one of \[1, 2, 4, 8\]"
    ):
        shape(config(root, teacher="bev", bev_cells=3))
    generated.write_features(broken)
    np.save(broken / "bev" / "scene-0553-sample-0.npy", np.zeros((8, 8, 5)))
    with pytest.raises(ValueError, match=r"same shape.*\(8, 8, 5\)|\(8, 8, 6\).*\(8, 8, 5\)"):
        load(config(broken, teacher="bev"))
    np.save(broken / "bev" / "scene-0553-sample-0.npy", np.full((8, 8, 6), np.nan))
    with pytest.raises(ValueError, match=r"at most 65504, the range of half precision"):
        load(config(broken, teacher="bev"))
    np.save(broken / "bev" / "scene-0061-sample-0.npy", np.zeros((8, 6)))
    with pytest.raises(ValueError, match=r"must have the shape .cells, cells, D."):
        shape(config(broken, teacher="bev"))
    (broken / "bev" / "scene-0061-sample-0.npy").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"must be an .npy file of numbers"):
        shape(config(broken, teacher="bev"))
