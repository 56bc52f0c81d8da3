"""Pictures that stay in their files: for a Batch a tensor like the stored one, decoded where rows are taken from it.

    pictures = LazyImages(photos, torch.arange(1))   uint8 (rows, 1, 3, size, size), without memory
    pictures[:100]                                the same of fewer rows; nothing is decoded
    pictures[torch.tensor([7, 3])]                uint8 (2, 1, 3, size, size), decoded

The pixels are those that would be stored, bit for bit. An operation that is not listed here is refused, for it would
decode every picture at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from trainables.data.readers.prefetch import BatchRequest, ImageFiles, PendingBatch, Prefetcher


class LazyImages(Tensor):
    """The views at `places` of some photographs."""

    photos: ImageFiles
    places: Int[Tensor, " views"]
    ahead: list[Prefetcher]
    """Rows that will be asked for next, by each of those that train on them together."""

    @staticmethod
    def __new__(cls: "type[LazyImages]", photos: ImageFiles, places: Int[Tensor, " views"]) -> "LazyImages":
        shape = (len(photos.files), len(places), 3, photos.size, photos.size)
        made = Tensor._make_wrapper_subclass(cls, shape, dtype=torch.uint8)  # pyright: ignore[reportAttributeAccessIssue]
        made.photos, made.places, made.ahead = photos, places, []
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    @classmethod
    def __torch_dispatch__(
        cls, operation: Any, types: Any, arguments: Sequence[Any] = (), keywords: Mapping[str, Any] | None = None
    ) -> Any:
        if operation not in OPERATIONS:
            raise NotImplementedError(f"{operation} would decode every picture; take rows first, as in pictures[rows]")
        return OPERATIONS[operation](*arguments, **(keywords or {}))

    def __repr__(self, **_: Any) -> str:
        return f"LazyImages({tuple(self.shape)} of {self.photos.dataset})"

    def wanted(
        self, rows: Int[Tensor, " some"] | None = None, places: Int[Tensor, " some"] | None = None
    ) -> BatchRequest:
        """These rows (None: all), of each the view at its place (None: all of them)."""
        return wanted(self.photos, self.places, rows, places)

    def decode(self, wanted: BatchRequest) -> UInt8[Tensor, "rows views 3 size size"]:
        """The pixels, decoded ahead if they were announced. Raises ValueError if a photograph is unreadable."""
        for one in self.ahead:
            batch = one.next_if(wanted)
            if batch is not None:
                return batch.finish()
        return PendingBatch(wanted).finish()

    def read_ahead(self, coming: Iterable[tuple[Int[Tensor, " some"], Int[Tensor, " some"] | None]]) -> None:
        """Rows and places will be asked for in this order, between others: have them decoded in time."""
        # These and not `self`, which would refer to itself through what is to come, and keep its batches on the disk.
        photos, views = self.photos, self.places
        announced = (
            wanted(photos, views, rows.cpu(), None if places is None else places.cpu()) for rows, places in coming
        )
        self.ahead = [one for one in (*self.ahead, Prefetcher(announced)) if one.begin()]


def wanted(
    photos: ImageFiles,
    views: Int[Tensor, " views"],
    rows: Int[Tensor, " some"] | None = None,
    places: Int[Tensor, " some"] | None = None,
) -> BatchRequest:
    """These rows of photographs (None: all), of each that of its views which is at its place (None: all of them)."""
    some = photos if rows is None else photos.of(rows)
    return BatchRequest(some, views.expand(len(some.files), -1) if places is None else views[places][:, None])


def index(pictures: LazyImages, indices: Sequence[Tensor | None]) -> UInt8[Tensor, "..."]:
    """`pictures[rows]` or `pictures[rows, places]`, decoded."""
    rows, places = (*indices, None)[:2]
    assert rows is not None and len(indices) <= 2, "rows come first, and pixels are indexed once they are decoded"
    if rows.dtype == torch.bool:
        rows = rows.nonzero()[:, 0]
    pixels = pictures.decode(pictures.wanted(rows, places))
    return pixels if places is None else pixels[:, 0]


def whole(pictures: LazyImages) -> LazyImages:
    """`pictures[:]`."""
    return LazyImages(pictures.photos, pictures.places)


def part(
    pictures: LazyImages, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> LazyImages:
    """`pictures[start:end]` or `pictures[:, start:end]`; nothing is decoded."""
    assert dim <= 1, "pixels are indexed once they are decoded"
    chosen = slice(start, end, step)
    if dim == 1:
        return LazyImages(pictures.photos, pictures.places[chosen])
    return LazyImages(pictures.photos.of(torch.arange(len(pictures))[chosen]), pictures.places)


def split(pictures: LazyImages, size: int, dim: int = 0) -> list[LazyImages]:
    """Parts of `size` rows, which are decoded ahead if they are asked for in turn."""
    parts = [part(pictures, dim, start, start + size) for start in range(0, pictures.shape[dim], size)]
    ahead = Prefetcher([one.wanted() for one in parts])
    for one in parts:
        one.ahead = [ahead]
    return parts


def converted(pictures: LazyImages, **changes: Any) -> Tensor:
    """Every picture, decoded, in another number format or on another device."""
    return pictures.decode(pictures.wanted()).to(
        **{name: changes[name] for name in ("dtype", "device") if name in changes}
    )


aten = torch.ops.aten
OPERATIONS: dict[Any, Callable[..., Any]] = {
    aten.index.Tensor: index,
    aten.alias.default: whole,
    aten.slice.Tensor: part,
    aten.split.Tensor: split,
    aten._to_copy.default: converted,
}
