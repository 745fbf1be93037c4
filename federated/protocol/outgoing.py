"""`Outgoing`: an answer as what leaves the site by it, part by part, and in words; not how it travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

# What the records of an answer hold, by their names. An entry is what an auditor reads: it says what can be told by it.
WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "update": "the change of the model, times the site's weight, and counts of its validation rows; in a run with "
        "noise the clipped change alone, with noise; only readable in the sum with other sites",
        "agreement": "of a sum over the sites: a keyed tag of what all know, how large the next sum is, in the end the "
        "shape of an input and the number of classes",
        "numbers": "counts, marks, sums and squared distances of the site's rows, and names of its categories and "
        "classes, only readable in the sum with other sites",
        "status": "",  # these two are told field by field
        "told": "",
        "report": "counts over the validation rows of all sites together, read from the sum of an earlier round",
        "self": "versions, the name of the key, what the policy allows, and what it lets the site tell of its data",
        "box": "the model of a round, sealed to another site, which alone can open it",
        "consent": "that the model of the run is given to somebody: its size, and a hash that tells others nothing",
        "by": "the site's signature of that",
        "sealed": "the model of the run, sealed to who most sites have signed to give it to",
        "done": "the number of the round that the site is at",
        "refusal": "a code that says why there is no answer",
        "answer": "a step towards masks, or of taking them off a sum: public keys, shares sealed to other sites, "
        "confirmations",
        "document": "a roster with the site's signature, the aggregation key sealed to each member, or the key's name",
        "signature": "the site's signature of all of it",
    }
)
_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "model_tag": "a keyed tag that is the same at sites with the same model",
        "seconds": "how long the work took",
        "train_seconds": "how long training took",
        "encrypt_seconds": "how long protecting took",
        "rows": "the number of training rows",
        "update_norm": "how large the change was",
        "clipped": "whether it was cut",
    }
)
_UNKNOWN: Final = "not described by this version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One record of an answer.

    Attributes:
        name: of the record; of the k-th question of a message it begins with "k/".
        size: bytes of its content.
        values: what it says, if it is a record of values; empty for bytes.
    """

    name: str
    size: int
    values: Mapping[str, Any]

    @property
    def words(self) -> str:
        """What it is, for people."""
        said = WORDS.get(self.name.rpartition("/")[2], _UNKNOWN)
        return f"{self.name}, {self.size:,} bytes: {said or '; '.join(_FIELDS.get(key, key) for key in self.values)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """All that leaves with one answer.

    Attributes:
        parts: its records that are not empty, by name.
        sha256: of all names and bytes, in hex; what an answer's signature is of.
    """

    parts: tuple[Part, ...]
    sha256: str

    @property
    def size(self) -> int:
        """Bytes of the content; what carries it adds some."""
        return sum(part.size for part in self.parts)

    @property
    def words(self) -> tuple[str, ...]:
        """What every part is, for people."""
        return tuple(part.words for part in self.parts)
