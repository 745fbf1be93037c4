"""Weights that networks of a search space share: what a run begins with at a site, and what it leaves there.

A run may say that its network inherits: where each of its tensors lies in a pool of weights that the sites keep. Then
only the tensors of that network travel, in its own rounds; the pool itself never does. When the run is over, the pool
moves towards what it made of them. All sites do the same, so their pools are the same, and one that has missed a run
starts the next from other weights than most, which the tag of the model says: it gets the state of another site, with
what the run began with there, which its pool has from then on.

A tensor may use a part of what is there: the first units of each axis and gate, the middle of a kernel. What nobody has
trained yet is as the run's own network initialises it.

Threat model: as of a site. What comes from the coordinator is names and numbers, checked before anything is allocated.
"""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Final, cast

import numpy as np

from ...core import FormatError, canonical_json, parse_json
from ..errors import PlanError, SiteStateError
from ..protocol.inheritance import Inheritance, Place
from .state import write_private

MOST_ELEMENTS: Final = 2**28  # of a pool
_MOST_POOLS: Final = 4  # at hand
_APPLIED: Final = "applied"


@dataclass(slots=True)
class WeightPool:
    """Shared weights by key, each with where it was trained already.

    Attributes:
        weights: float32.
        known: of the same shapes, bool.
        applied: the runs whose weights are in it.
    """

    weights: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    known: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    applied: list[str] = field(default_factory=list[str])

    @property
    def elements(self) -> int:
        """How many weights there are."""
        return sum(array.size for array in self.weights.values())

    def take(self, inheritance: Inheritance, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What is known here of a network's tensors: by name those that have a place, NaN where nothing is.

        Args:
            inheritance: where they lie.
            state: the network's tensors, whose shapes count; not modified.

        Raises:
            PlanError: a place is of no tensor, or does not fit it.
        """
        taken: dict[str, np.ndarray] = {}
        for place in inheritance.places:
            own = taken[place.tensor] = np.full(_tensor(state, place).shape, np.nan, np.float32)
            shared = self.weights.get(place.key)
            if shared is None:
                continue
            mine, theirs = _split(own, place), _split(shared, place)
            at, of = _overlap(mine, theirs, place)
            known = _split(self.known[place.key], place)[of]
            mine[at] = np.where(known, theirs[of], mine[at])
        return taken

    def adopt(self, inheritance: Inheritance, taken: Mapping[str, np.ndarray]) -> None:
        """Have what another pool gave to a run: from there on both do the same with what the run leads to.

        Args:
            inheritance: of the run.
            taken: what `take` gave there.

        Raises:
            PlanError: a place is of no tensor, or does not fit it; nothing is changed.
        """
        weights, known = dict(self.weights), dict(self.known)
        for place in inheritance.places:
            own = _tensor(taken, place)
            shape = _shape_for(weights.get(place.key), own, place)
            weights[place.key] = shared = _grown(weights.get(place.key), shape, np.float32, place)
            known[place.key] = trained = _grown(known.get(place.key), shape, np.bool_, place)
            mine, theirs, where = _split(own, place), _split(shared, place), _split(trained, place)
            at, of = _overlap(mine, theirs, place)
            where[of] = ~np.isnan(mine[at])
            theirs[of] = np.nan_to_num(mine[at], nan=0.0)
        self.weights, self.known = weights, known

    def give(self, run: str, inheritance: Inheritance, state: Mapping[str, np.ndarray]) -> None:
        """Move towards what a run led to; once for each run.

        Raises:
            PlanError: a place is of no tensor, or does not fit it, or the pool would be too large; nothing is changed.
        """
        if run in self.applied:
            return
        weights, known = dict(self.weights), dict(self.known)
        for place in inheritance.places:
            own = _tensor(state, place)
            shape = _shape_for(weights.get(place.key), own, place)
            if sum(array.size for array in weights.values()) + int(np.prod(shape)) > 2 * MOST_ELEMENTS:
                raise PlanError(f"shared weights of more than {MOST_ELEMENTS} elements")
            weights[place.key] = shared = _grown(weights.get(place.key), shape, np.float32, place)
            known[place.key] = trained = _grown(known.get(place.key), shape, np.bool_, place)
            mine, theirs, where = _split(own, place), _split(shared, place), _split(trained, place)
            at, of = _overlap(mine, theirs, place)
            old = theirs[of]
            theirs[of] = np.where(where[of], old + np.float32(inheritance.rate) * (mine[at] - old), mine[at])
            where[of] = True
        if sum(array.size for array in weights.values()) > MOST_ELEMENTS:
            raise PlanError(f"shared weights of more than {MOST_ELEMENTS} elements")
        self.weights, self.known = weights, known
        self.applied.append(run)


class WeightPools:
    """The pools of a site. Safe to call from several threads.

    Args:
        folder: keeps them over restarts; None keeps them in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._pools: OrderedDict[str, WeightPool] = OrderedDict()
        self._lock = RLock()

    def inherit(self, shared: str, state: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """What is known of what a run begins with; see `WeightPool.take`.

        Raises:
            FormatError: `shared` is damaged.
            SiteStateError: the pool cannot be read.
        """
        inheritance = Inheritance.from_json(shared)
        with self._lock:
            return self._find(inheritance.pool).take(inheritance, state)

    def adopt(self, shared: str, taken: Mapping[str, np.ndarray]) -> None:
        """Have what another site's pool gave to a run. See `WeightPool.adopt`."""
        inheritance = Inheritance.from_json(shared)
        with self._lock:
            pool = self._find(inheritance.pool)
            pool.adopt(inheritance, taken)
            self._keep(inheritance.pool, pool)

    def give(self, run: str, shared: str, state: Mapping[str, np.ndarray]) -> None:
        """What a run led to; when this returns, it is on the disk. See `WeightPool.give`."""
        inheritance = Inheritance.from_json(shared)
        if not inheritance.rate:
            return
        with self._lock:
            pool = self._find(inheritance.pool)
            pool.give(run, inheritance, state)
            self._keep(inheritance.pool, pool)

    def _keep(self, name: str, pool: WeightPool) -> None:
        if self._folder is not None:
            write_private(self._path(name), pool_to_bytes(pool))

    def _find(self, name: str) -> WeightPool:
        if name not in self._pools:
            pool = WeightPool()
            if self._folder is not None and self._path(name).exists():
                try:
                    pool = pool_from_bytes(self._path(name).read_bytes())
                except (OSError, FormatError) as exc:
                    raise SiteStateError(f"{self._path(name)} cannot be read: {exc}", hint="move it away") from exc
            self._pools[name] = pool
        self._pools.move_to_end(name)
        if len(self._pools) > _MOST_POOLS:
            self._pools.popitem(last=False)
        return self._pools[name]

    def _path(self, name: str) -> Path:
        assert self._folder is not None
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._folder / f"{name}.pool"


def pool_to_bytes(pool: WeightPool) -> bytes:
    """SHA-256 of the rest, then an NPZ file without pickle."""
    arrays = {f"w/{key}": array for key, array in pool.weights.items()}
    arrays |= {f"k/{key}": array for key, array in pool.known.items()}
    arrays[_APPLIED] = np.frombuffer(canonical_json(pool.applied).encode(), np.uint8)
    keys = sorted(arrays)
    named = {f"a{place}": arrays[key] for place, key in enumerate(keys)}  # keys have slashes and more
    named["keys"] = np.frombuffer(canonical_json(keys).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **named)
    data = buffer.getvalue()
    return hashlib.sha256(data).digest() + data


def pool_from_bytes(data: bytes) -> WeightPool:
    """The inverse of `pool_to_bytes`.

    Raises:
        FormatError: it was damaged.
    """
    if hashlib.sha256(memoryview(data)[32:]).digest() != data[:32]:
        raise FormatError("shared weights were damaged: their content and their hash differ")
    with np.load(io.BytesIO(data[32:]), allow_pickle=False) as file:
        keys = cast(list[str], parse_json(file["keys"].tobytes().decode()))
        arrays = {key: file[f"a{place}"] for place, key in enumerate(keys)}
    applied = cast(list[str], parse_json(arrays.pop(_APPLIED).tobytes().decode()))
    return WeightPool(
        weights={key.removeprefix("w/"): array for key, array in arrays.items() if key.startswith("w/")},
        known={key.removeprefix("k/"): array for key, array in arrays.items() if key.startswith("k/")},
        applied=applied,
    )


def _tensor(state: Mapping[str, np.ndarray], place: Place) -> np.ndarray:
    own = state.get(place.tensor)
    if own is None or own.ndim < 1 or own.shape[0] % place.gates:
        raise PlanError(f"the network has no tensor {place.tensor!r:.80} in {place.gates} parts")
    return own


def _split(array: np.ndarray, place: Place) -> np.ndarray:
    """A view with the gates as an axis of their own, in front."""
    if array.shape[0] % place.gates:
        raise PlanError(f"the weights {place.key!r:.80} are not of {place.gates} parts")
    return array.reshape(place.gates, array.shape[0] // place.gates, *array.shape[1:])


def _overlap(mine: np.ndarray, theirs: np.ndarray, place: Place) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where two split arrays lie in each other: as far as both go."""
    if mine.ndim != theirs.ndim:
        raise PlanError(f"the weights {place.key!r:.80} have {theirs.ndim - 1} axes, the tensor {mine.ndim - 1}")
    at: list[slice] = []
    of: list[slice] = []
    for axis, (own, shared) in enumerate(zip(mine.shape, theirs.shape, strict=True)):
        both = min(own, shared)
        centred = place.centred and axis >= 3
        first, second = ((own - both) // 2, (shared - both) // 2) if centred else (0, 0)
        at.append(slice(first, first + both))
        of.append(slice(second, second + both))
    return tuple(at), tuple(of)


def _shape_for(shared: np.ndarray | None, own: np.ndarray, place: Place) -> tuple[int, ...]:
    """The longer of both along every axis."""
    if shared is None:
        return own.shape
    if shared.ndim != own.ndim:
        raise PlanError(f"the weights {place.key!r:.80} have {shared.ndim} axes, the tensor {own.ndim}")
    return tuple(map(max, shared.shape, own.shape))


def _grown(array: np.ndarray | None, shape: Sequence[int], dtype: type[np.generic], place: Place) -> np.ndarray:
    """A copy in a larger shape, zeros around it."""
    grown = np.zeros(shape, dtype)
    if array is not None:
        old, new = _split(array, place), _split(grown, place)
        at, of = _overlap(old, new, place)
        new[of] = old[at]
    return grown
