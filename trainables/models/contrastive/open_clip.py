"""Any model of open_clip, with the weights of a tag, of a local checkpoint, or random ones."""

from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import AfterValidator, Field, model_serializer
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.domains import Aliases
from trainables.common.types import IDENTITY
from trainables.models.base import InputShape
from trainables.models.contrastive.base import FOREIGN_TOWERS, Colours, ContrastiveConfig, ContrastiveModel, pair_shapes
from trainables.models.contrastive.open_clip_weights import HASH, Weights, find_weights, settings_of, with_hash

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class OpenClipConfig(ContrastiveConfig):
    """A model of open_clip by its name there. With `pretrained` it is a teacher that is not trained.

    Images must have the size that the model takes; their colours are normalised as in the training of the weights.
    Captions are tokens of CLIP's tokenizer.
    """

    model: Literal["open_clip"] = "open_clip"
    """A model of open_clip, such as RN50 or ViT-B-16."""
    feature_dim: Annotated[int, Field(ge=1), Aliases("embed_dim")] = 1024
    """Dimension of the joint space, which must be that of the model: 1024 of RN50, 512 of ViT-B-16, 768 of RN50x16."""
    model_name: str = "RN50"
    """Architecture, as open_clip.list_models() names it."""
    pretrained: Annotated[str | None, AfterValidator(with_hash)] = None
    """Weights: a tag such as openai (which must have been fetched before: a study downloads nothing), the path of a
    checkpoint (a state dict, .pt or .safetensors), or null for random ones. A file is identified by the hash of its
    content (appended to the path), not by its path."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the towers on a GPU, by autocast."""

    @property
    def is_pretrained(self) -> bool:
        return self.pretrained is not None

    @property
    def why_not_stacked(self) -> str:
        return FOREIGN_TOWERS

    @model_serializer(mode="wrap")
    def _leave_out_path(self, whole: Any, info: Any) -> dict[str, Any]:
        """All fields. If they are used to compute an id, a checkpoint is given by its hash only."""
        values = whole(self)
        if info.context is IDENTITY and self.pretrained and HASH in self.pretrained:
            values["pretrained"] = self.pretrained[self.pretrained.index(HASH) :]
        return values


class OpenClip(ContrastiveModel):
    """See `OpenClipConfig`."""

    def __init__(self, config: OpenClipConfig, settings: dict[str, Any], weights: Weights | None) -> None:
        super().__init__()
        network: Any = make_network(config.model_name, settings, weights)
        self.colours = Colours(*weights.colours) if weights else Colours()
        self.log_scale = nn.Parameter(network.logit_scale.detach().reshape(()))
        del network.logit_scale  # `log_scale` replaces it
        self.network = network
        self.context_length = int(settings["text_cfg"].get("context_length", 77))
        self.reduced = HALVES.get(config.precision)
        self.open_clip_config = settings | ({"quick_gelu": True} if weights and weights.quick_gelu else {})

    def open_clip_state(self) -> dict[str, Tensor]:
        return self.network.state_dict() | {"logit_scale": self.log_scale.detach()}

    def encode_images(self, pixels: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images dim"]:
        with self.autocast():
            return self.network.encode_image(self.colours(pixels))

    def encode_text(self, tokens: Int[Tensor, "texts length"]) -> Float[Tensor, "texts dim"]:
        with self.autocast():
            return self.network.encode_text(functional.pad(tokens, (0, self.context_length - tokens.shape[1])))

    def autocast(self) -> AbstractContextManager[Any]:
        """The towers' number format."""
        if self.reduced is None or self.log_scale.device.type != "cuda":
            return nullcontext()
        return torch.autocast("cuda", dtype=self.reduced)


def make_network(name: str, settings: dict[str, Any], weights: Weights | None) -> nn.Module:
    """The network, with its weights unless it is made on the meta device.

    Args:
        name: name of the model, for the error message.
        settings: its config in open_clip.
        weights: its weights; None for random ones.

    Raises:
        ValueError: if the file does not contain weights of this model.
    """
    from open_clip.factory import load_checkpoint
    from open_clip.model import CLIP, CustomTextCLIP

    own = {key: value for key, value in settings.items() if key != "custom_text"}
    if weights is not None:
        own["quick_gelu"] = own.get("quick_gelu", False) or weights.quick_gelu
    network = (CustomTextCLIP if settings.get("custom_text") else CLIP)(**own)
    if weights is not None and torch.get_default_device().type != "meta":
        try:
            load_checkpoint(network, str(weights.file), weights_only=True)
        except Exception as error:  # open_clip's loader raises many kinds for a wrong file
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"pretrained: {str(weights.file)!r} does not contain weights of {name} ({reason})"
            ) from error
    return network


def build_open_clip(config: OpenClipConfig, input_shape: InputShape, num_classes: int) -> OpenClip:
    """A model of open_clip for captioned images.

    Args:
        config: the config of the network.
        input_shape: (views, 3, height, width) and (captions, length).
        num_classes: not used.

    Raises:
        ValueError: if the model is unknown, takes inputs of another shape, or its weights cannot be used.
    """
    images, captions = pair_shapes("open_clip", input_shape)
    settings = settings_of(config.model_name)
    if settings["embed_dim"] != config.feature_dim:
        raise ValueError(
            f"feature_dim: {config.model_name} has embeddings of dimension {settings['embed_dim']}, but got "
            f"{config.feature_dim}; write `feature_dim: {settings['embed_dim']}`"
        )
    side = settings["vision_cfg"].get("image_size", 224)
    size = (side, side) if isinstance(side, int) else tuple(side)
    if images[2:] != size:
        raise ValueError(
            f"model_name: {config.model_name} takes images of {size[0]} x {size[1]} pixels, but this data has "
            f"{images[2]} x {images[3]}; give the data that size"
        )
    longest = settings["text_cfg"].get("context_length", 77)
    if captions[1] > longest:
        raise ValueError(
            f"model_name: {config.model_name} reads {longest} tokens, but this data has {captions[1]}; cut its captions"
        )
    weights = find_weights(config.model_name, config.pretrained) if config.pretrained else None
    return OpenClip(config, settings, weights)
