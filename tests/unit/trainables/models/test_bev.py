"""Detection in bird's-eye view: targets, loss and decoding; the networks trained; distillation cell by cell."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.helpers.generated import root
from tests.helpers.generated_nuscenes import write_nuscenes
from trainables.common.types import Batch, ModelOutput
from trainables.config import TrialConfig
from trainables.data.nuscenes.dataset import NuScenesConfig, load
from trainables.detection.boxes import EXTENT, FIELDS, REGRESSION, boxes_of_labels, boxes_of_maps, channels
from trainables.detection.loss import class_maps, detection_loss, is_object, object_weights
from trainables.detection.nds import ERRORS
from trainables.detection.task import example_boxes
from trainables.diagnostics import spectra
from trainables.fitting import fit
from trainables.losses import distillation as losses
from trainables.methods.feature_kd import FeatureKD, FeatureKDConfig
from trainables.models.bev.camera import BEVCameraConfig, build_bev_camera, project, voxels
from trainables.models.bev.features import BEVFeaturesConfig, build_bev_features
from trainables.models.bev.lidar import BEVLidarConfig, build_bev_lidar
from trainables.stages.artifacts import StageStore
from trainables.tasks import TASKS, evaluate

CELLS = 16
SIDE = 2 * EXTENT / CELLS


def labels_with(*boxes: dict[str, float]) -> torch.Tensor:
    """One sample with these boxes and an empty place."""
    usual = {"width": 2, "length": 4, "height": 1.5, "attribute": 5, "points": 3}
    rows = [[(usual | box).get(name, 0.0) for name in FIELDS] for box in boxes]
    return torch.tensor([*rows, [-1.0] + [0.0] * (len(FIELDS) - 1)])[None].double()


def random_case(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = example_boxes(3, 4).double()
    labels[0, 0, 8] = torch.nan
    labels[1, 1, 10] = -1
    labels[2, 1, 0] = 10  # a rack
    logits = torch.randn(3, CELLS, CELLS, channels(4), generator=generator, dtype=torch.float64)
    return logits, labels, torch.tensor([True, False, True])


def test_the_loss_against_a_loop() -> None:
    logits, labels, labelled = random_case()
    total, count = 0.0, 0
    for row in (0, 2):
        targets = np.zeros((CELLS, CELLS, 4))
        for box in labels[row].tolist():
            if not 0 <= box[0] < 4:
                continue
            count += 1
            c, i, j = int(box[0]), int((box[1] + EXTENT) // SIDE), int((box[2] + EXTENT) // SIDE)
            sigma = (2 * max(max(box[4:6]) / 2 / SIDE, 1) + 1) / 6
            for x, y in np.ndindex(CELLS, CELLS):
                bump = math.exp(-((x - i) ** 2 + (y - j) ** 2) / (2 * sigma**2))
                targets[x, y, c] = max(targets[x, y, c], bump)
            found = logits[row, i, j, 4:].tolist()
            dx, dy = (box[1] + EXTENT) / SIDE - i - 0.5, (box[2] + EXTENT) / SIDE - j - 0.5
            wanted = [dx, dy, box[3], *(math.log(s) for s in box[4:7]), math.sin(box[7]), math.cos(box[7]), *box[8:10]]
            weights = [1] * 8 + [0.2] * 2
            pairs = [(w, f, t) for w, f, t in zip(weights, found, wanted, strict=False) if not math.isnan(t)]
            total += 0.25 * sum(w * abs(f - t) for w, f, t in pairs)
            if box[10] >= 0:
                scores = np.array(found[len(REGRESSION) :])
                total += 0.25 * (np.log(np.exp(scores).sum()) - scores[int(box[10])])
        for x, y, c in np.ndindex(CELLS, CELLS, 4):
            p, t = 1 / (1 + math.exp(-float(logits[row, x, y, c]))), targets[x, y, c]
            total -= (1 - p) ** 2 * math.log(p) if t == 1 else (1 - t) ** 4 * p**2 * math.log(1 - p)
    assert count == 3
    assert detection_loss(logits, labels, labelled).item() == pytest.approx(total / count, rel=1e-9)


def test_unlabelled_samples_and_empty_ones_teach_nothing() -> None:
    logits, labels, labelled = random_case()
    logits.requires_grad_()
    detection_loss(logits, labels, labelled).backward()
    assert logits.grad is not None and logits.grad[1].eq(0).all() and logits.grad[[0, 2]].ne(0).any()
    assert detection_loss(logits, labels, torch.zeros(3, dtype=torch.bool)) == 0
    other = labels.clone()
    other[1] = labels[0]
    assert detection_loss(logits, labels, labelled) == detection_loss(logits, other, labelled)


def test_perfect_maps_give_back_the_boxes() -> None:
    """Maps written by hand from the labels are decoded to the labels. Empty cells come last, as false positives of next
    to no confidence, so that the precision at a recall of exactly 1, one of 90 points, is not counted as perfect."""
    labels = load(config("mini")).train.labels.double()
    valid = is_object(labels)
    logits = torch.zeros(len(labels), 32, 32, channels(10), dtype=torch.float64)
    logits[..., :10] = 40 * class_maps(labels, valid, 32, 10) - 20
    side = 2 * EXTENT / 32
    for sample, box in valid.nonzero().tolist():
        fields = labels[sample, box]
        place = ((fields[1:3] + EXTENT) / side).floor().long()
        offsets = (fields[1:3] + EXTENT) / side - place - 0.5
        values = [*offsets, fields[3], *fields[4:7].log(), fields[7].sin(), fields[7].cos(), *fields[8:10].nan_to_num()]
        logits[sample, place[0], place[1], 10 : 10 + len(values)] = torch.tensor(values, dtype=torch.float64)
        logits[sample, place[0], place[1], 10 + len(values) + max(int(fields[10]), 0)] = 9.0
    measured = evaluate(TASKS["detection"], logits, labels)
    assert 1 - 1 / 90 <= measured["map"] + 1e-9 and all(measured[name] < 1e-6 for name in ERRORS)
    found, truth = boxes_of_maps(logits, detections=12), boxes_of_labels(labels)
    for number in range(10):
        mine = found.centres[0][(found.classes[0] == number) & (found.scores[0] > 0.9)]
        assert np.allclose(mine, truth.centres[0][truth.classes[0] == number], atol=1e-9), number


def test_only_peaks_are_boxes() -> None:
    logits = torch.zeros(1, CELLS, CELLS, channels(2))
    logits[..., :2] = -9.0
    logits[0, 4, 4, 0], logits[0, 4, 5, 0], logits[0, 4, 5, 1] = 3.0, 2.0, 1.0
    found = boxes_of_maps(logits, detections=2)
    assert found.classes.tolist() == [[0, 1]] and found.scores[0] == pytest.approx([1 / (1 + math.exp(-3)), 0.7310586])
    assert found.centres[0, :, :2].tolist() == pytest.approx(
        np.array([[-EXTENT + 4.5 * SIDE] * 2, [-EXTENT + 4.5 * SIDE, -EXTENT + 5.5 * SIDE]])
    )


def test_weights_are_1_at_boxes_and_0_far_away() -> None:
    labels = labels_with({"class": 1, "x": 20.0, "y": -30.0}, {"class": 10, "x": -20.0, "y": 30.0})
    weights = object_weights(labels, torch.tensor([True]), CELLS)[0]
    peak = int((20 + EXTENT) // SIDE), int((-30 + EXTENT) // SIDE)
    assert weights.argmax() == peak[0] * CELLS + peak[1] and weights.max() == 1
    assert (weights > 1e-6).sum() < 30, "and nothing at the rack"
    assert object_weights(labels, torch.tensor([False]), CELLS).max() == 0


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_mse_around_boxes_against_a_loop(reduction: Any) -> None:
    logits, labels, labelled = random_case()
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 3, CELLS, CELLS, 5, generator=generator, dtype=torch.float64)
    options = FeatureKDConfig(region="boxes", reduction=reduction)
    batch = Batch(logits, logits, labels, labelled, torch.arange(3))
    method = FeatureKD(options, 5, 5, TASKS["detection"])
    value = method(ModelOutput(logits, student), ModelOutput(logits, teacher), batch)["fd"].value
    weights = object_weights(labels, labelled, CELLS)
    total = weight = 0.0
    for place in np.ndindex(3, CELLS, CELLS):
        distance = float((student[place] - teacher[place]).square().sum())
        total += float(weights[place]) * (distance / 5 if reduction == "mean" else distance)
        weight += float(weights[place])
    assert value.item() == pytest.approx(total / weight)
    everywhere = losses.feature_mse(student.flatten(0, 2), teacher.flatten(0, 2), reduction)
    assert value.item() != pytest.approx(everywhere.item(), rel=1e-3)


def test_a_batch_without_boxes_has_no_error_around_them() -> None:
    zero = losses.feature_mse(torch.ones(4, 2), torch.zeros(4, 2), "mean", torch.zeros(4))
    assert zero == 0


def test_points_fall_where_a_camera_sees_them() -> None:
    """A camera at the origin that looks ahead (x): the middle of the image is straight ahead, left is left."""
    matrix = torch.tensor([[0.5, -1.0, 0.0, 0.0], [0.5, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])[None, None]
    points = torch.tensor([[10.0, 0, 0, 1], [10, 2, 0, 1], [10, 0, 4, 1], [-10, 0, 0, 1], [10, 8, 0, 1]])[None]
    places, seen = project(matrix, points)
    assert places[0, 0, 0, :3].tolist() == [[0, 0], pytest.approx([-0.4, 0]), pytest.approx([0, -0.8])]
    assert seen[0, 0, 0].tolist() == [True, True, True, False, False]
    assert voxels(4, (1.0, 2.0))[1, 5].tolist() == pytest.approx([-12.8, -12.8, 2.0, 1.0])


def config(split: str, **changes: Any) -> NuScenesConfig:
    small = {"version": "v1.0-mini", "pillars": 64, "image_height": 24, "image_width": 32, "split": split}
    return NuScenesConfig.model_validate({"root": root("nuscenes"), **small, **changes})


@pytest.mark.slow
def test_an_overfitted_teacher_finds_everything(tmp_path: Path) -> None:
    """Four samples, all ten classes in each: raw files to NDS, through grid, network, loss, decoding and matching."""
    write_nuscenes(tmp_path, {"scene-0061": 2, "scene-0553": 2, "scene-0103": 2})
    data = load(config("mini", root=str(tmp_path)))
    grids = torch.cat([data.train.teacher, data.val.teacher]).float() / 255
    labels = torch.cat([data.train.labels, data.val.labels])
    torch.manual_seed(0)
    sizes = BEVLidarConfig(cells=32, bev_width=32, feature_dim=32, bev_blocks=1, stem=16)
    network = build_bev_lidar(sizes, tuple(grids.shape[1:]), 10)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    task, everything = TASKS["detection"], torch.ones(4, dtype=torch.bool)
    before = evaluate(task, network(grids).logits.detach(), labels)["nds"]
    for _ in range(60):
        loss = task.loss(network(grids).logits, labels, everything)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = evaluate(task, network(grids).logits.detach(), labels)
    assert before < 0.1 and after["nds"] > 0.75 and after["map"] > 0.9


METHODS: list[dict[str, Any]] = [
    {"method": "none"},
    {"method": "feature_kd"},
    {"method": "feature_kd", "region": "boxes"},
    {"method": "ciba", "bottleneck_dim": 4, "bottleneck_epochs": 2, "bottleneck_batch_size": 32},
    {"method": "ciba", "bottleneck_dim": 4, "bottleneck_epochs": 2, "bottleneck_batch_size": 32, "region": "boxes"},
]
LIDAR = {"model": "bev_lidar", "cells": 8, "bev_width": 8, "feature_dim": 8, "bev_blocks": 1, "stem": 4}
FILES = {"model": "bev_features", "cells": 8, "feature_dim": 6}
CAMERA = {"model": "bev_camera", "cells": 8, "bev_width": 8, "feature_dim": 8, "bev_blocks": 1, "widths": [4]}


def trial(method: dict[str, Any], network: dict[str, Any] = LIDAR, **data: Any) -> TrialConfig:
    training = {"epochs": 1, "batch_size": 2, "monitor": "val/nds"}
    return TrialConfig.model_validate(
        {
            "data": config("official", pillars=16, **data).model_dump(),
            "teacher": network,
            "student": CAMERA,
            "method": method,
            "training": training,
            "pretraining": training,
        }
    )


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> StageStore:
    return StageStore(tmp_path_factory.mktemp("stages"))


@pytest.mark.parametrize(("network", "data"), [(LIDAR, {}), (FILES, {"teacher": "bev"})], ids=["lidar", "files"])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_every_method_trains_cell_by_cell(
    stages: StageStore, method: dict[str, Any], network: dict[str, Any], data: dict[str, Any]
) -> None:
    done = fit(trial(method, network, **data), stages=stages)
    assert {f"test/{name}" for name in TASKS["detection"].metrics} <= done.result.metrics.keys()
    assert done.result.metrics["train/loss_task"] > 0
    assert ("train/loss_fd" in done.result.metrics) == (method["method"] != "none")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"dataset": "mfeat"}}, "method.region: 'boxes' needs labels that say where things are"),
        ({"student": {**CAMERA, "cells": 4}}, "student.cells: .* the teacher has cells = 8, the student 4"),
        ({"method": {"method": "feature_kd", "region": "boxes", "loss": "ce"}}, "loss is 'ce'; write region: all"),
        ({"method": {"method": "kd"}}, "'kd' takes data for classification"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], message: str) -> None:
    values = trial({"method": "feature_kd", "region": "boxes"}).model_dump() | change
    with pytest.raises(ValidationError, match=message):
        TrialConfig.model_validate(values)


def test_networks_say_what_they_take() -> None:
    with pytest.raises(ValueError, match=r"LiDAR grid .* shape \(6, 3, 25, 32\)"):
        build_bev_lidar(BEVLidarConfig(), (6, 3, 25, 32), 10)
    with pytest.raises(ValueError, match=r"side 48 .* cannot give 32; choose cells = 48 divided by"):
        build_bev_lidar(BEVLidarConfig(cells=32), (10, 48, 48), 10)
    with pytest.raises(ValueError, match=r"takes images .* shape \(10, 64, 64\)"):
        build_bev_camera(BEVCameraConfig(), (10, 64, 64), 10)
    with pytest.raises(ValueError, match=r"3 layers need a side of 8 pixels.*fewer widths"):
        build_bev_camera(BEVCameraConfig(), (6, 3, 7, 12), 10)
    with pytest.raises(ValueError, match=r"got 32 and 256 for .* write cells: 8 and feature_dim: 6"):
        build_bev_features(BEVFeaturesConfig(), (8, 8, 6), 10)
    with pytest.raises(ValueError, match=r"takes features of shape \(cells, cells, D\)"):
        build_bev_features(BEVFeaturesConfig(), (10, 64, 60), 10)


def test_a_spectrum_of_many_cells_is_that_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    features = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) @ torch.diag(10.0 ** -torch.arange(6))
    whole = spectra.singular_value_spectrum(features)
    monkeypatch.setattr(spectra, "CHUNK_ROWS", 64)
    torch.testing.assert_close(spectra.singular_value_spectrum(features), whole, rtol=1e-9, atol=0)
