"""Lookup tables as searches: a benchmark's table, or a function, searched by any strategy without training anything.

>>> from itertools import product
>>> table = {(width, depth): 0.1 * width - abs(depth - 3) for width, depth in product((8, 16, 32), range(1, 7))}
>>> found = search_table(table, "predictor", budget=12, seed=0)
>>> found.best_key, round(found.best, 3), found.distinct
((32, 3), 3.2, 12)

NAS-Bench-201 as a data frame with the columns op0, ..., op5 and an accuracy is a table of that kind: with
`space="nb201"` equal cells are proposed once, and strategies see networks instead of six numbers.

    table = {row[:6]: row[6] for row in frame[["op0", ..., "op5", "cifar10_val_12"]].itertuples(index=False)}
    search_table(table, "predictor", budget=100, seed=0, space="nb201").best_so_far
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import isfinite, nan
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike

from ..core import Budget, Candidate, ConfigError, Evaluation
from ..core.data import Task
from . import spaces as _spaces  # noqa: F401 - fills SPACES  # pyright: ignore[reportUnusedImport]
from .cells import parse_nb201
from .objectives import Direction, hypervolume, pareto_front
from .space import Choice, Flat, Int, Scalar, Space, load_space
from .strategies import Proposer, SpaceUsedUpError

Key = Sequence[Scalar] | str
Row = float | Mapping[str, float]
Table = Mapping[Any, Row] | Callable[[Flat], Row]  # keys: `Key`; `Any`, because a mapping's keys are invariant
Missing = Literal["refuse", "fail"]
Values = tuple[float, ...]

VALUE = "value"  # the objective of a table of plain numbers
# Named spaces are made for a task. What a table says does not depend on it, and small networks are quickly written.
TASK = Task(input_shape=(3, 8, 8), features=tuple(f"pixel{i}" for i in range(192)), classes=tuple("0123456789"))


@dataclass(frozen=True, kw_only=True)
class TableSearch:
    """How a search of a table went.

    Attributes:
        strategy, seed: of the search.
        directions: of each objective, by name.
        points: proposed, in order.
        keys: of the points: their values in flat order.
        values: of the points, objectives in order; None where the table has no row.
        distinct: how many different candidates were proposed.
    """

    strategy: str
    seed: int
    directions: Mapping[str, Direction]
    points: tuple[Flat, ...]
    values: tuple[Values | None, ...]
    distinct: int

    @property
    def keys(self) -> tuple[tuple[Scalar, ...], ...]:
        """Of the points, in order: their values in flat order."""
        return tuple(tuple(point.values()) for point in self.points)

    @cached_property
    def best_so_far(self) -> tuple[float, ...]:
        """The best value after each proposal, of a search with one objective; NaN before there is any."""
        (direction,) = self._single()
        curve: list[float] = []
        for values in self.values:
            before = curve[-1] if curve else nan
            here = nan if values is None else values[0]
            curve.append(float(np.fmax(before, here) if direction == "maximize" else np.fmin(before, here)))
        return tuple(curve)

    @property
    def best(self) -> float:
        """The best value found."""
        return self.best_so_far[-1]

    @property
    def best_key(self) -> tuple[Scalar, ...]:
        """Where it was found first."""
        return self.keys[[None if values is None else values[0] for values in self.values].index(self.best)]

    @property
    def front(self) -> tuple[int, ...]:
        """The proposals that no other beats, the best in the first objective first."""
        return tuple(pareto_front(self._rows(), tuple(self.directions.values())))

    def hypervolumes(self, reference: ArrayLike) -> tuple[float, ...]:
        """The hypervolume of all proposals so far before a reference, shape (objectives,), after each proposal."""
        rows, directions = self._rows(), tuple(self.directions.values())
        curve: list[float] = []
        front = np.empty((0, len(directions)))
        for row in rows:
            front = np.concatenate([front, row[None]])
            front = front[pareto_front(front, directions)]
            curve.append(hypervolume(front, reference, directions))
        return tuple(curve)

    def _rows(self) -> np.ndarray:
        return np.array([values or [nan] * len(self.directions) for values in self.values], np.float64)

    def _single(self) -> tuple[Direction, ...]:
        if len(self.directions) != 1:
            raise ConfigError(
                f"a search for {', '.join(self.directions)} has no single best value",
                hint="use `front`, `hypervolumes`",
            )
        return tuple(self.directions.values())


def search_table(
    table: Table,
    strategy: str = "predictor",
    budget: int = 100,
    seed: int = 0,
    *,
    space: str | Space | None = None,
    objectives: Mapping[str, Direction] | None = None,
    direction: Direction = "maximize",
    missing: Missing = "refuse",
) -> TableSearch:
    """Search a table.

    Args:
        table: a number, or a number for each objective, by point. A key is a tuple of the options in the order of the
            space's decisions, the options' places (0, 1, ...) instead of them, or for "nb201" the benchmark's string
            of a cell. Equal candidates need one row. Or a function of a point, a mapping from decisions to values.
        strategy: a name of `STRATEGIES`.
        budget: proposals, >= 1; fewer are made where there are fewer candidates.
        seed: decides the proposals, together with the values.
        space: a named space, a space, or None: a choice for each place of the keys.
        objectives: names and directions, for a table with several numbers a row.
        direction: for a table of plain numbers.
        missing: "refuse" takes a point that has no row, or a value that is not finite, for an error; "fail" for a
            failed trial.

    Raises:
        ConfigError: keys that do not fit the space, values that are no numbers, missing rows, unknown names.
    """
    if budget < 1:
        raise ConfigError(f"expected a budget of at least 1 proposal, got {budget}")
    directions: dict[str, Direction] = {VALUE: direction} if objectives is None else dict(objectives)
    lookup = _Lookup(table, space, None if objectives is None else tuple(objectives), missing)
    proposer = Proposer(lookup.space, strategy, seed, list(directions.values()))
    points: list[Flat] = []
    results: list[Values | None] = []
    for _ in range(budget):
        try:
            proposal = proposer.ask()
        except SpaceUsedUpError:
            break
        values = lookup.find(proposal.flat)
        proposer.tell(proposal.number, values, "failed" if values is None else "completed")
        points.append(proposal.flat)
        results.append(values)
    return TableSearch(
        strategy=strategy,
        seed=seed,
        directions=directions,
        points=tuple(points),
        values=tuple(results),
        distinct=len({lookup.space.identity(point) for point in points}),
    )


class LookupEvaluator:
    """A table as an `Evaluator`: looks candidates up by their point.

    Args:
        table, space, objectives: as for `search_table`.

    Raises:
        ConfigError: as for `search_table`.
    """

    def __init__(
        self, table: Table, *, space: str | Space | None = None, objectives: Sequence[str] | None = None
    ) -> None:
        self._names = (VALUE,) if objectives is None else tuple(objectives)
        self._lookup = _Lookup(table, space, None if objectives is None else self._names, "refuse")

    @property
    def space(self) -> Space:
        """What the table is of."""
        return self._lookup.space

    def evaluate(self, candidate: Candidate, budget: Budget) -> Evaluation:
        """The candidate's row, whatever the budget.

        Raises:
            ConfigError: there is none.
        """
        values = self._lookup.find(candidate.flat)
        assert values is not None
        return Evaluation(objectives=dict(zip(self._names, values, strict=True)), epochs=budget.epochs)


class _Lookup:
    """A table by points of a space."""

    def __init__(self, table: Table, space: str | Space | None, names: Sequence[str] | None, missing: Missing) -> None:
        if missing not in ("refuse", "fail"):
            raise ConfigError(f'expected missing as "refuse" or "fail", got {missing!r}')
        self._names, self._missing = names, missing
        self._function: Callable[[Flat], Row] | None = None
        self._rows: dict[tuple[Scalar, ...], Row] = {}
        if not isinstance(table, Mapping):
            if space is None:
                raise ConfigError("a function needs a space to be searched in", hint="give `space`")
            self.space, self._function = _space(space), table
            return
        if not table:
            raise ConfigError("the table has no rows: expected at least one")
        given = cast(Mapping[object, Row], table)
        keys = [_key(key) for key in given]
        self.space = _derived(keys) if space is None else _space(space)
        points = _points(keys, self.space)
        self._rows = dict(zip(points, given.values(), strict=True))
        if missing == "refuse":
            for point in self._rows:
                self._checked(self._rows[point], point)
            if space is None and len(self._rows) < self.space.size:
                raise ConfigError(
                    f"the table has {len(self._rows)} of the {self.space.size:.0f} combinations of its options",
                    hint='give `space`, or missing="fail" to have the others fail',
                )

    def find(self, flat: Flat) -> Values | None:
        """The values of a point; None if it has none and that is allowed."""
        if self._function is not None:
            return self._checked(self._function(flat), tuple(flat.values()))
        point = tuple(flat[path] for path in self.space.leaves())
        row = self._rows[point] if point in self._rows else self._by_identity.get(self.space.identity(flat))
        if row is not None:
            return self._checked(row, point)
        if self._missing == "fail":
            return None
        raise ConfigError(
            f"the table has no row for {dict(flat)}", hint='add it, or give missing="fail" to have such trials fail'
        )

    @cached_property
    def _by_identity(self) -> dict[str, Row]:
        """One row for each candidate, for tables that do not spell out equal ones."""
        paths = self.space.leaves()
        return {
            self.space.identity(dict(zip(paths, point, strict=True))): row
            for point, row in reversed(self._rows.items())
        }

    def _checked(self, row: Row, point: tuple[Scalar, ...]) -> Values | None:
        try:
            picked = [row] if self._names is None else [cast(Mapping[str, float], row)[name] for name in self._names]
            values = tuple(float(cast(float, value)) for value in picked)
        except (TypeError, ValueError, KeyError, IndexError):
            expected = "a number" if self._names is None else f"numbers for {', '.join(self._names)}"
            raise ConfigError(
                f"the table's row for {point} is {row!r}: expected {expected}",
                hint="give `objectives` for a table with several numbers a row",
            ) from None
        if all(map(isfinite, values)):
            return values
        if self._missing == "fail":
            return None
        raise ConfigError(
            f"the table's row for {point} is {row!r}: expected finite numbers",
            hint='leave it out, or give missing="fail" to have the trial fail',
        )


@lru_cache(maxsize=8)
def _named(name: str) -> Space:
    return load_space(name, TASK)


def _space(space: str | Space) -> Space:
    return _named(space) if isinstance(space, str) else space


def _key(key: object) -> tuple[Scalar, ...]:
    """A key as plain values."""
    if isinstance(key, str) and key.startswith("|"):
        return parse_nb201(key)
    parts = tuple(cast(Sequence[object], key)) if isinstance(key, tuple | list) else (key,)
    plain = tuple(cast(object, part.item()) if isinstance(part, np.generic) else part for part in parts)
    for part in plain:
        if not isinstance(part, bool | int | float | str):
            raise ConfigError(
                f"the table's key {key!r} is no point: expected a tuple of numbers and texts",
                hint="use one key entry for each decision",
            )
    return cast(tuple[Scalar, ...], plain)


def _derived(keys: Sequence[tuple[Scalar, ...]]) -> Space:
    """A choice for each place of the keys, among what stands there."""
    _same_length(keys, len(keys[0]), "its first key has")
    columns = [
        sorted(set(column), key=lambda value: (value.__class__.__name__, value)) for column in zip(*keys, strict=True)
    ]
    return Space.categorical("table", {f"decision{i}": tuple(options) for i, options in enumerate(columns)})


def _points(keys: Sequence[tuple[Scalar, ...]], space: Space) -> list[tuple[Scalar, ...]]:
    """Keys as the space's own options."""
    leaves = space.leaves()
    _same_length(keys, len(leaves), f"space {space.name} has {', '.join(leaves)}:")
    options: list[Sequence[Scalar]] = []
    for path, leaf in leaves.items():
        if not isinstance(leaf, Choice | Int):
            raise ConfigError(f"space {space.name} cannot be a table: {path} is a real number")
        options.append(leaf.values)
    if all(value in allowed for key in keys for value, allowed in zip(key, options, strict=True)):
        return list(keys)
    for key in keys:
        for path, value, allowed in zip(leaves, key, options, strict=True):
            if not (type(value) is int and 0 <= value < len(allowed)):
                raise ConfigError(
                    f"the table's key {key}: {path} is {value!r}, expected one of {list(allowed)} for all keys",
                    hint=f"or their places, 0 to {len(allowed) - 1}, in all keys",
                )
    return [tuple(allowed[cast(int, value)] for value, allowed in zip(key, options, strict=True)) for key in keys]


def _same_length(keys: Sequence[tuple[Scalar, ...]], count: int, why: str) -> None:
    for key in keys:
        if len(key) != count:
            raise ConfigError(f"the table's key {key} has {len(key)} entries: {why} {count}")
