"""Contrastive models: the towers by hand, and open_clip's own computation for open_clip's own towers."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.helpers.tiny_clip import END, SETTINGS, START, TINY
from trainables.models.contrastive.base import LARGEST_SCALE
from trainables.models.contrastive.clip import BagTower, Clip, ClipConfig, ConvTower, build_clip
from trainables.models.contrastive.open_clip import OpenClip, OpenClipConfig, build_open_clip

SHAPES = ((2, 3, 16, 16), (3, 8))
TRANSFORMER = {"text": "transformer", "text_heads": 2}
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
DEVIATION = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
"""Of CLIP's colours."""


def clip(**fields: Any) -> Clip:
    torch.manual_seed(0)
    small = {"channels": (4, 8), "text_width": 8, "feature_dim": 6}
    return build_clip(ClipConfig(**{**small, **fields}), SHAPES, 3).eval()


def tiny_open_clip() -> OpenClip:
    torch.manual_seed(0)
    return build_open_clip(OpenClipConfig(model_name=TINY, feature_dim=6), SHAPES, 3).eval()


def pixels(*rows: int) -> Tensor:
    return torch.rand(*rows, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def text(*words: int, length: int = 8, padding: int = 0) -> Tensor:
    """One caption between its start and end."""
    tokens = torch.full((1, length), padding, dtype=torch.int32)
    tokens[0, : len(words) + 2] = torch.tensor([START, *words, END])
    return tokens


def test_a_bag_is_the_mean_of_its_words_and_of_nothing_else() -> None:
    """Start, end and padding are no words; the order is none; a text without words is the zero vector."""
    tower = BagTower(4, 3)
    words = tower.token_embedding.weight
    assert torch.allclose(tower(text(7, 9, 9)), tower.layers((words[7] + 2 * words[9]) / 3))
    assert torch.allclose(tower(text(9, 7, 9)), tower(text(7, 9, 9)))
    assert torch.allclose(tower(text(START - 1)), tower.layers(words[START - 1])), "the last word is one"
    assert torch.allclose(tower(text()), tower.layers(torch.zeros(4)))


def test_convolutions_halve_the_picture_and_are_averaged() -> None:
    tower = ConvTower((4, 8, 6), 5)
    maps = tower.layers(pixels(2))
    assert maps.shape == (2, 6, 2, 2) and maps.min() == 0
    assert torch.allclose(tower(pixels(2)), tower.proj(maps.sum(dim=(2, 3)) / 4))


@pytest.mark.parametrize("name", ["clip", "open_clip"])
def test_colours_are_normalised_as_clips_are(name: str) -> None:
    model = clip() if name == "clip" else tiny_open_clip()
    network = model.visual if isinstance(model, Clip) else model.network.visual
    with torch.no_grad():
        assert torch.allclose(model.encode_images(pixels(2)), network((pixels(2) - MEAN) / DEVIATION), atol=1e-6)


def test_outputs_are_all_views_then_all_captions() -> None:
    model = clip(initial_temperature=0.1)
    images, captions = pixels(2, 2), torch.randint(1, 99, (2, 3, 8), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = model(images, captions)
        for row in range(2):
            views, texts = model.encode_images(images[row]), model.encode_text(captions[row])
            expected = functional.normalize(torch.cat([views, texts]), dim=-1)
            assert out.embeddings is not None and torch.allclose(out.embeddings[row], expected, atol=1e-6)
            assert torch.allclose(out.features[row], views[0], atol=1e-6), "not normalised"
            assert torch.allclose(out.logits[row], 10**0.5 * expected, atol=1e-5)


def test_the_scale_is_the_inverse_of_the_temperature_and_held_below_its_limit() -> None:
    model = clip(initial_temperature=0.02)
    assert model.scale().item() == pytest.approx(50)
    nn.init.constant_(model.log_scale, math.log(1000))
    assert model.scale().item() == pytest.approx(LARGEST_SCALE) == pytest.approx(100)


def test_a_causal_transformer_does_not_see_what_follows_the_end_and_a_full_one_does() -> None:
    texts = text(7, 9), text(7, 9, padding=5), text(9, 7)
    for attention, same in (("causal", True), ("full", False)):
        model = clip(**TRANSFORMER, attention=attention)
        with torch.no_grad():
            one, padded, turned = (model.encode_text(tokens) for tokens in texts)
        assert torch.allclose(one, padded, atol=1e-6) == same and not torch.allclose(one, turned, atol=1e-3)


def test_a_transformer_has_the_layers_and_heads_that_are_asked_for() -> None:
    for depth, heads in ((1, 2), (3, 4)):
        blocks: Any = clip(**{**TRANSFORMER, "text_depth": depth, "text_heads": heads}).text.transformer.resblocks
        assert len(blocks) == depth and {block.attn.num_heads for block in blocks} == {heads}
    with pytest.raises(ValueError, match="text_heads must divide text_width 8, but got 3"):
        clip(**{**TRANSFORMER, "text_heads": 3})


@pytest.mark.parametrize("name", ["clip", "open_clip"])
def test_a_shorter_caption_is_filled_with_zeros(name: str) -> None:
    model, length = (clip(**TRANSFORMER), 8) if name == "clip" else (tiny_open_clip(), 10)
    tower = model.text if isinstance(model, Clip) else model.network.encode_text
    with torch.no_grad():
        assert torch.allclose(model.encode_text(text(7, length=5)), tower(text(7, length=length)), atol=1e-6)


def test_a_timm_towers_batch_normalisations_become_group_normalisations_or_stay() -> None:
    kinds = {
        norm: [type(m) for m in clip(image="test_resnet", norm=norm).visual.modules()] for norm in ("group", "batch")
    }
    count = kinds["batch"].count(nn.BatchNorm2d)
    assert count > 3 and kinds["group"].count(nn.GroupNorm) == count
    assert nn.BatchNorm2d not in kinds["group"] and nn.GroupNorm not in kinds["batch"]


def test_wrong_image_towers_are_refused_in_a_line() -> None:
    with pytest.raises(
        ValueError, match="must be conv or the name of a timm network, but got 'resnet33'; did you mean resnet"
    ):
        clip(image="resnet33")
    with pytest.raises(
        ValueError, match="cannot replace the normalisation layers of 'test_efficientnet'; write `norm: batch`"
    ):
        clip(image="test_efficientnet")


def test_only_towers_that_open_clip_has_are_said_in_its_words() -> None:
    assert clip().open_clip_config is None and clip(image="test_resnet", norm="batch").open_clip_config is None
    assert clip(image="test_resnet", **TRANSFORMER).open_clip_config is None, "group normalisation"
    said = clip(image="test_resnet", norm="batch", attention="full", **TRANSFORMER).open_clip_config
    assert said is not None and said["text_cfg"]["no_causal_mask"] and said["text_cfg"]["context_length"] == 8


def test_open_clips_own_model_gives_the_same() -> None:
    """Weights that leave as open_clip names them, in open_clip's class."""
    from open_clip.model import CLIP

    model, theirs = tiny_open_clip(), CLIP(**SETTINGS).eval()
    nn.init.constant_(model.log_scale, 2.0)
    theirs.load_state_dict(model.open_clip_state(), strict=False)
    tokens = text(7, 9, length=10)
    with torch.no_grad():
        out = model(pixels(1)[:, None], tokens[:, None])
        images, texts, scale = theirs((pixels(1) - MEAN) / DEVIATION, tokens.long())
    assert out.embeddings is not None and torch.allclose(out.embeddings[0], torch.cat([images, texts]), atol=1e-6)
    assert scale.item() == pytest.approx(math.exp(2)) == pytest.approx(model.scale().item())


def test_captions_may_be_as_long_as_the_context_and_no_longer() -> None:
    config = OpenClipConfig(model_name=TINY, feature_dim=6)
    build_open_clip(config, ((1, 3, 16, 16), (1, 10)), 3)
    with pytest.raises(ValueError, match="reads 10 tokens, but this data has 11; cut its captions"):
        build_open_clip(config, ((1, 3, 16, 16), (1, 11)), 3)


@pytest.mark.parametrize(
    "shape", [(3, 16, 16), ((1, 1, 16, 16), (1, 8)), ((3, 16, 16), (1, 8)), ((1, 3, 16, 16), (8,))]
)
def test_other_inputs_are_refused(shape: Any) -> None:
    with pytest.raises(ValueError, match="'clip' takes captioned images"):
        build_clip(ClipConfig(), shape, 3)
