"""Compressions of updates: `COMPRESSIONS` has them by name. They travel as JSON in every `RoundPlan`."""

from .base import (
    COMPRESSIONS,
    Bases,
    Compression,
    compression,
    compression_from_dict,
    compression_from_json,
)
from .changed import ChangedOnly, NoCompression
from .low_rank import LowRank
from .top_k import TopK

__all__ = [
    "COMPRESSIONS",
    "Bases",
    "ChangedOnly",
    "Compression",
    "LowRank",
    "NoCompression",
    "TopK",
    "compression",
    "compression_from_dict",
    "compression_from_json",
]
