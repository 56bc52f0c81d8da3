"""A small config of every data set, and for each field another value that changes the data."""

import hashlib
from functools import cache
from types import ModuleType
from typing import Any, Literal

import pytest

from tests.helpers.generated import root
from trainables.common.types import Batch, PairedData
from trainables.data import DATASETS
from trainables.data.digits import digits, mfeat, mnist_m
from trainables.data.image_text import coco, emoji, flickr, food101, imagenet
from trainables.data.multimedia import mmimdb, mosei, ravdess, vggsound
from trainables.data.nuscenes import dataset as nuscenes
from trainables.data.synthetic import joint_gaussian, mfh, separable
from trainables.data.tcga import dataset as tcga

SPLITS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")

SMALL: dict[str, dict[str, Any]] = {
    "mfeat": {"train": 100, "val": 50, "labels": 40},
    "digits": {"train": 100, "val": 50, "labels": 40, "size": 8, "teacher_blur": 0.5},
    "mfh": {"train": 40, "val": 30, "test": 20, "overlap": 4},
    "separable": {"train": 40, "val": 30, "test": 20, "dim": 10, "general_dim": 4},
    "joint_gaussian": {"train": 40, "val": 30, "test": 20, "p": 5},
    "ravdess": {"layout": "clips", "image": (16, 32), "frames": 2},
    "mmimdb": {"layout": "raw", "text_dim": 50, "image_side": 4},
    "vggsound": {"image": (16, 16), "seconds": 1.2, "frames": 2, "skip_missing": True},
    "nuscenes": {
        **{"version": "v1.0-mini", "image_height": 16, "image_width": 24, "pillars": 8, "slices": 2, "held_out": 0.3},
    },
}
NOISE = {"teacher_noise": 0.5, "noise_seed": 1}
SMALL |= {"mnist_m": {"train": 30, "val": 20}, "cmu_mosei": {}, "tcga": {"features": 10}}
PHOTOS = {"size": 16, "context_length": 20, "views": 2}
SMALL |= {"coco": PHOTOS, "flickr8k": PHOTOS, "flickr30k": PHOTOS, "food101": {**PHOTOS, "val": 3}}
SMALL |= {"imagenet": {**PHOTOS, "val": 3}}
SMALL |= {"emoji": {"train": 20, "val": 0.01, "test": 0.01, "size": 16, "views": 2, "skin_tones": "none"}}
OTHER_PHOTOS = {"size": 24, "context_length": 10, "views": 3, "view_seed": 1, "train": 5, "val": 1, "test": 1}
OTHER: dict[str, dict[str, Any]] = {
    "emoji": {
        **{"style": "openmoji", "size": 24, "views": 3, "view_seed": 1, "languages": ("de", "en"), "captions": 1},
        **{
            "context_length": 8,
            "subgroups": True,
            "skin_tones": "train",
            "train": 21,
            "val": 0.012,
            "test": 0.012,
            "split_seed": 1,
        },
    },
    "coco": {**OTHER_PHOTOS, "splits": "official"},
    "flickr8k": OTHER_PHOTOS,
    "flickr30k": OTHER_PHOTOS,
    "food101": {**OTHER_PHOTOS, "split_seed": 1},
    "imagenet": {**OTHER_PHOTOS, "split_seed": 1, "class_list": "two_classes.txt"},
    "cmu_mosei": {"teacher": "vision", "student": "text", "target": "seven", **NOISE},
    "tcga": {
        **{"cohort": "KIPAN", "views": ("mRNA", "RPPA"), "teacher": "CNV", "student": "CNV", "features": 8},
        **{"select": "variance", "test": 0.2, "val": 0.3, "split_seed": 1, **NOISE},
    },
    "mnist_m": {
        **{"pairs": "classes", "teacher_channels": 1, "teacher_blur": 1.0, "train": 25, "val": 10, "split_seed": 1},
        **{"pair_seed": 1, **NOISE},
    },
    "mfeat": {
        **{"teacher": "fac", "student": "zer", "train": 110, "val": 60, "labels": 50, "split_seed": 1},
        **NOISE,
    },
    "digits": {
        **{"size": 16, "teacher_blur": 1.0, "train": 110, "val": 60, "labels": 50, "split_seed": 1, "patch_seed": 1},
        **NOISE,
    },
    "mfh": {"overlap": 6, "train": 41, "val": 31, "test": 21, "data_seed": 1},
    "separable": {
        **{
            "dim": 11,
            "general_dim": 5,
            "orthogonal": False,
            "centred": False,
            "train": 41,
            "val": 31,
            "test": 21,
            "data_seed": 1,
        },
    },
    "joint_gaussian": {
        **{"train": 41, "val": 31, "test": 21, "p": 6, "gamma": 0.2, "tau": 1.6, "sigma": 1.1, "data_seed": 1},
        "expected_targets": True,
    },
    "ravdess": {
        **{"teacher": "image", "student": "audio", "image": (8, 32), "split": "actors", "val": 0.3, "test": 0.3},
        **{"split_seed": 1, "frames": 1, "every": 0.3},
    },
    "mmimdb": {"teacher": "text", "student": "image", "text_dim": 40, "image_side": 3, "standardised": False},
    "vggsound": {
        **{"teacher": "audio", "student": "video", "subset": "two_classes.txt", "val": 0.4, "split_seed": 1},
        **{"frames": 1, "seconds": 1.0, "image": (8, 16)},
    },
    "nuscenes": {
        **{"version": "v1.0-other", "split": "hash", "held_out": 0.6, "stride": 2, "image_height": 17},
        **{
            "image_width": 25,
            "pillars": 9,
            "slices": 3,
            "student": "lidar",
            "teacher": "bev",
            "bev": "other",
            "bev_cells": 4,
        },
    },
}
"""For each field another value than in `SMALL`."""

OWN_TESTS: dict[str, set[str]] = {
    **{name: {"skip_bad"} for name in ("coco", "flickr8k", "flickr30k", "food101", "imagenet")},
    "mfh": {"mode", "extra"},
    "ravdess": {"layout", "channel", "skip_bad"},
    "mmimdb": {"layout", "ends", "features", "image_dim", "skip_bad"},
    "vggsound": {"skip_missing", "skip_bad"},
    "cmu_mosei": {"layout", "version"},
    "tcga": {"layout", "label_row", "split"},
}
"""Fields that depend on others, or matter for wrong files only; the tests of each data set cover them."""

CONTEXT: dict[tuple[str, str], dict[str, Any]] = {
    **{(name, "noise_seed"): {"teacher_noise": 1.0} for name in ("mfeat", "digits", "mnist_m", "cmu_mosei", "tcga")},
    ("nuscenes", "bev"): {"teacher": "bev"},
    ("nuscenes", "bev_cells"): {"teacher": "bev"},
}
"""Other fields that must be set so that a field of `OTHER` has an effect."""

ROOTS = {"ravdess": "ravdess_clips", "mmimdb": "mmimdb_raw", "vggsound": "vggsound", "nuscenes": "nuscenes"}
ROOTS |= {name: name for name in ("coco", "flickr8k", "flickr30k", "food101", "imagenet")}
ROOTS |= {"mnist_m": "mnist_m", "cmu_mosei": "mosei_mmsa", "tcga": "tcga_linkedomics"}
"""Generated layouts of the data sets that are read from files."""

MODULES: dict[str, ModuleType] = {
    **{"mfeat": mfeat, "digits": digits, "mfh": mfh, "separable": separable},
    "joint_gaussian": joint_gaussian,
    **{"ravdess": ravdess, "mmimdb": mmimdb, "vggsound": vggsound, "nuscenes": nuscenes},
    **{"mnist_m": mnist_m, "cmu_mosei": mosei, "tcga": tcga},
    **{"emoji": emoji, "coco": coco, "flickr8k": flickr, "flickr30k": flickr, "food101": food101, "imagenet": imagenet},
}

each_dataset = pytest.mark.parametrize("name", DATASETS)


def small(name: str, **changes: Any) -> Any:
    place = {"root": root(ROOTS[name])} if name in ROOTS else {}
    return DATASETS[name].config(**{**place, **SMALL[name], **changes})


def load(name: str, **changes: Any) -> PairedData:
    return load_once(name, tuple(changes.items()))


@cache
def load_once(name: str, changes: tuple[tuple[str, Any], ...]) -> PairedData:
    return load_anew(name, **dict(changes))


def load_anew(name: str, **changes: Any) -> PairedData:
    return DATASETS[name].load(small(name, **changes))


def checksum(data: PairedData, fields: tuple[str, ...] = Batch._fields) -> str:
    state = hashlib.sha256()
    for split in SPLITS:
        for field in fields:
            state.update(getattr(data.split(split), field).numpy().tobytes())
    return state.hexdigest()
