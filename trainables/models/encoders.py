"""Table of the networks by name, except for the fusion, which has two of them as its encoders."""

from trainables.models.base import ModelEntry
from trainables.models.bev.camera import BEVCameraConfig, build_bev_camera
from trainables.models.bev.features import BEVFeaturesConfig, build_bev_features
from trainables.models.bev.lidar import BEVLidarConfig, build_bev_lidar
from trainables.models.cnn import CNNConfig, build_cnn
from trainables.models.contrastive.clip import ClipConfig, build_clip
from trainables.models.contrastive.open_clip import OpenClipConfig, build_open_clip
from trainables.models.linear import LinearConfig, build_linear
from trainables.models.maxout import MaxoutConfig, build_maxout
from trainables.models.mlp import MLPConfig, build_mlp
from trainables.models.ravdess_networks import RavdessAudioConfig, RavdessImageConfig, build_ravdess
from trainables.models.resnet import ResNet3DConfig, ResNetConfig, build_resnet, build_resnet3d

ENCODERS: dict[str, ModelEntry] = {
    "mlp": ModelEntry(MLPConfig, build_mlp),
    "linear": ModelEntry(LinearConfig, build_linear),
    "cnn": ModelEntry(CNNConfig, build_cnn),
    "ravdess_image": ModelEntry(RavdessImageConfig, build_ravdess),
    "ravdess_audio": ModelEntry(RavdessAudioConfig, build_ravdess),
    "maxout": ModelEntry(MaxoutConfig, build_maxout),
    "resnet": ModelEntry(ResNetConfig, build_resnet),
    "resnet3d": ModelEntry(ResNet3DConfig, build_resnet3d),
    "bev_lidar": ModelEntry(BEVLidarConfig, build_bev_lidar),
    "bev_camera": ModelEntry(BEVCameraConfig, build_bev_camera),
    "bev_features": ModelEntry(BEVFeaturesConfig, build_bev_features),
    "clip": ModelEntry(ClipConfig, build_clip),
    "open_clip": ModelEntry(OpenClipConfig, build_open_clip),
}
