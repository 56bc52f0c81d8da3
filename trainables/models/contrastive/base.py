"""Base of the contrastive image-text models: two towers, a joint space, a scale."""

import math
from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from trainables.common.types import ModelOutput
from trainables.models.base import InputShape, Model, ModelConfig

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of CLIP's colours, for pixels in [0, 1] (Radford et al. 2021)."""

FOREIGN_TOWERS = "attention, and the networks of timm and open_clip, have no stacked form that saves time"
"""The reason why contrastive models with such towers are not stacked in a pack."""

LARGEST_SCALE = 100.0
"""Upper bound of the learnt scale (Radford et al. 2021, section 2.5)."""


class ContrastiveConfig(ModelConfig):
    """Base of the configs of contrastive models: `feature_dim` is the dimension of the joint space."""

    sees: ClassVar[Literal["own", "both"]] = "both"
    tasks: ClassVar[tuple[str, ...]] = ("retrieval", "zero_shot")


class ContrastiveModel(Model):
    """Images and captions as unit vectors in one space, with a learnable scale of their similarities.

    `features` are the un-normalised projections of each row's first image.
    """

    log_scale: nn.Parameter
    """ln of the scale (1 / temperature), a scalar."""
    colours: "Colours"
    """Normalisation of the pixels."""
    open_clip_config: dict[str, Any] | None = None
    """The same towers as an open_clip config (embed_dim, vision_cfg, text_cfg); None if it has none."""

    @abstractmethod
    def encode_images(self, pixels: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images dim"]:
        """Projections, not normalised, of images with pixels in [0, 1]."""

    @abstractmethod
    def encode_text(self, tokens: Int[Tensor, "texts length"]) -> Float[Tensor, "texts dim"]:
        """Projections, not normalised, of token ids padded with 0."""

    def scale(self) -> Float[Tensor, ""]:
        """The factor of the similarities, 1 / temperature."""
        return self.log_scale.clamp(max=math.log(LARGEST_SCALE)).exp()

    def open_clip_state(self) -> dict[str, Tensor]:
        """The weights by their names in open_clip's model; `logit_scale` is ln of the scale."""
        towers = {name: value for name, value in self.state_dict().items() if name.startswith(("visual.", "text."))}
        return towers | {"logit_scale": self.log_scale.detach()}

    def forward(
        self, images: Float[Tensor, "batch views 3 height width"], captions: Int[Tensor, "batch captions length"]
    ) -> ModelOutput:
        """Embeddings of all views and then of all captions of each row.

        Args:
            images: pixels in [0, 1].
            captions: token ids padded with 0.

        Returns:
            `embeddings` are unit vectors (batch, views + captions, dim), `logits` the same times the square root of the
            scale, and `features` the projection of each row's first view (batch, dim), not normalised.
        """
        towers = ((self.encode_images, images), (self.encode_text, captions))
        projected = [encode(part.flatten(0, 1)).unflatten(0, part.shape[:2]) for encode, part in towers]
        embeddings = functional.normalize(precise(torch.cat(projected, dim=1)), dim=-1)
        return ModelOutput(embeddings * self.scale().sqrt(), precise(projected[0][:, 0]), embeddings)


def precise(numbers: Tensor) -> Tensor:
    """Half precision converted to float32, so that similarities are accurate; other dtypes are not changed."""
    return numbers.float() if numbers.dtype in (torch.bfloat16, torch.float16) else numbers


def pair_shapes(model: str, shape: InputShape) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of one row's images and captions.

    Args:
        model: name of the model, for the error message.
        shape: shapes of the inputs.

    Returns:
        (views, 3, height, width) and (captions, length).

    Raises:
        ValueError: if the inputs are not captioned images.
    """
    match shape:
        case ((int() as views, 3, int() as height, int() as width), (int() as captions, int() as length)):
            return (views, 3, height, width), (captions, length)
        case _:
            pass
    raise ValueError(
        f"model: {model!r} takes captioned images, (views, 3, height, width) and (captions, length), but this data has "
        f"the shapes {shape!r}; use captioned data, such as `dataset: emoji`"
    )


class Colours(nn.Module):
    """(pixels - mean) / deviation for each channel. The constants are not part of the weights."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: tuple[float, ...] = MEAN, deviation: tuple[float, ...] = DEVIATION) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(3, 1, 1), persistent=False)

    def forward(self, pixels: Float[Tensor, "*rows 3 height width"]) -> Float[Tensor, "*rows 3 height width"]:
        return (pixels - self.mean) / self.deviation
