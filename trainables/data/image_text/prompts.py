"""Prompts: sentences that name a class, so that a text tower can classify pictures without training (zero-shot).

The first template of each list is the single prompt; the mean over the embeddings of all of them is the ensemble.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32
from numpy import ndarray

from trainables.data.common.tokenizer import tokenize

PHOTOS = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of one {}.",
    "a photo of several {}.",
    "a good picture of a {}.",
    "a bad picture of a {}.",
    "a blurry picture of a {}.",
    "a dark photo of a {}.",
    "a bright photo of a {}.",
    "a black and white photo of a {}.",
    "a close-up of a {}.",
    "a small {} seen from far away.",
    "a large {} that fills the picture.",
    "part of a {}.",
    "a {} among other things.",
    "a {} outdoors.",
    "a {} in a room.",
    "a drawing of a {}.",
    "a painting of a {}.",
    "a toy {}.",
)
"""For the objects of ImageNet."""

FOOD = (
    "a photo of {}, a type of food.",
    "a close-up of {}, a type of food.",
    "a plate of {}, a type of food.",
    "a bowl of {}, a type of food.",
    "{} on a table in a restaurant.",
    "{} made at home.",
    "a portion of {}, seen from above.",
    "a blurry picture of {}, a type of food.",
    "a dark photo of {}, a type of food.",
    "a serving of {}.",
)
"""For Food-101."""


def class_prompts(
    classes: Sequence[str], templates: Sequence[str], length: int
) -> Int32[ndarray, "classes templates {length}"]:
    """Token ids of every class in every template."""
    texts = [template.format(name) for name in classes for template in templates]
    return tokenize(texts, length).reshape(len(classes), len(templates), length)


def single_prompts(prompts: Int32[ndarray, "classes templates length"], labels: ndarray) -> ndarray:
    """(rows, 1, length): the first prompt of each row's class, contiguous."""
    return np.ascontiguousarray(prompts[labels, :1])
