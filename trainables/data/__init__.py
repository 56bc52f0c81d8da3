"""Data sets of aligned pairs: one file each, and one line here."""

from trainables.data.base import Dataset
from trainables.data.mfeat import MFEAT

DATASETS: dict[str, Dataset] = {
    "mfeat": MFEAT,
}
