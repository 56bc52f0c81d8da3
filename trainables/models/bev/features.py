"""A frozen bird's-eye-view network whose features are read from files; only its head is trained here."""

from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from trainables.common.types import ModelOutput
from trainables.models.base import Model, ModelConfig
from trainables.models.bev.base import bev_head


class BEVFeaturesConfig(ModelConfig):
    """features from files, unchanged -> centre-based head."""

    model: Literal["bev_features"] = "bev_features"
    """Teacher whose bird's-eye features come from files (nuScenes, `teacher: bev`)."""
    feature_dim: Annotated[int, Field(ge=1)] = 256
    """Width D of the features in the files."""
    cells: Annotated[int, Field(ge=2)] = 32
    """Cells along each side of the features (after `data.bev_cells`)."""


class BEVFeatures(Model):
    """See `BEVFeaturesConfig`."""

    def __init__(self, config: BEVFeaturesConfig, num_classes: int) -> None:
        super().__init__()
        self.head = bev_head(config.feature_dim, num_classes)

    def forward(self, inputs: Float[Tensor, "batch x y features"]) -> ModelOutput:
        return ModelOutput(self.head(inputs), inputs)


def build_bev_features(config: BEVFeaturesConfig, input_shape: tuple[int, ...], num_classes: int) -> BEVFeatures:
    """A head for features from files.

    Args:
        config: the config of the network.
        input_shape: (cells, cells, feature_dim).
        num_classes: number of classes of objects.

    Raises:
        ValueError: if the inputs have another shape or another width.
    """
    if len(input_shape) != 3 or input_shape[0] != input_shape[1]:
        raise ValueError(
            f"model: 'bev_features' takes features of shape (cells, cells, D), but these inputs have the shape "
            f"{input_shape!r}; use it as the teacher of dataset: nuscenes with `teacher: bev`"
        )
    if input_shape[1:] != (config.cells, config.feature_dim):
        raise ValueError(
            f"cells and feature_dim must be those of the features in the files, but got {config.cells} and "
            f"{config.feature_dim} for features of shape {input_shape!r}; write cells: {input_shape[1]} and "
            f"feature_dim: {input_shape[2]}"
        )
    return BEVFeatures(config, num_classes)
