"""Finds the weights of an open_clip model on this machine; nothing is downloaded."""

import hashlib
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from trainables.models.contrastive.base import DEVIATION, MEAN

HASH = "#sha256="
"""Separator of a checkpoint's path and the hash of its content."""

SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")
"""File endings that distinguish a checkpoint from a tag."""

HASH_DIGITS = 32


class Weights(NamedTuple):
    """Weights on this machine."""

    file: Path
    quick_gelu: bool
    """Whether they were trained with OpenAI's approximation of GELU."""
    colours: tuple[tuple[float, ...], tuple[float, ...]]
    """Mean and standard deviation of the pixels of their training."""


def with_hash(pretrained: str | None) -> str | None:
    """A checkpoint's path with the hash of its content; a tag is not changed. Raises ValueError for a missing file."""
    if pretrained is None or HASH in pretrained or not pretrained.endswith(SUFFIXES):
        return pretrained
    path = Path(pretrained)
    if not path.is_file():
        raise ValueError(
            f"must be a tag of open_clip or a checkpoint file, but {pretrained!r} does not exist; put it there, or "
            "write null for random weights"
        )
    about = path.stat()
    return f"{pretrained}{HASH}{hash_of(path, about.st_size, about.st_mtime_ns)}"


@cache
def hash_of(path: Path, size: int, changed: int) -> str:
    """First digits of the sha256 of a file. A process reads it once, and again only if its size or time changes.

    Args:
        path: the file.
        size: its size in bytes.
        changed: its modification time in ns.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:HASH_DIGITS]


def settings_of(name: str) -> dict[str, Any]:
    """The architecture called `name`. Raises ValueError if open_clip has none, or one that CLIP's tokens do not fit."""
    from open_clip import get_model_config, list_models

    settings = get_model_config(name)
    if settings is None:
        guess = get_close_matches(name, list_models(), n=1)
        hint = f"did you mean {guess[0]}?" if guess else "see open_clip.list_models()"
        raise ValueError(f"model_name: open_clip has no model {name!r}; {hint}")
    text = settings["text_cfg"]
    if "multimodal_cfg" in settings or text.get("hf_model_name") or text.get("hf_tokenizer_name"):
        raise ValueError(
            f"model_name: {name} is more than two towers, or reads tokens of another tokenizer than CLIP's; take a "
            "model such as ViT-B-16"
        )
    return settings


def find_weights(name: str, pretrained: str) -> Weights:
    """The weights of an architecture.

    Args:
        name: name of the architecture.
        pretrained: a tag of open_clip, or a checkpoint's path with its hash.

    Raises:
        ValueError: if the tag is unknown, its weights are not on this machine, or a checkpoint is missing or changed.
    """
    if HASH in pretrained:
        path, _, known = pretrained.partition(HASH)
        found = with_hash(path)
        if found != pretrained:
            raise ValueError(f"pretrained: {path!r} has changed (its hash was {known}); name the file again")
        return Weights(Path(path), False, (MEAN, DEVIATION))
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    entry = get_pretrained_cfg(name, pretrained)
    if not entry:
        tags = list_pretrained_tags_by_model(name)
        hint = f"it has {', '.join(tags)}" if tags else "it has none"
        raise ValueError(f"pretrained: {name} has no weights with the tag {pretrained!r}; {hint}")
    file = cached_file(entry)
    if file is None:
        raise ValueError(
            f"pretrained: the weights {pretrained!r} of {name} are not on this machine, and a study downloads nothing; "
            f"fetch them with python -c \"import open_clip; open_clip.create_model('{name}', '{pretrained}')\""
        )
    mean, deviation = (tuple(entry.get(key) or usual) for key, usual in (("mean", MEAN), ("std", DEVIATION)))
    return Weights(file, bool(entry.get("quick_gelu")), (mean, deviation))


def cached_file(entry: dict[str, Any]) -> Path | None:
    """The file in which open_clip stores the weights of a tag, or None if it is not on this machine."""
    from huggingface_hub import try_to_load_from_cache

    repository, _, named = (entry.get("hf_hub") or "").rpartition("/")
    stem, dot, _ = named.rpartition(".")
    names = [f"{stem}.safetensors", named] if dot else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    for name in names if repository else ():
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found)
    by_url = Path.home() / ".cache" / "clip" / Path(entry.get("url") or "none").name
    return by_url if by_url.is_file() else None
