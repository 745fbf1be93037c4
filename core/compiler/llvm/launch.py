"""`Launch`: a kernel with its numbers. `Images`: how a batch of images lies in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .ir import FLOAT_BYTES
from .kernel import Kernel
from .program import Call, Pointer, Scalar, call


@dataclass(frozen=True, slots=True)
class Share:
    """How threads divide the rows of a launch among themselves: each has a run of them, and touches no others of the
    operands in `strides`.

    Attributes:
        units: pieces that a thread has wholly or not at all.
        rows: of each.
        shards: where not 0, the units are first divided into so many shards, and threads have whole shards.
        strides: of the operands whose rows are divided, the elements from one to the next.
        columns: of those of which the launch has no whole rows, the first column.
    """

    units: int
    rows: int
    shards: int
    strides: Mapping[str, int]
    columns: Mapping[str, int] = field(default_factory=dict[str, int])

    def bounds(self, threads: int) -> tuple[int, ...]:
        """The first row of each thread, and the number of rows."""
        pieces = self.shards or self.units
        firsts = [pieces * thread // threads for thread in range(threads + 1)]
        if self.shards:
            firsts = [self.units * first // self.shards for first in firsts]
        return tuple(first * self.rows for first in firsts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """All that a record of a program needs but the memory.

    Attributes:
        kernel: what runs.
        numbers: the values of all its slots that are not pointers, or the names of those set before each run.
        offsets: of every pointer slot, how many floats behind the start of the operand of that name it points; may be
            negative where an operand has a border.
        sizes: bytes of an element of those operands whose offsets count other elements than floats.
        share: how threads divide it, where they do so by rows; else None.
        scratch: floats of the operand `scratch` for each thread, from its place on; 0: it has none.
        products: of the products that the plain formula takes, the part that it does.
    """

    kernel: Kernel
    numbers: Mapping[str, int | float | Scalar]
    offsets: Mapping[str, int]
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    share: Share | None = None
    scratch: int = 0
    products: float = 1.0

    def __post_init__(self) -> None:
        given = {*self.numbers, *self.offsets}
        names = {slot.name for slot in self.kernel.slots}
        assert given == names, f"{self.kernel.name}: slots and values differ in {sorted(given ^ names)}"

    def shifted(self, operand: str, floats: int) -> Launch:
        """The same with an operand that starts so many floats further on."""
        if not floats:
            return self
        return replace(self, offsets={**self.offsets, operand: self.offsets[operand] + floats})

    def call(self, **operands: Pointer) -> Call:
        """The record of a program that runs it: of each operand, a pointer to its start."""
        places = {
            name: replace(operands[name], offset=operands[name].offset + self.sizes.get(name, FLOAT_BYTES) * elements)
            for name, elements in self.offsets.items()
        }
        return call(self.kernel, **self.numbers, **places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """A batch of images, channels last, each perhaps with a border; strides in floats.

    The same describes a matrix: one image of one row, a pixel per row of the matrix.

    Attributes:
        count, height, width, channels: without borders; channels are adjacent.
        image, row, pixel: strides; a pixel may be wider than its channels.
        origin: where the first channel of the first pixel of the first image is, behind the start of the memory.
        size: all floats, borders included.
    """

    count: int
    height: int
    width: int
    channels: int
    image: int
    row: int
    pixel: int
    origin: int = 0
    size: int = 0

    @classmethod
    def dense(
        cls,
        count: int,
        height: int,
        width: int,
        channels: int,
        *,
        border: tuple[int, int, int, int] = (0, 0, 0, 0),
        pixel: int | None = None,
    ) -> Images:
        """Images one behind the other.

        Args:
            count: of images.
            height: without its border.
            width: without its border.
            channels: of a pixel.
            border: pixels above, below, to the left and to the right, in every image.
            pixel: floats from one pixel to the next; default: `channels`.
        """
        above, below, left, right = border
        pixel = channels if pixel is None else pixel
        row = (left + width + right) * pixel
        image = (above + height + below) * row
        origin = above * row + left * pixel
        return cls(
            count=count,
            height=height,
            width=width,
            channels=channels,
            image=image,
            row=row,
            pixel=pixel,
            origin=origin,
            size=count * image,
        )

    @classmethod
    def matrix(cls, rows: int, columns: int, *, stride: int | None = None) -> Images:
        """A matrix, as one image of one row."""
        return cls.dense(1, 1, rows, columns, pixel=stride)

    @property
    def rows_join(self) -> bool:
        """Whether the pixels of an image are evenly spaced."""
        return self.height == 1 or self.row == self.width * self.pixel

    @property
    def images_join(self) -> bool:
        """Whether the pixels of all images are evenly spaced."""
        return self.rows_join and (self.count == 1 or self.image == self.height * self.width * self.pixel)

    def joined(self, *, images: bool) -> Images:
        """The same pixels as images of one row, or, with `images`, as one image of one row."""
        width = self.height * self.width * (self.count if images else 1)
        return replace(
            self,
            count=1 if images else self.count,
            height=1,
            width=width,
            row=width * self.pixel,
            image=width * self.pixel if images else self.image,
        )

    def channels_from(self, first: int, channels: int) -> Images:
        """Only some channels."""
        return replace(self, origin=self.origin + first, channels=channels)
