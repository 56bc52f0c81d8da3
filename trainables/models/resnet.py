"""Residual networks: torchvision's ResNet-18 and 50 for pictures, spectrograms and frames, and the 3-D net of MFH."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from search_spaces.domains import Choice
from trainables.common.types import ModelOutput
from trainables.models.base import Model, ModelConfig
from trainables.models.image_layers import Norm, colours, norm_layer

STAGES: dict[int, tuple[str, tuple[int, int, int, int]]] = {
    18: ("BasicBlock", (2, 2, 2, 2)),
    50: ("Bottleneck", (3, 4, 6, 3)),
}
"""Class of the blocks (in torchvision) and number of blocks of each stage, by depth."""

BLOCKS_3D = 3
"""Blocks of each stage of the 3-D net."""


class ResNetConfig(ModelConfig):
    """ResNet-18 or 50 with random weights: input -> stem -> four stages -> average-pool (the tap) -> classes.

    Takes pictures (3, height, width), spectrograms (1, height, width; the stem then has one channel) and frames
    (frames, 3, height, width), whose pooled features are averaged over the frames. Colours are normalised as for
    ImageNet. If `feature_dim` is not the width of the last stage, a linear layer maps to it.

    `norm: batch` is the normalisation of the published networks. It makes the rows of a training batch depend on each
    other: with several workers each normalises its part of the batch (evaluation uses the averages of the first).
    `norm: group` normalises each row separately.
    """

    model: Literal["resnet"] = "resnet"
    """ResNet-18 or 50 for pictures, spectrograms or frames."""
    feature_dim: Annotated[int, Field(ge=1), Choice((128, 256, 512))] = 512
    """Width D of the features: 512 after the average-pool of a ResNet-18, 2048 of a ResNet-50."""
    depth: Literal[18, 50] = 18
    """Number of layers."""
    width: Annotated[int, Field(ge=1)] = 64
    """Channels of the stem; the stages have 1, 2, 4 and 8 times as many (and four times more in a ResNet-50)."""
    norm: Norm = "batch"
    """Normalisation after each convolution."""


class ResNet3DConfig(ModelConfig):
    """The video network of MFH: 3x7x7 stem, four stages of three 3-D basic blocks, average-pool (the tap) -> classes.

    Takes frames (frames, 3, height, width), normalised as for ImageNet; MFH uses 32 frames. For `norm: batch` and
    `feature_dim` see `model: resnet`.
    """

    model: Literal["resnet3d"] = "resnet3d"
    """3-D residual network for frames."""
    feature_dim: Annotated[int, Field(ge=1), Choice((128, 256, 512))] = 512
    """Width D of the features: 512 after the average-pool."""
    width: Annotated[int, Field(ge=1)] = 64
    """Channels of the stem; the stages have 1, 2, 4 and 8 times as many."""
    norm: Norm = "batch"
    """Normalisation after each convolution."""


class ResNet(Model):
    """See `ResNetConfig`. Weights have torchvision's names."""

    def __init__(self, config: ResNetConfig, channels: int, num_classes: int) -> None:
        super().__init__()
        block, numbers = blocks_of(config.depth)
        norm = norm_layer(config.norm)
        self.colours = colours(channels)
        self.conv1 = nn.Conv2d(channels, config.width, 7, stride=2, padding=3, bias=False)
        self.bn1, self.relu, self.maxpool = norm(config.width), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)
        before = config.width
        for number, count in enumerate(numbers):
            planes = config.width * 2**number
            layers = nn.Sequential()
            for place in range(count):
                stride = 2 if number and not place else 1
                layers.append(
                    block(
                        before,
                        planes,
                        stride,
                        shortcut(before, planes * block.expansion, stride, norm),
                        norm_layer=norm,
                    )
                )
                before = planes * block.expansion
            self.add_module(f"layer{number + 1}", layers)
        self.tap = to_width(before, config.feature_dim)
        self.head = nn.Linear(config.feature_dim, num_classes)
        initialise(self)

    def forward(self, inputs: Float[Tensor, "batch *frames channels height width"]) -> ModelOutput:
        pictures = inputs.flatten(0, -4)
        maps = self.maxpool(self.relu(self.bn1(self.conv1(self.colours(pictures)))))
        for number in range(4):
            maps = self.get_submodule(f"layer{number + 1}")(maps)
        pooled = maps.mean(dim=(2, 3)).unflatten(0, inputs.shape[:-3])
        features = self.tap(pooled.flatten(1, -2).mean(dim=1) if pooled.ndim > 2 else pooled)
        return ModelOutput(self.head(features), features)


def blocks_of(depth: int) -> tuple[Any, tuple[int, int, int, int]]:
    """The class of the blocks, and the number of blocks of each stage.

    Torchvision is imported here: it takes longer than torch itself, and most studies build no ResNet.
    """
    from torchvision.models import resnet

    name, numbers = STAGES[depth]
    return getattr(resnet, name), numbers


class BasicBlock3D(nn.Module):
    """Two 3x3x3 convolutions, and the input (through `downsample` if the shapes differ) added to their output."""

    def __init__(self, before: int, after: int, stride: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(before, after, 3, stride=stride, padding=1, bias=False), norm(after), nn.ReLU(),
            nn.Conv3d(after, after, 3, padding=1, bias=False), norm(after),
        )  # fmt: skip
        self.downsample = shortcut(before, after, stride, norm, nn.Conv3d)

    def forward(self, maps: Float[Tensor, "batch before frames height width"]) -> Tensor:
        kept = maps if self.downsample is None else self.downsample(maps)
        return (kept + self.layers(maps)).relu()


class ResNet3D(Model):
    """See `ResNet3DConfig`."""

    def __init__(self, config: ResNet3DConfig, num_classes: int) -> None:
        super().__init__()
        norm, before = norm_layer(config.norm, 3), config.width
        self.colours = colours(3)
        self.layers = nn.Sequential(
            nn.Conv3d(3, before, (3, 7, 7), stride=2, padding=(1, 3, 3), bias=False),
            norm(before), nn.ReLU(), nn.MaxPool3d(3, 2, padding=1),
        )  # fmt: skip
        for number in range(4):
            after = config.width * 2**number
            for place in range(BLOCKS_3D):
                self.layers.append(BasicBlock3D(before, after, 2 if number and not place else 1, norm))
                before = after
        self.tap = to_width(before, config.feature_dim)
        self.head = nn.Linear(config.feature_dim, num_classes)
        initialise(self)

    def forward(self, inputs: Float[Tensor, "batch frames 3 height width"]) -> ModelOutput:
        maps = self.layers(self.colours(inputs).transpose(1, 2))
        features = self.tap(maps.mean(dim=(2, 3, 4)))
        return ModelOutput(self.head(features), features)


def shortcut(
    before: int,
    after: int,
    stride: int,
    norm: Callable[[int], nn.Module],
    convolution: type[nn.Conv2d] | type[nn.Conv3d] = nn.Conv2d,
) -> nn.Sequential | None:
    """The layers that map a block's input to the shape of its output.

    Args:
        before: channels of the input.
        after: channels of the output.
        stride: stride of the block.
        norm: makes a normalisation layer for a number of channels.
        convolution: class of the convolution.

    Returns:
        A convolution of kernel size 1 and its normalisation; None if the shapes are equal.
    """
    if stride == 1 and before == after:
        return None
    return nn.Sequential(convolution(before, after, 1, stride=stride, bias=False), norm(after))


def to_width(pooled: int, feature_dim: int) -> nn.Module:
    """The identity, or a linear layer if the widths differ."""
    return nn.Identity() if pooled == feature_dim else nn.Linear(pooled, feature_dim)


def initialise(network: nn.Module) -> None:
    """He's initialisation of the convolutions, as in torchvision."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def build_resnet(config: ResNetConfig, input_shape: tuple[int, ...], num_classes: int) -> ResNet:
    """A ResNet for pictures, spectrograms or frames.

    Args:
        config: the config of the network.
        input_shape: (channels, height, width) or (frames, channels, height, width).
        num_classes: number of logits.

    Raises:
        ValueError: for other shapes.
    """
    if len(input_shape) not in (3, 4):
        raise ValueError(
            f"model: 'resnet' takes (channels, height, width), or frames of it, but this input has the shape "
            f"{input_shape!r}; use `model: mlp`"
        )
    return ResNet(config, input_shape[-3], num_classes)


def build_resnet3d(config: ResNet3DConfig, input_shape: tuple[int, ...], num_classes: int) -> ResNet3D:
    """A 3-D residual network for frames.

    Args:
        config: the config of the network.
        input_shape: (frames, 3, height, width).
        num_classes: number of logits.

    Raises:
        ValueError: for other shapes.
    """
    if len(input_shape) != 4 or input_shape[1] != 3:
        raise ValueError(
            f"model: 'resnet3d' takes frames (frames, 3, height, width), but this input has the shape "
            f"{input_shape!r}; use `model: resnet`"
        )
    return ResNet3D(config, num_classes)
