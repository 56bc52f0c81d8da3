"""The nuScenes detection score: against the official devkit's numbers, a naive loop, and what is known in advance."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.generated_nuscenes import write_nuscenes
from trainables.data.nuscenes.tables import padded, read_samples
from trainables.detection.boxes import Boxes, boxes_of_labels
from trainables.detection.classes import ATTRIBUTES_OF, CLASSES, RACK, RANGES
from trainables.detection.matching import counted
from trainables.detection.nds import ERRORS, detection_scores, running_mean, score

PLACES = 60


def empty(samples: int, places: int = PLACES) -> Boxes:
    """No boxes at all, to be filled in."""
    shape = (samples, places)
    none = np.full(shape, -1)
    return Boxes(
        *(none.copy(), np.zeros(shape), np.zeros((*shape, 3)), np.ones((*shape, 3)), np.zeros(shape)),
        *(np.zeros((*shape, 2)), none.copy(), np.full(shape, -1.0)),
    )


def guesses(truth: Boxes, seed: int, scale: float) -> Boxes:
    """Up to three noisy copies of every box; one in ten has another class."""
    generator = np.random.default_rng(seed)
    found = empty(len(truth.classes))
    for sample, classes in enumerate(truth.classes):
        place = 0
        for box, number in enumerate(classes):
            for _ in range(generator.integers(0, 4) if 0 <= number < RACK else 0):
                c = int(number) if generator.random() > 0.1 else int(generator.integers(10))
                allowed = np.flatnonzero(ATTRIBUTES_OF[c])
                at = sample, place
                found.classes[at], found.scores[at] = c, generator.random()
                found.centres[at] = truth.centres[sample, box] + scale * generator.normal(size=3)
                found.sizes[at] = truth.sizes[sample, box] * np.exp(0.2 * generator.normal(size=3))
                found.yaws[at] = truth.yaws[sample, box] + generator.normal()
                velocity = np.nan_to_num(truth.velocities[sample, box])
                found.velocities[at] = velocity + 0.5 * generator.normal(size=2)
                found.attributes[at] = generator.choice(allowed) if len(allowed) else -1
                place += 1
    return found


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Boxes:
    root = write_nuscenes(tmp_path_factory.mktemp("nuscenes"), {"scene-0061": 4, "scene-0553": 3, "scene-0655": 3})
    samples = read_samples(root, root / "v1.0-mini", 1)
    return boxes_of_labels(torch.from_numpy(padded(sample.boxes for sample in samples)))


NAMES = ("nds", "map", *ERRORS)

DEVKIT = [
    (0, 0.3, [0.390627171, 0.310564271, 0.317966664, 0.360818281, 0.66009252, 0.663078012, 0.644594169]),
    (1, 1.0, [0.268809534, 0.162827887, 1.143581098, 0.378008708, 0.587454764, 0.600315448, 0.560265167]),
    (2, 1.5, [0.261442603, 0.156689969, 1.185720555, 0.323718914, 0.726757433, 0.535083511, 0.583463957]),
    (3, 0.01, [0.471211002, 0.433930779, 0.013802231, 0.335463979, 0.953630377, 0.546980628, 0.607666657]),
]
"""Seed and scale of `guesses`, and the devkit's NAMES."""


@pytest.mark.parametrize(("seed", "scale", "expected"), DEVKIT)
def test_the_official_devkit_says_the_same(truth: Boxes, seed: int, scale: float, expected: list[float]) -> None:
    """nuscenes-devkit 1.2.0's DetectionEval, given these tables and `guesses` as a submission in global coordinates.

    So loader (poses, velocities, attributes), filters (range, points, racks) and score are checked together; labels are
    float32, hence the tolerance.
    """
    measured = detection_scores(guesses(truth, seed, scale), truth)
    assert measured == pytest.approx(dict(zip(NAMES, expected, strict=True)), abs=1e-6)


def test_perfect_detection_is_1(truth: Boxes) -> None:
    expected = {"nds": 1.0, "map": 1.0, **dict.fromkeys(ERRORS, 0.0)}
    assert detection_scores(counted(truth, truth), truth) == pytest.approx(expected, abs=1e-7)


def test_finding_nothing_is_0(truth: Boxes) -> None:
    expected = {"nds": 0.0, "map": 0.0, **dict.fromkeys(ERRORS, 1.0)}
    assert detection_scores(empty(len(truth.classes)), truth) == expected
    for aside, precision in ((4.1, 0.0), (3.9, 0.25)):
        predicted, truth = one_each()
        predicted = predicted._replace(centres=predicted.centres + np.array([0, aside, 0]))
        assert detection_scores(predicted, truth)["map"] == pytest.approx(precision)


@pytest.mark.parametrize(("precision", "error", "expected"), [(1.0, 0.0, 1.0), (0.0, 1.0, 0.0), (0.0, 7.0, 0.0)])
def test_the_ends_of_the_score(precision: float, error: float, expected: float) -> None:
    assert score(precision, dict.fromkeys(ERRORS, error))["nds"] == expected


def test_the_score_is_the_weighted_sum() -> None:
    errors = dict(zip(ERRORS, (0.2, 0.3, 1.5, 0.0, 0.4), strict=True))
    assert score(0.6, errors)["nds"] == pytest.approx((5 * 0.6 + 0.8 + 0.7 + 0 + 1 + 0.6) / 10)


@pytest.mark.parametrize("seed", range(3))
def test_against_a_naive_loop(seed: int) -> None:
    """Many boxes, crowded, so that they compete for each other's partners."""
    generator = np.random.default_rng(seed)
    truth = crowd(generator, 12, 30)
    predicted = crowd(generator, 12, 40)
    predicted = predicted._replace(points=np.full(predicted.points.shape, -1.0))
    assert detection_scores(predicted, truth) == pytest.approx(naive_scores(predicted, truth), abs=1e-12)


def crowd(generator: np.random.Generator, samples: int, places: int) -> Boxes:
    shape = (samples, places)
    attributes = generator.integers(-1, 8, size=shape)
    velocities = generator.normal(size=(*shape, 2))
    velocities[generator.random(shape) < 0.2] = np.nan
    return Boxes(
        *(generator.integers(-1, 11, size=shape), generator.random(shape)),
        *(generator.normal(size=(*shape, 3)) * 4 + [28, 0, 0], generator.uniform(0.5, 4, size=(*shape, 3))),
        *(generator.uniform(-4, 4, size=shape), velocities, attributes, generator.integers(0, 4, size=shape) * 1.0),
    )


def naive_scores(predicted: Boxes, truth: Boxes) -> dict[str, float]:
    """Box by box, as the definition reads."""
    kept = [naive_filter(boxes, truth) for boxes in (predicted, truth)]
    precisions, errors = [], {name: [] for name in ERRORS}
    for c, name in enumerate(CLASSES):
        for limit in (0.5, 1.0, 2.0, 4.0):
            precision, found = naive_class(predicted, truth, kept, c, limit)
            precisions.append(precision)
            for error in ERRORS if limit == 2.0 else ():
                skipped = {"traffic_cone": ("maoe", "mave", "maae"), "barrier": ("mave", "maae")}.get(name, ())
                if error not in skipped:
                    errors[error].append(found[error])
    means = {name: np.mean(values) for name, values in errors.items()}
    total = 5 * np.mean(precisions) + sum(max(0, 1 - error) for error in means.values())
    return {"nds": total / 10, "map": np.mean(precisions), **means}


def naive_filter(boxes: Boxes, truth: Boxes) -> np.ndarray:
    kept = np.zeros(boxes.classes.shape, dtype=bool)
    for s, p in np.ndindex(*boxes.classes.shape):
        c, (x, y, _) = boxes.classes[s, p], boxes.centres[s, p]
        inside = False
        for rack in np.flatnonzero(truth.classes[s] == RACK):
            dx, dy, dz = boxes.centres[s, p] - truth.centres[s, rack]
            width, length, height = truth.sizes[s, rack]
            yaw = truth.yaws[s, rack]
            along, across = dx * np.cos(yaw) + dy * np.sin(yaw), -dx * np.sin(yaw) + dy * np.cos(yaw)
            inside |= 2 * abs(along) <= length and 2 * abs(across) <= width and 2 * abs(dz) <= height
        near = 0 <= c < RACK and np.hypot(x, y) < RANGES[c]
        kept[s, p] = near and boxes.points[s, p] != 0 and not (inside and CLASSES[c] in ("bicycle", "motorcycle"))
    return kept


def naive_class(
    predicted: Boxes, truth: Boxes, kept: list[np.ndarray], c: int, limit: float
) -> tuple[float, dict[str, float]]:
    mine = [(predicted.scores[s, p], s, p) for s, p in np.argwhere(kept[0] & (predicted.classes == c))]
    theirs = {(s, p) for s, p in np.argwhere(kept[1] & (truth.classes == c)).tolist()}
    positives, hits, confidences = len(theirs), [], []
    raw: dict[str, list[float]] = {name: [] for name in (*ERRORS, "confidence")}
    for confidence, s, p in sorted(mine, reverse=True):
        options = [(np.linalg.norm((predicted.centres[s, p] - truth.centres[t])[:2]), t) for t in theirs if t[0] == s]
        distance, t = min(options, default=(np.inf, (0, 0)))
        confidences.append(confidence)
        hits.append(distance < limit)
        if distance < limit:
            theirs.remove(t)
            raw["confidence"].append(confidence)
            raw["mate"].append(distance)
            both = np.minimum(predicted.sizes[s, p], truth.sizes[t]).prod()
            raw["mase"].append(1 - both / (predicted.sizes[s, p].prod() + truth.sizes[t].prod() - both))
            period = np.pi if CLASSES[c] == "barrier" else 2 * np.pi
            turn = abs(predicted.yaws[s, p] - truth.yaws[t]) % period
            raw["maoe"].append(min(turn, period - turn))
            raw["mave"].append(np.linalg.norm(predicted.velocities[s, p] - truth.velocities[t]))
            wrong = float(predicted.attributes[s, p] != truth.attributes[t])
            raw["maae"].append(np.nan if truth.attributes[t] == -1 else wrong)
    if not any(hits):
        return 0.0, dict.fromkeys(ERRORS, 1.0)
    recalls = np.linspace(0, 1, 101)
    right = np.cumsum(hits)
    precision = np.interp(recalls, right / positives, right / np.arange(1, len(hits) + 1), right=0)
    confidence = np.interp(recalls, right / positives, confidences, right=0)
    average = np.mean([max(value - 0.1, 0) for value in precision[11:]]) / 0.9
    last = max(i for i in range(101) if confidence[i] > 0)
    found = {}
    for name in ERRORS:
        known = np.array(raw[name])
        means = [np.nanmean(known[: i + 1]) if not np.isnan(known[: i + 1]).all() else 0.0 for i in range(len(known))]
        means = [1.0] * len(known) if np.isnan(known).all() else means
        over_recall = np.interp(confidence[::-1], raw["confidence"][::-1], means[::-1])[::-1]
        found[name] = float(np.mean(over_recall[11 : last + 1])) if last >= 11 else 1.0
    return float(average), found


def test_running_mean_skips_what_is_not_known() -> None:
    assert running_mean(np.array([np.nan, 2.0, np.nan, 4.0])).tolist() == [0, 2, 2, 3]
    assert running_mean(np.array([np.nan, np.nan])).tolist() == [1, 1]


def one_each(**changes: Any) -> tuple[Boxes, Boxes]:
    """A true box of every class ten metres ahead in a separate sample, and the same as predictions, changed."""
    truth = empty(len(CLASSES), 1)
    truth.classes[:, 0] = np.arange(len(CLASSES))
    truth.centres[..., 0] = 10
    truth.attributes[:, 0] = [allowed.index(True) if any(allowed) else -1 for allowed in ATTRIBUTES_OF]
    predicted = truth._replace(scores=np.ones(truth.scores.shape), **changes)
    return predicted, truth._replace(points=np.ones(truth.points.shape))


def test_a_barrier_may_be_turned_round_and_a_cone_has_no_heading() -> None:
    predicted, truth = one_each(yaws=np.full((10, 1), np.pi))
    assert detection_scores(predicted, truth)["maoe"] == pytest.approx(8 / 9 * np.pi), "nine classes, not the barrier"
    quarter = predicted._replace(yaws=np.full((10, 1), np.pi / 2))
    assert detection_scores(quarter, truth)["maoe"] == pytest.approx(np.pi / 2)


def test_cones_and_barriers_neither_move_nor_have_attributes() -> None:
    moving = np.zeros((10, 1, 2))
    moving[8:] = 5.0
    predicted, truth = one_each(velocities=moving, attributes=np.full((10, 1), 7))
    measured = detection_scores(predicted, truth)
    assert measured["mave"] == 0
    assert measured["maae"] == 1


@pytest.mark.parametrize("number", range(10))
def test_each_class_counts_within_its_range(number: int) -> None:
    _, truth = one_each()
    limit = {"pedestrian": 40, "motorcycle": 40, "bicycle": 40, "traffic_cone": 30, "barrier": 30}
    edge = limit.get(CLASSES[number], 50)
    for distance, counts in ((edge - 0.01, True), (edge, False)):
        truth.centres[number, 0] = [distance * 0.6, distance * 0.8, 3.0]
        assert (counted(truth, truth).classes[number, 0] == number) == counts
