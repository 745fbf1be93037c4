"""`CellError`: data that cannot be used, with the row and the column it was found in."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import DataError


class CellError(DataError):
    """One value of a table or an array cannot be used.

    Args:
        source: the file or the data set, as the user named it.
        row: its number, counted from 1; a header is not counted.
        column: its name.
        problem: what was expected and what was received.
    """

    def __init__(self, source: str, row: int, column: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(f"{source}: row {row}, column {column!r}: {problem}", hint=hint)
        self.source = source
        self.row = row
        self.column = column


def shorten(text: str, length: int = 60) -> str:
    """Text for a message, quoted; the end of a long one is left out."""
    return repr(text if len(text) <= length else text[: length - 3] + "...")


def listed(names: Sequence[str], most: int = 8) -> str:
    """The first names for a message, separated by commas."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
