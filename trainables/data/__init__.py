"""Data sets of aligned pairs: one file each, and one line here."""

from trainables.data.base import Dataset
from trainables.data.digits import DIGITS
from trainables.data.mfeat import MFEAT
from trainables.data.mfh import MFH
from trainables.data.separable import SEPARABLE

DATASETS: dict[str, Dataset] = {
    "mfeat": MFEAT,
    "digits": DIGITS,
    "mfh": MFH,
    "separable": SEPARABLE,
}
