"""Captions as token ids in CLIP's byte-pair encoding, the input of every open_clip model.

The caption "a cat" with length 6 is [49406, 320, 2368, 49407, 0, 0]: start, the sub-words, end, then zeros.
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
"""Tokens of a caption, including start and end; a longer caption is cut at its end."""


@cache
def tokenizer() -> "SimpleTokenizer":
    """open_clip's tokenizer with the vocabulary of its package."""
    from open_clip.tokenizer import SimpleTokenizer  # takes five seconds to import, so only when captions are read

    return SimpleTokenizer()


def tokenize(texts: Sequence[str], length: int) -> Int32[ndarray, "texts {length}"]:
    """Token ids of lower-cased texts with start and end, cut to `length` (the end token stays) or padded with zeros."""
    return tokenizer()(list(texts), context_length=length).numpy().astype(np.int32)


def caption_tokens(
    captions: Sequence[Sequence[str]], count: int, length: int
) -> tuple[Int32[ndarray, "rows {count} {length}"], Bool[ndarray, "rows {count}"]]:
    """Token ids of the first `count` captions of each row.

    Args:
        captions: the captions of each row.
        count: captions kept of each row.
        length: tokens of a caption.

    Returns:
        The token ids, all zeros where a row has fewer captions; and a mask of the existing captions.

    """
    present = np.array([[place < len(texts) for place in range(count)] for texts in captions], dtype=bool)
    present = present.reshape(len(captions), count)
    tokens = np.zeros((len(captions), count, length), dtype=np.int32)
    flat = [caption for texts in captions for caption in texts[:count]]
    if flat:
        tokens[present] = tokenize(flat, length)
    return tokens, present
