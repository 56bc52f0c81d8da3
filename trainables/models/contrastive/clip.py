"""CLIP of any size, from random weights: an image tower, a text tower, a joint space."""

import math
from difflib import get_close_matches
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.domains import Aliases, Choice
from trainables.models.base import InputShape
from trainables.models.contrastive.base import FOREIGN_TOWERS, Colours, ContrastiveConfig, ContrastiveModel, pair_shapes
from trainables.models.image_layers import Norm, group_norm

VOCABULARY = 49408
"""Number of tokens of CLIP's tokenizer; the last two mark start and end of a text."""


class ClipConfig(ContrastiveConfig):
    """Images and texts -> a tower each -> feature_dim, the joint space.

    Image towers: `conv`, convolutions of stride 2 with group normalisation, average-pooled; or any timm network, with
    random weights. Text towers: `bag`, the mean of a text's subword embeddings and a hidden layer; or `transformer`,
    CLIP's text transformer, whose output is taken at the end token. With `norm: batch` the rows of a training batch
    depend on each other.
    """

    model: Literal["clip"] = "clip"
    """Contrastive image-text model with small towers, or with a timm network and a transformer."""
    feature_dim: Annotated[int, Field(ge=1), Choice((64, 128, 256, 512)), Aliases("embed_dim")] = 128
    """Dimension d of the joint space."""
    image: str = "conv"
    """Image tower: `conv`, or the name of a timm network such as resnet34."""
    channels: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = (32, 64, 128, 256)
    """Channels of `conv`'s layers, each of which halves the picture's sides."""
    norm: Norm = "group"
    """Normalisation of a timm network's convolutions; `batch` does not change the network."""
    text: Literal["bag", "transformer"] = "bag"
    """Text tower."""
    text_width: Annotated[int, Field(ge=1), Choice((64, 128, 256, 512))] = 128
    """Width of the token embeddings and of the text tower's layers."""
    text_depth: Annotated[int, Field(ge=1), Choice((1, 2, 4, 12))] = 2
    """Layers of the `transformer`."""
    text_heads: Annotated[int, Field(ge=1)] = 4
    """Attention heads of the `transformer`; must divide `text_width`."""
    attention: Literal["causal", "full"] = "causal"
    """Whether a token of the `transformer` attends only to the tokens before it, as in CLIP, or to all of them."""
    initial_temperature: Annotated[float, Field(ge=0.01, le=1)] = 0.07
    """Temperature at the start, whose inverse is the scale of similarities."""

    @property
    def why_not_stacked(self) -> str:
        return FOREIGN_TOWERS if self.image != "conv" or self.text != "bag" else ""


class ConvTower(nn.Module):
    """Convolutions 3x3 of stride 2, each with group normalisation and ReLU; average-pool; linear."""

    def __init__(self, channels: tuple[int, ...], dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *channels), channels, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), group_norm(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.proj = nn.Linear(channels[-1], dim)

    def forward(self, pixels: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images dim"]:
        return self.proj(self.layers(pixels).mean(dim=(2, 3)))


class BagTower(nn.Module):
    """Mean of the embeddings of a text's subwords, hidden layer, linear. The order of the subwords does not matter."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(VOCABULARY, width)
        nn.init.normal_(self.token_embedding.weight, std=0.02)  # as in CLIP; a rare word would stay near N(0, 1)
        self.layers = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, dim))

    def forward(self, tokens: Int[Tensor, "texts length"]) -> Float[Tensor, "texts dim"]:
        counted = ((tokens > 0) & (tokens < VOCABULARY - 2))[..., None]
        summed = (self.token_embedding(tokens) * counted).sum(dim=1)
        return self.layers(summed / counted.sum(dim=1).clamp(min=1))


class Clip(ContrastiveModel):
    """See `ClipConfig`."""

    def __init__(self, config: ClipConfig, size: tuple[int, int], length: int) -> None:
        super().__init__()
        self.colours = Colours()
        own = config.image == "conv"
        self.visual = ConvTower(config.channels, config.feature_dim) if own else timm_tower(config, size)
        bag = config.text == "bag"
        self.length = 0 if bag else length  # a transformer has this number of positions
        self.text = BagTower(config.text_width, config.feature_dim) if bag else transformer_tower(config, length)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.initial_temperature)))
        self.open_clip_config = None if own or bag else open_clip_config(config, size, length)

    def encode_images(self, pixels: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images dim"]:
        return self.visual(self.colours(pixels))

    def encode_text(self, tokens: Int[Tensor, "texts length"]) -> Float[Tensor, "texts dim"]:
        return self.text(functional.pad(tokens, (0, max(0, self.length - tokens.shape[1]))))


def open_clip_config(config: ClipConfig, size: tuple[int, int], length: int) -> dict[str, Any] | None:
    """The same towers as a config of open_clip, whose `CustomTextCLIP` has the same weights.

    Args:
        config: the config of the network.
        size: height and width of the images.
        length: tokens of a caption.

    Returns:
        The config, or None if open_clip cannot build the towers (`norm: group`).
    """
    if config.norm == "group":
        return None
    return {
        "embed_dim": config.feature_dim,
        "vision_cfg": vision_settings(config, size),
        "text_cfg": text_settings(config, length),
        "custom_text": True,
    }


def vision_settings(config: ClipConfig, size: tuple[int, int]) -> dict[str, Any]:
    """`vision_cfg` of a timm network, average-pooled, with a linear projection."""
    return {
        "timm_model_name": config.image,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": size[0] if size[0] == size[1] else size,
    }


def text_settings(config: ClipConfig, length: int) -> dict[str, Any]:
    """`text_cfg` of a transformer."""
    return {
        "context_length": length,
        "vocab_size": VOCABULARY,
        "width": config.text_width,
        "heads": config.text_heads,
        "layers": config.text_depth,
        "no_causal_mask": config.attention == "full",
    }


def timm_tower(config: ClipConfig, size: tuple[int, int]) -> nn.Module:
    """A timm network. Raises ValueError if timm has none of this name, or its normalisation cannot be replaced."""
    import timm
    from open_clip.timm_model import TimmModel
    from timm.layers.norm_act import BatchNormAct2d

    if not timm.is_model(config.image):
        guess = get_close_matches(config.image, timm.list_models(), n=1)
        hint = f"did you mean {guess[0]}?" if guess else "see timm.list_models()"
        raise ValueError(f"image: must be conv or the name of a timm network, but got {config.image!r}; {hint}")
    tower = TimmModel(config.image, config.feature_dim, image_size=size)
    if config.norm == "group":
        if any(isinstance(module, BatchNormAct2d) for module in tower.modules()):
            raise ValueError(
                f"norm: group cannot replace the normalisation layers of {config.image!r}; write `norm: batch`"
            )
        group_norms(tower)
    return tower


def group_norms(network: nn.Module) -> None:
    """Replace every batch normalisation by group normalisation."""
    for name, module in network.named_children():
        if isinstance(module, nn.BatchNorm2d):
            setattr(network, name, group_norm(module.num_features))
        else:
            group_norms(module)


def transformer_tower(config: ClipConfig, length: int) -> nn.Module:
    """CLIP's text transformer, built by open_clip. Raises ValueError if the heads do not divide the width."""
    from open_clip.model import CLIPTextCfg
    from open_clip.transformer import TextTransformer

    if config.text_width % config.text_heads:
        raise ValueError(f"text_heads must divide text_width {config.text_width}, but got {config.text_heads}")
    settings = CLIPTextCfg(**text_settings(config, length))
    return TextTransformer(
        settings.context_length,
        settings.vocab_size,
        settings.width,
        settings.heads,
        settings.layers,
        output_dim=config.feature_dim,
        no_causal_mask=settings.no_causal_mask,
    )


def build_clip(config: ClipConfig, input_shape: InputShape, num_classes: int) -> Clip:
    """A CLIP for captioned images.

    Args:
        config: the config of the network.
        input_shape: (views, 3, height, width) and (captions, length).
        num_classes: not used.

    Raises:
        ValueError: for other inputs, an unknown image tower, or heads that do not divide the width.
    """
    images, captions = pair_shapes("clip", input_shape)
    return Clip(config, (images[2], images[3]), captions[1])
