"""Nothing is left out but what says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Compression, compression

IN_THE_CLEAR = "tells which elements changed, and the bytes of an encrypted update are all alike"


@compression("none")
@dataclass(frozen=True, slots=True, kw_only=True)
class NoCompression(Compression):
    """Every element of a change travels."""


@compression("changed")
@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedOnly(Compression):
    """Only blocks that changed travel, and sums are the same bit for bit: for networks of which a round touches a part,
    and where few levels round most changes to zero.
    """

    in_the_clear: ClassVar[str] = IN_THE_CLEAR
    sparse: ClassVar[bool] = True
