"""Data sets of aligned pairs: one file each, and one line here."""

from trainables.data.base import Dataset
from trainables.data.coco import COCO
from trainables.data.digits import DIGITS
from trainables.data.emoji import EMOJI
from trainables.data.flickr import FLICKR8K, FLICKR30K
from trainables.data.food101 import FOOD101
from trainables.data.imagenet import IMAGENET
from trainables.data.joint_gaussian import JOINT_GAUSSIAN
from trainables.data.mfeat import MFEAT
from trainables.data.mfh import MFH
from trainables.data.mmimdb import MMIMDB
from trainables.data.mnist_m import MNIST_M
from trainables.data.mosei import CMU_MOSEI
from trainables.data.nuscenes import NUSCENES
from trainables.data.ravdess import RAVDESS
from trainables.data.separable import SEPARABLE
from trainables.data.tcga import TCGA
from trainables.data.vggsound import VGGSOUND

DATASETS: dict[str, Dataset] = {
    "mfeat": MFEAT,
    "digits": DIGITS,
    "mfh": MFH,
    "separable": SEPARABLE,
    "joint_gaussian": JOINT_GAUSSIAN,
    "ravdess": RAVDESS,
    "mmimdb": MMIMDB,
    "vggsound": VGGSOUND,
    "nuscenes": NUSCENES,
    "mnist_m": MNIST_M,
    "cmu_mosei": CMU_MOSEI,
    "tcga": TCGA,
    "emoji": EMOJI,
    "coco": COCO,
    "flickr8k": FLICKR8K,
    "flickr30k": FLICKR30K,
    "food101": FOOD101,
    "imagenet": IMAGENET,
}
