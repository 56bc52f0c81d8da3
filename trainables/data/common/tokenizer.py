"""Captions as token ids: CLIP's byte-pair encoding, as every open_clip model takes them.

One caption, "a cat" at length 6: [49406, 320, 2368, 49407, 0, 0]: start, the sub-words, end, then zeros.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated

import numpy as np
from jaxtyping import Bool, Int32
from numpy import ndarray
from pydantic import Field

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer

ContextLength = Annotated[int, Field(ge=3, le=77)]
"""Tokens of a caption, start and end included; a longer one loses its last words."""


@cache
def tokenizer() -> "SimpleTokenizer":
    """open_clip's tokenizer with the vocabulary that its package holds."""
    from open_clip.tokenizer import SimpleTokenizer  # five seconds to import: only who reads captions pays for it

    return SimpleTokenizer()


def tokenize(texts: Sequence[str], length: int) -> Int32[ndarray, "texts {length}"]:
    """Token ids, lower-cased, start and end included, cut at `length` (the end stays) or filled with zeros."""
    return tokenizer()(list(texts), context_length=length).numpy().astype(np.int32)


def caption_tokens(
    captions: Sequence[Sequence[str]], count: int, length: int
) -> tuple[Int32[ndarray, "rows {count} {length}"], Bool[ndarray, "rows {count}"]]:
    """The first `count` captions of each row, all zeros where it has fewer, and which there are."""
    present = np.array([[place < len(own) for place in range(count)] for own in captions], dtype=bool)
    present = present.reshape(len(captions), count)
    tokens = np.zeros((len(captions), count, length), dtype=np.int32)
    flat = [caption for own in captions for caption in own[:count]]
    if flat:
        tokens[present] = tokenize(flat, length)
    return tokens, present
