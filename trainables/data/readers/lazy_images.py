"""A tensor of images that stay in their files and are decoded when rows are indexed.

    images = LazyImages(files, torch.arange(1))   uint8 (rows, 1, 3, size, size), without memory
    images[:100]                                  the same with fewer rows; nothing is decoded
    images[torch.tensor([7, 3])]                  uint8 (2, 1, 3, size, size), decoded

It takes the place of a stored tensor in a `Batch`, and its pixels equal the stored ones bit for bit. Operations that
are not in `OPERATIONS` raise NotImplementedError, because they would decode every image at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from trainables.common.torch_private import disabled_torch_function, wrapper_subclass
from trainables.data.readers.prefetch import BatchRequest, ImageFiles, PendingBatch, Prefetcher

Rows = Int[Tensor, " some"]


class LazyImages(Tensor):
    """The images in `files`, of each the views with the numbers `views`."""

    files: ImageFiles
    views: Int[Tensor, " views"]
    prefetchers: list[Prefetcher]
    """The announced batches: one prefetcher for each training that shares this tensor."""

    @staticmethod
    def __new__(cls: "type[LazyImages]", files: ImageFiles, views: Int[Tensor, " views"]) -> "LazyImages":
        shape = (len(files.paths), len(views), 3, files.size, files.size)
        made = wrapper_subclass(cls, shape, torch.uint8)
        made.files, made.views, made.prefetchers = files, views, []
        return made

    __torch_function__ = disabled_torch_function

    @classmethod
    def __torch_dispatch__(
        cls, operation: Any, types: Any, arguments: Sequence[Any] = (), keywords: Mapping[str, Any] | None = None
    ) -> Any:
        if operation not in OPERATIONS:
            raise NotImplementedError(f"{operation} would decode every image; index rows first, as in images[rows]")
        return OPERATIONS[operation](*arguments, **(keywords or {}))

    def __repr__(self, **_: Any) -> str:
        return f"LazyImages({tuple(self.shape)} of {self.files.dataset})"

    def decode(self, request: BatchRequest) -> UInt8[Tensor, "rows views 3 size size"]:
        """The pixels of a batch, prefetched if it was announced. Raises ValueError if an image is unreadable."""
        for prefetcher in self.prefetchers:
            batch = prefetcher.next_if(request)
            if batch is not None:
                return batch.finish()
        return PendingBatch(request).finish()

    def prefetch(self, batches: Iterable[tuple[Rows, Rows | None]]) -> None:
        """Announce batches in the order in which they will be indexed, so that they are decoded in time.

        Args:
            batches: for each batch the arguments `rows` and `places` of `request_for`. Other batches may be indexed
                in between.

        """
        # The generator must not refer to `self`: a reference cycle would keep the batches on the disk.
        files, views = self.files, self.views
        requests = (
            request_for(files, views, rows.cpu(), None if places is None else places.cpu()) for rows, places in batches
        )
        self.prefetchers = [one for one in (*self.prefetchers, Prefetcher(requests)) if one.begin()]


def request_for(
    files: ImageFiles, views: Int[Tensor, " views"], rows: Rows | None = None, places: Rows | None = None
) -> BatchRequest:
    """The request for some rows.

    Args:
        files: the images.
        views: numbers of the views that the tensor contains.
        rows: rows of the batch; None: all.
        places: for each row the position in `views` of its only view; None: all views of each row.

    """
    chosen = files if rows is None else files.take(rows)
    return BatchRequest(chosen, views.expand(len(chosen.paths), -1) if places is None else views[places][:, None])


def index_rows(images: LazyImages, indices: Sequence[Tensor | None]) -> UInt8[Tensor, "..."]:
    """`images[rows]` (rows, views, 3, size, size) or `images[rows, places]` (rows, 3, size, size), decoded."""
    rows, places = (*indices, None)[:2]
    assert rows is not None and len(indices) <= 2, "only rows and views are indexed before decoding"
    if rows.dtype == torch.bool:
        rows = rows.nonzero()[:, 0]
    pixels = images.decode(request_for(images.files, images.views, rows, places))
    return pixels if places is None else pixels[:, 0]


def copy(images: LazyImages) -> LazyImages:
    """`images[:]`."""
    return LazyImages(images.files, images.views)


def slice_images(
    images: LazyImages, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> LazyImages:
    """`images[start:end]` or `images[:, start:end]`; nothing is decoded."""
    assert dim <= 1, "only rows and views are indexed before decoding"
    chosen = slice(start, end, step)
    if dim == 1:
        return LazyImages(images.files, images.views[chosen])
    return LazyImages(images.files.take(torch.arange(len(images))[chosen]), images.views)


def split(images: LazyImages, size: int, dim: int = 0) -> list[LazyImages]:
    """Parts of `size` rows; while one is in use, the next ones are decoded."""
    parts = [slice_images(images, dim, start, start + size) for start in range(0, images.shape[dim], size)]
    prefetcher = Prefetcher([request_for(part.files, part.views) for part in parts])
    for part in parts:
        part.prefetchers = [prefetcher]
    return parts


def convert(images: LazyImages, **changes: Any) -> Tensor:
    """All images, decoded, with another dtype or on another device."""
    pixels = images.decode(request_for(images.files, images.views))
    return pixels.to(**{name: changes[name] for name in ("dtype", "device") if name in changes})


aten = torch.ops.aten
OPERATIONS: dict[Any, Callable[..., Any]] = {
    aten.index.Tensor: index_rows,
    aten.alias.default: copy,
    aten.slice.Tensor: slice_images,
    aten.split.Tensor: split,
    aten._to_copy.default: convert,
}
"""The operations that a `LazyImages` supports."""
