"""Data sets of aligned pairs: one file each, and one line here."""

from trainables.data.common.base import Dataset
from trainables.data.digits.digits import DIGITS
from trainables.data.digits.mfeat import MFEAT
from trainables.data.digits.mnist_m import MNIST_M
from trainables.data.image_text.coco import COCO
from trainables.data.image_text.emoji import EMOJI
from trainables.data.image_text.flickr import FLICKR8K, FLICKR30K
from trainables.data.image_text.food101 import FOOD101
from trainables.data.image_text.imagenet import IMAGENET
from trainables.data.multimedia.mmimdb import MMIMDB
from trainables.data.multimedia.mosei import CMU_MOSEI
from trainables.data.multimedia.ravdess import RAVDESS
from trainables.data.multimedia.vggsound import VGGSOUND
from trainables.data.nuscenes.dataset import NUSCENES
from trainables.data.synthetic.joint_gaussian import JOINT_GAUSSIAN
from trainables.data.synthetic.mfh import MFH
from trainables.data.synthetic.separable import SEPARABLE
from trainables.data.tcga.dataset import TCGA

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
