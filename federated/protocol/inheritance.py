"""`Inheritance`: what a plan says of a run whose network shares weights with others; see `weight_pool`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, cast

from ...core import FormatError, canonical_json, parse_json

MOST_PLACES: Final = 10_000
_MOST_GATES: Final = 16
_POOL: Final = re.compile(r"[0-9A-Z]{26}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a tensor lies in a pool.

    Attributes:
        tensor: its name in the network.
        key: of the weights in the pool.
        gates: equal parts of the first axis, each with its own first units.
        centred: whether the axes after the second are a kernel, whose middle is used.
    """

    tensor: str
    key: str
    gates: int = 1
    centred: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inheritance:
    """Where a run's network has its weights from.

    Attributes:
        pool: a ULID.
        rate: how far the pool moves towards what the run leads to, in [0, 1]; 0 leaves it as it is.
        places: of the tensors that are shared.
    """

    pool: str
    rate: float
    places: tuple[Place, ...]

    def __post_init__(self) -> None:
        if not _POOL.fullmatch(self.pool) or not 0 <= self.rate <= 1 or len(self.places) > MOST_PLACES:
            raise FormatError(
                f"expected a pool's ULID, a rate from 0 to 1 and at most {MOST_PLACES} places, "
                f"got {self.pool!r:.40}, {self.rate} and {len(self.places)}"
            )
        if not all(1 <= place.gates <= _MOST_GATES for place in self.places):
            raise FormatError(f"expected 1 to {_MOST_GATES} gates")

    def to_json(self) -> str:
        """Canonical JSON: the text that a plan carries."""
        places = [[each.tensor, each.key, each.gates, each.centred] for each in self.places]
        return canonical_json({"pool": self.pool, "rate": self.rate, "places": places})

    @classmethod
    def from_json(cls, text: str) -> Inheritance:
        """The inverse of `to_json`.

        Raises:
            FormatError: it is damaged.
        """
        said = parse_json(text)
        kinds = {"pool": (str,), "rate": (float, int), "places": (list,)}
        if not isinstance(said, dict) or said.keys() != kinds.keys():
            raise FormatError(f"expected {', '.join(kinds)}, got {text!r:.80}")
        found = cast(dict[str, Any], said)
        if any(type(found[name]) not in kind for name, kind in kinds.items()):
            raise FormatError(f"an inheritance of other types than it has: {text!r:.80}")
        places: list[Place] = []
        for each in found["places"]:
            if not isinstance(each, list) or [type(part) for part in cast(list[Any], each)] != [str, str, int, bool]:
                raise FormatError(f"expected tensor, key, gates and whether it is centred, got {each!r:.80}")
            tensor, key, gates, centred = cast(list[Any], each)
            places.append(Place(tensor=tensor, key=key, gates=gates, centred=centred))
        return cls(pool=found["pool"], rate=float(found["rate"]), places=tuple(places))
