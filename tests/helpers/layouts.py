"""Data sets of files, loaded from the tiny copies of their official layouts (`tests.helpers.generated`)."""

import shutil
from pathlib import Path
from typing import Any

from tests.helpers.generated import root
from trainables.common.types import PairedData
from trainables.data import DATASETS

SMALL = {"size": 16, "context_length": 20}
FIELDS: dict[str, dict[str, Any]] = {
    "ravdess_features": {"dataset": "ravdess", "image": (16, 32)},
    "ravdess_clips": {"dataset": "ravdess", "layout": "clips", "image": (16, 32), "frames": 2},
    "mmimdb_hdf5": {"dataset": "mmimdb", "ends": (20, 30)},
    "mmimdb_raw": {"dataset": "mmimdb", "layout": "raw", "text_dim": 50, "image_side": 4, "standardised": False},
    "vggsound": {"dataset": "vggsound", "image": (16, 16), "seconds": 1.2, "frames": 2, "skip_missing": True},
    "coco": {"dataset": "coco", **SMALL},
    "flickr8k": {"dataset": "flickr8k", **SMALL},
    "flickr30k": {"dataset": "flickr30k", **SMALL},
    "food101": {"dataset": "food101", "val": 3, **SMALL},
    "imagenet": {"dataset": "imagenet", "val": 3, **SMALL},
    "imagenet_flat": {"dataset": "imagenet", "val": 3, **SMALL},
}
"""Fields that make each data set small, by the name of the layout."""


def config_of(layout: str, folder: Path | None = None, **changes: Any) -> Any:
    fields = {**FIELDS[layout], "root": str(folder or root(layout)), **changes}
    return DATASETS[fields["dataset"]].config(**fields)


def load(layout: str, folder: Path | None = None, **changes: Any) -> PairedData:
    config = config_of(layout, folder, **changes)
    return DATASETS[config.dataset].load(config)


def copy_of(layout: str, to: Path) -> Path:
    return Path(shutil.copytree(root(layout), to / layout))
