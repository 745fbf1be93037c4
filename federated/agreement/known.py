"""`Known`: what all sites know after some sums of an agreement, and how a further sum adds to it.

A pure function of the sums: sites that have opened the same ones know the same, bit for bit, and derive the same next
question from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, cast

import numpy as np

from ...core.data import Column, Missing, Preprocessing
from ..errors import AgreementError
from .names import NameTable, table_for
from .numbers import EXPONENT_CLASSES, SPREADS, Moments, means_of, scale_of, spread_of
from .parts import decode_parts, false_values
from .question import Question
from .result import make_preprocessing
from .schema import Schema, agreed_column, check_names, sort_names
from .search import Search

Sums = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the sums so far have told; empty where they have not yet.

    Attributes:
        missing: how missing values of each column of a table are treated.
        zeros: whether each column takes categories that are not in the list.
        counted: numbers of each group, which later sums are scaled for.
        scales, means, spreads: of each group, see `numbers`.
        names: for each of `Schema.named` the categories, or classes, that some site has.
        categories: rows with each category, of all categorical columns one after the other.
        empty: rows in which each categorical column is missing.
        search: of medians and ranges.
    """

    missing: tuple[Missing, ...] = ()
    zeros: tuple[bool, ...] = ()
    counted: tuple[int, ...] = ()
    scales: tuple[int, ...] = ()
    means: tuple[float, ...] = ()
    spreads: tuple[int, ...] = ()
    names: tuple[tuple[str, ...], ...] = ()
    categories: tuple[int, ...] = ()
    empty: tuple[int, ...] = ()
    search: Search | None = None

    def learn(
        self, question: Question, sums: np.ndarray, levels: int, senders: tuple[str, ...], key: bytes
    ) -> tuple[Known, Question | Preprocessing]:
        """Take what a sum says.

        Args:
            question: whose contributions are in it.
            sums: of their symbols, shape (question.values(levels),).
            levels: of the symbols.
            senders: ids of the sites.
            key: of the sites, for the names.

        Returns:
            All that is known now, and the next question, or what is agreed on.

        Raises:
            AgreementError: a sum honest contributions cannot have, or nothing can be agreed on.
        """
        said = decode_parts(question.parts, sums, levels, len(senders))
        match question.step:
            case "survey":
                return self._surveyed(question, said, len(senders))
            case "sums":
                known = replace(self, means=tuple(means_of(said["sums"], said["counts"], np.asarray(self.counted))))
                return known._named(question, said, len(senders), key)
            case "names":
                return self._named(question, said, len(senders), key)
            case "spread":
                return self._spread(question, said, len(senders))
            case "search":
                assert self.search is not None
                found = self.search.narrow(said["search: counts"], senders, question.terms.quantiles)
                return replace(self, search=found), _after(question, "moments" if found.done else "search")
            case "moments":
                return self, self._agreed(question, said, len(senders))

    def columns(self, schema: Schema) -> tuple[Column, ...]:
        """The columns of the agreed task, once the names are known."""
        found = dict(zip(schema.named, self.names, strict=True))
        return tuple(
            agreed_column(column, column.categories or found.get(column.name, ()), missing, zeros)
            for column, missing, zeros in zip(schema.columns, self.missing, self.zeros, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "search": None if self.search is None else self.search.to_dict()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Known:
        """The inverse of `to_dict`, of what this site wrote."""
        plain = {field.name: _tuples(value[field.name]) for field in fields(cls) if field.name != "search"}
        search = value["search"]
        return cls(**cast(dict[str, Any], plain), search=None if search is None else Search.from_dict(search))

    def _surveyed(self, question: Question, said: Sums, sites: int) -> tuple[Known, Question]:
        terms = question.terms
        schema = terms.schema
        flags = said["missing"].reshape(3, len(schema.columns))
        missing: list[Missing] = [
            column.missing or ("indicate" if indicate else "fill" if fill else "refuse")
            for column, fill, indicate in zip(schema.columns, flags[0], flags[1], strict=True)
        ]
        classes = said["exponents"].reshape(terms.groups, EXPONENT_CLASSES)
        known = replace(
            self,
            missing=tuple(missing),
            zeros=tuple(
                column.kind == "categorical" and bool(flag)
                for column, flag in zip(schema.columns, flags[2], strict=True)
            ),
            counted=tuple(said["counts"].tolist()),
            scales=tuple(scale_of(classes, sites)),
        )
        table: NameTable | None = None
        if schema.named:
            if int(said["widths"].sum()) != sites:
                raise false_values()
            table = table_for(said["map"], said["widths"], len(schema.named))
        return known, _after(question, "sums", table=table)

    def _named(self, question: Question, said: Sums, sites: int, key: bytes) -> tuple[Known, Question]:
        schema = question.terms.schema
        known = self
        if question.table is not None:
            found = question.table.read({part.name: said[part.name] for part in question.table.parts}, key, sites)
            if found is None:
                return self, _after(question, "names", table=question.table.next())
            by_column: list[list[str]] = [[] for _ in schema.named]
            for column, name in found:
                by_column[column].append(name)
            for column, names in zip(schema.named, by_column, strict=True):
                what = f"column {column!r}" if column else "the target"
                if not names:
                    raise AgreementError(f"{what}: no site has a name for a category", column=column or None)
                check_names(what, names)
            known = replace(self, names=tuple(sort_names(names) for names in by_column))
        categories = sum(len(column.categories) for column in known.columns(schema))
        return known, _after(question, "spread", categories=categories)

    def _spread(self, question: Question, said: Sums, sites: int) -> tuple[Known, Question]:
        terms, rows = question.terms, int(said["rows"][0])
        known = replace(
            self,
            spreads=tuple(spread_of(said["spreads"].reshape(terms.groups, SPREADS), sites)),
            categories=tuple(said["categories"].tolist()),
            empty=tuple(said["empty"].tolist()),
        )
        for counts, empty in zip(_by_column(known.columns(terms.schema), known.categories), known.empty, strict=True):
            if sum(counts) + empty > rows:
                raise false_values()
        if not (terms.quantiles and terms.groups):
            return known, _after(question, "moments")
        return replace(known, search=Search.begin(terms.groups, len(terms.quantiles))), _after(question, "search")

    def _agreed(self, question: Question, said: Sums, sites: int) -> Preprocessing:
        terms, rows = question.terms, int(said["rows"][0])
        schema = terms.schema
        table = schema.modality == "table"
        if rows == 0 or (table and (said["counts"] > rows).any()):
            raise false_values()
        moments = [
            Moments.of(first, second, there, counted, mean, spread, sites)
            for first, second, there, counted, mean, spread in zip(
                *(said[name].tolist() for name in ("first", "second", "counts")),
                self.counted,
                self.means,
                self.spreads,
                strict=True,
            )
        ]
        columns = self.columns(schema) if table else ()
        quantiles = np.zeros((terms.groups, 0)) if self.search is None else self.search.values()
        return make_preprocessing(
            terms,
            columns=columns,
            classes=self._classes(schema),
            categories=_by_column(columns, self.categories),
            empty=self.empty,
            moments=moments,
            scales=self.scales,
            rows=rows,
            quantiles=quantiles,
        )

    def _classes(self, schema: Schema) -> tuple[str, ...]:
        return schema.classes or (self.names[-1] if schema.kind == "classification" else ())


def _after(question: Question, step: Any, *, table: NameTable | None = None, categories: int | None = None) -> Question:
    """The question that comes after one."""
    known = question.categories if categories is None else categories
    return Question(terms=question.terms, step=step, number=question.number + 1, table=table, categories=known)


def _by_column(columns: Sequence[Column], counts: Sequence[int]) -> list[list[int]]:
    """Counts of all categories, for each categorical column."""
    found: list[list[int]] = []
    start = 0
    for column in columns:
        if column.kind == "categorical":
            stop = start + len(column.categories)
            found.append(list(counts[start:stop]))
            start = stop
    return found


def _tuples(value: object) -> object:
    return tuple(map(_tuples, cast(list[object], value))) if isinstance(value, list | tuple) else value
