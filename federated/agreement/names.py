"""Names of categories and classes by a protected sum: every site learns the union, and of no name whose it is.

Each site puts each of its names into three cells of a table, chosen by a keyed hash. A cell adds up, over all names in
it: how many there are, their columns, their digests, and their UTF-8 bytes. Where all names in a cell of the sum are
the same one, n times, all of that divides by n and the digest fits: the name is read off, and taken out of its two
other cells, which may leave one name alone there, and so on. With half as many cells again as names this ends with an
empty table; if it does not, names have met in all their cells, and the next table has another salt and twice the size.

How large a table must be is known before: sites mark the hashes of their names in a bit map, and how many places of
the sum stay empty tells how many different names there are (linear counting).

Sources: Goodrich & Mitzenmacher 2011, invertible Bloom lookup tables, https://arxiv.org/abs/1101.2245; Whang et al.
1990, linear-time probabilistic counting, https://doi.org/10.1145/78922.78925.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, log
from typing import Final

import numpy as np

from ..errors import AgreementError
from .parts import Part
from .schema import MAX_NAME_BYTES, MAX_NAMES

HASHES: Final = 3
MAP_PLACES: Final = 4096
WIDTHS: Final = (8, 16, 32, 64, 128, MAX_NAME_BYTES)  # bytes of the longest name are told as one of these
MAX_SALT: Final = 8
_DIGEST_BYTES: Final = 5  # 2^-40 that cells which hold several names look like one
_MOST: Final = 64  # of a site's names in one cell; a table of the right size has two or three
_MOST_BYTES: Final = 1 << 23  # of a table: room for twice the cells that the most and longest names take
_LARGEST_BYTE: Final = 0xF4 + 1  # of UTF-8, which has none above; 0 is left for where a name has ended

Name = tuple[int, str]  # index of its column, and the name


@dataclass(frozen=True, slots=True)
class NameTable:
    """The shape of a table; it tells the coordinator about how many different names there are, and how long.

    Attributes:
        cells: a multiple of 3.
        width: bytes of the longest name.
        columns: how many columns have names.
        salt: from 1; another one after names could not be told apart.
    """

    cells: int
    width: int
    columns: int
    salt: int = 1

    def __post_init__(self) -> None:
        fits = self.width in WIDTHS and 0 < self.cells * self.width <= _MOST_BYTES and self.cells % HASHES == 0
        if not (fits and self.columns >= 1 and 1 <= self.salt <= MAX_SALT):
            raise AgreementError(f"no table of names: {self.cells} cells of {self.width} bytes, salt {self.salt}")

    @property
    def parts(self) -> tuple[Part, ...]:
        """What a contribution holds."""
        return (
            Part("cells: names", self.cells, _MOST),
            Part("cells: columns", self.cells, _MOST * self.columns),
            Part("cells: digests", self.cells, _MOST * (1 << 8 * _DIGEST_BYTES)),
            Part("cells: bytes", self.cells * self.width, _MOST * _LARGEST_BYTE),
        )

    def next(self) -> NameTable:
        """The one to try after this one.

        Raises:
            AgreementError: enough were tried.
        """
        if self.salt == MAX_SALT or 2 * self.cells * self.width > _MOST_BYTES:
            raise AgreementError(
                f"the names of categories and classes cannot be told apart in {self.salt} tables",
                hint="a site has sent false values, or there are far more names than the sites have said",
            )
        return NameTable(2 * self.cells, self.width, self.columns, self.salt + 1)

    def fill(self, names: Iterable[Name], key: bytes) -> dict[str, np.ndarray]:
        """A site's table: numbers for each of `parts`. A cell with too many names says so, and nothing of them."""
        counts, columns, digests = (np.zeros(self.cells, np.int64) for _ in range(3))
        text = np.zeros((self.cells, self.width), np.int64)
        for name in names:
            column, digest, data, places = self._entry(name, key)
            for place in places:
                counts[place] += 1
                columns[place] += column
                digests[place] += digest
                text[place] += data
        full = counts > _MOST
        counts[full] = _MOST
        columns[full], digests[full], text[full] = 0, 0, 0
        numbers = (counts, columns, digests, text.reshape(-1))
        return {part.name: each for part, each in zip(self.parts, numbers, strict=True)}

    def read(self, sums: dict[str, np.ndarray], key: bytes, summands: int) -> dict[Name, int] | None:
        """Every name, and how many sites have it; None where they cannot all be told apart.

        Args:
            sums: of the sites' tables.
            key: of the sites.
            summands: how many sites.
        """
        counts, columns, digests, flat = (sums[part.name].copy() for part in self.parts)
        text = flat.reshape(self.cells, self.width)
        found: dict[Name, int] = {}
        waiting = list(range(self.cells))
        while waiting:
            place = waiting.pop()
            sites = int(counts[place])
            if not 1 <= sites <= summands:
                continue
            name = self._single(sites, int(columns[place]), text[place])
            if name is None:
                continue
            column, digest, data, places = self._entry(name, key)
            if place not in places or int(digests[place]) != sites * digest or name in found:
                continue
            found[name] = sites
            for each in places:
                counts[each] -= sites
                columns[each] -= sites * column
                digests[each] -= sites * digest
                text[each] -= sites * data
            waiting += places
        empty = not (counts.any() or columns.any() or digests.any() or text.any())
        return found if empty and len(found) <= MAX_NAMES else None

    def _single(self, sites: int, columns: int, text: np.ndarray) -> Name | None:
        """The one name a cell may hold so many times."""
        data, rest = np.divmod(text, sites)
        column, other = divmod(columns, sites)
        length = int(np.count_nonzero(data))
        if rest.any() or other or not 0 <= column < self.columns or not data[:length].all():
            return None
        if data.min(initial=0) < 0 or data.max(initial=0) > _LARGEST_BYTE:
            return None
        try:
            return column, bytes((data[:length] - 1).tolist()).decode()
        except UnicodeDecodeError:
            return None

    def _entry(self, name: Name, key: bytes) -> tuple[int, int, np.ndarray, list[int]]:
        """What a name adds to each of its cells, and which these are: one in each third of the table."""
        column, text = name
        digest = _hash(key, f"cells {self.salt}", name)
        third = self.cells // HASHES
        words = [int.from_bytes(digest[8 * i : 8 * i + 8], "big") for i in range(HASHES)]
        data = np.zeros(self.width, np.int64)
        encoded = text.encode()
        if len(encoded) > self.width:
            raise AgreementError(f"a name of {len(encoded)} bytes is longer than all that were told of: {text[:40]!r}")
        data[: len(encoded)] = np.frombuffer(encoded, np.uint8).astype(np.int64) + 1
        places = [third * i + word % third for i, word in enumerate(words)]
        return column, int.from_bytes(digest[24 : 24 + _DIGEST_BYTES], "big"), data, places


def map_names(names: Iterable[Name], key: bytes) -> np.ndarray:
    """A site's bit map: shape (MAP_PLACES,) int64, 0 or 1."""
    marked = np.zeros(MAP_PLACES, np.int64)
    for name in names:
        marked[int.from_bytes(_hash(key, "map", name)[:8], "big") % MAP_PLACES] = 1
    return marked


def map_width(longest: int) -> np.ndarray:
    """A site's longest name, in bytes, as one of `WIDTHS`: shape (6,), one of them 1."""
    return np.asarray([low < longest <= high for low, high in zip((-1, *WIDTHS), WIDTHS, strict=False)], np.int64)


def table_for(marked: np.ndarray, widths: np.ndarray, columns: int) -> NameTable:
    """The table that holds the names whose bit maps add up to `marked`, and longest names to `widths`."""
    empty = int((marked == 0).sum())
    different = MAP_PLACES * log(MAP_PLACES / max(1, empty))
    third = ceil((1.5 * min(different, MAX_NAMES) + 40) / HASHES)
    used = np.flatnonzero(widths)
    return NameTable(HASHES * third, WIDTHS[int(used[-1]) if len(used) else 0], columns)


def _hash(key: bytes, purpose: str, name: Name) -> bytes:
    column, text = name
    return hmac.new(key, f"nasturtium names v1 {purpose} {column} {text}".encode(), hashlib.sha256).digest()
