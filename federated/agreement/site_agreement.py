"""A site's side of an agreement: it answers questions about its rows, and learns from the sums of all answers."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core import FormatError, canonical_json
from ...core.data import Preprocessing
from ..errors import AgreementError, Refusal
from ..site_data.rows import Rows
from .known import Known
from .names import Name, map_names, map_width
from .numbers import Groups
from .parts import encode_parts
from .question import Facts, Question, first_question
from .schema import MAX_NAMES, name_bytes
from .terms import Terms, public_preprocessing


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a site tells of a sum it has opened; a majority must say the same.

    Attributes:
        tag: the same at sites that know the same, and nothing else; keyed, as hex.
        question: the next one, as JSON; empty at the end.
        facts: what the network must fit; None before the end.
    """

    tag: str
    question: str
    facts: Facts | None


class SiteAgreement:
    """One site in one agreement.

    Args:
        data: the rows that are measured, with the categories and classes its task lists. No reference to them is kept
            in what `to_dict` gives.
        terms: of the agreement.
        run: its ULID.
        key: 32 bytes that only the sites have; None where there is no key.

    Raises:
        AgreementError: the data does not fit the schema; names the column.
    """

    def __init__(self, data: Rows, terms: Terms, *, run: str, key: bytes | None) -> None:
        terms.schema.check(data.task)
        self.terms = terms
        self.run = run
        self._data = data
        self._key = key or bytes(32)
        self._names = _names_of(data, terms)
        Groups.of(data, terms)  # for what it checks; thousands of simulated sites keep no copy of their rows
        _check_missing(data, terms)
        self._chain = hashlib.sha256(run.encode()).hexdigest()  # of all sums that were opened
        self.known = Known()
        self.question = first_question(terms)
        self.agreed: Preprocessing | None = None if self.question else public_preprocessing(terms)

    def answer(self, question: Question, levels: int) -> np.ndarray:
        """The symbols of this site's contribution: shape (question.values(levels),), unsigned.

        Raises:
            AgreementError: another question than the one that follows from the sums, or this site's rows do not fit
                what was agreed on before.
        """
        if question != self.question:
            expected = "none" if self.question is None else f"{self.question.number} ({self.question.step})"
            raise AgreementError(
                f"asked question {question.number} ({question.step}), expected {expected}", refusal=Refusal.ORDER
            )
        return encode_parts(question.parts, self._contribution(question), levels)

    def learn(self, sums: np.ndarray, levels: int, senders: tuple[str, ...]) -> Opening:
        """Take what the sum of all answers to the open question says. If that fails nothing has changed.

        Args:
            sums: of symbols.
            levels: of these.
            senders: ids of the sites whose answers are in it.

        Raises:
            AgreementError: no sum of honest answers, or nothing can be agreed on.
        """
        if self.question is None:
            raise AgreementError("got a sum, but there is no open question", refusal=Refusal.ORDER)
        known, then = self.known.learn(self.question, sums, levels, senders, self._key)
        said = [self._chain, list(senders), hashlib.sha256(np.asarray(sums, "<u4").tobytes()).hexdigest()]
        self._chain = hashlib.sha256(canonical_json(said).encode()).hexdigest()
        self.known = known
        self.question, self.agreed = (then, None) if isinstance(then, Question) else (None, then)
        return self.opening()

    def opening(self) -> Opening:
        """What this site tells of where it is."""
        return Opening(
            tag=self.tag(),
            question="" if self.question is None else self.question.to_json(),
            facts=None if self.agreed is None else Facts.of(self.agreed),
        )

    def tag(self) -> str:
        """Names what is known, keyed: the coordinator sees that sites agree, and nothing of what on."""
        said = [self.run, self._chain, self.known.to_dict(), None if self.agreed is None else self.agreed.to_dict()]
        return hmac.new(self._key, canonical_json(said).encode(), hashlib.sha256).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """All but the rows and the key, as plain JSON values: what the site keeps over a restart."""
        return {
            "run": self.run,
            "terms": self.terms.to_dict(),
            "chain": self._chain,
            "known": self.known.to_dict(),
            "question": None if self.question is None else self.question.to_json(),
            "agreed": None if self.agreed is None else self.agreed.to_dict(),
        }

    @classmethod
    def resume(cls, value: Mapping[str, Any], data: Rows, *, key: bytes | None) -> SiteAgreement:
        """Go on from what `to_dict` gave, over the same rows.

        Raises:
            AgreementError: the data does not fit the schema any more.
            FormatError: it is damaged.
        """
        try:
            site = cls(data, Terms.from_dict(value["terms"]), run=value["run"], key=key)
            site._chain = value["chain"]
            site.known = Known.from_dict(value["known"])
            question, agreed = value["question"], value["agreed"]
            site.question = None if question is None else Question.from_json(question)
            site.agreed = None if agreed is None else Preprocessing.from_dict(agreed)
        except (KeyError, TypeError) as exc:
            raise FormatError(f"a damaged state of an agreement: {exc!r}") from exc
        return site

    def _contribution(self, question: Question) -> dict[str, np.ndarray]:
        """The numbers of each part."""
        known, groups, key = self.known, Groups.of(self._data, self.terms), self._key
        scales, counted = np.asarray(known.scales, np.int64), np.asarray(known.counted, np.int64)
        means, spreads = np.asarray(known.means, np.float64), np.asarray(known.spreads, np.int64)
        rows = np.asarray([len(self._data)])
        match question.step:
            case "survey":
                return {
                    "rows": rows,
                    "counts": groups.counts(),
                    "exponents": groups.exponent_classes().reshape(-1),
                    "missing": self._flags(),
                    "map": map_names(self._names, key),
                    "widths": map_width(max((len(name.encode()) for _, name in self._names), default=0)),
                }
            case "sums":
                table = question.table.fill(self._names, key) if question.table else {}
                return {"rows": rows, "counts": groups.counts(), "sums": groups.sums(scales, counted), **table}
            case "names":
                return question.table.fill(self._names, key) if question.table else {}
            case "spread":
                categories, empty = self._category_counts()
                spread = groups.spread_classes(scales, means).reshape(-1)
                return {"rows": rows, "spreads": spread, "categories": categories, "empty": empty}
            case "search":
                assert known.search is not None
                return {"rows": rows, "search: counts": known.search.count(groups.each())}
            case "moments":
                first, second = groups.moments(scales, means, spreads, counted)
                return {"rows": rows, "counts": groups.counts(), "first": first, "second": second}

    def _flags(self) -> np.ndarray:
        """For each column of a table whether missing values are filled, are indicated, and categories may be new."""
        columns = {column.name: column for column in self._data.task.schema}
        chosen = [columns[column.name] for column in self.terms.schema.columns]
        return np.asarray(
            [
                *(column.missing == "fill" for column in chosen),
                *(column.missing == "indicate" for column in chosen),
                *(column.kind == "categorical" and column.unknown == "zeros" for column in chosen),
            ],
            np.int64,
        )

    def _category_counts(self) -> tuple[np.ndarray, np.ndarray]:
        """How many rows have each agreed category, of all categorical columns; and in how many each is missing."""
        own = {column.name: (place, column) for place, column in enumerate(self._data.task.schema)}
        rows = self._data.inputs
        counts: list[np.ndarray] = []
        empty: list[int] = []
        for column in self.known.columns(self.terms.schema):
            if column.kind != "categorical":
                continue
            place, mine = own[column.name]
            codes = rows[:, place]
            absent = np.isnan(codes)
            places = {name: code for code, name in enumerate(column.categories)}
            there = codes[~absent & (codes >= 0)].astype(np.int64)
            found = np.zeros(len(column.categories), np.int64)
            for code, count in enumerate(np.bincount(there, minlength=len(mine.categories)).tolist()):
                name = mine.categories[code]
                if count and name not in places:
                    raise _not_agreed(f"column {column.name!r}", name, column.name)
                if count:
                    found[places[name]] = count
            counts.append(found)
            empty.append(int(absent.sum()))
        return np.concatenate(counts) if counts else np.zeros(0, np.int64), np.asarray(empty, np.int64)


def _names_of(data: Rows, terms: Terms) -> list[Name]:
    """The categories and classes of this site that are to be found out, with the index of their column.

    Raises:
        AgreementError: there are too many, one is too long, or not among those that are public.
    """
    schema = terms.schema
    columns = {column.name: column.categories for column in data.task.schema}
    found: list[Name] = []
    for place, name in enumerate(schema.named):
        found += [(place, text) for text in (columns[name] if name else data.task.classes)]
    for place, text in found:
        column = schema.named[place]
        try:
            name_bytes(f"column {column!r}" if column else "the target", text)
        except FormatError as exc:
            raise AgreementError(exc.message, hint=exc.hint, refusal=Refusal.DATA, column=column or None) from exc
    if len(found) > MAX_NAMES:
        raise AgreementError(
            f"the data has {len(found)} categories and classes, expected at most {MAX_NAMES}",
            hint="leave out columns of names, identifiers and free text",
            refusal=Refusal.DATA,
        )
    for column in schema.columns:
        for text in columns[column.name] if column.categories else ():
            if text not in column.categories:
                raise _not_agreed(f"column {column.name!r}", text, column.name)
    for text in data.task.classes if schema.classes else ():
        if text not in schema.classes:
            raise _not_agreed("the target", text, None)
    return found


def _check_missing(data: Rows, terms: Terms) -> None:
    """Refuse missing values where the job says that there are none."""
    places = {column.name: place for place, column in enumerate(data.task.schema)}
    for column in (each for each in terms.schema.columns if each.missing == "refuse"):
        if np.isnan(data.inputs[:, places[column.name]]).any():
            raise AgreementError(
                f"column {column.name!r} has missing values, which the job refuses",
                hint="fill or drop them, or let the job say missing = 'fill' or 'indicate'",
                refusal=Refusal.DATA,
                column=column.name,
            )


def _not_agreed(what: str, name: str, column: str | None) -> AgreementError:
    return AgreementError(
        f"{what}: {name[:80]!r} is not among the agreed names",
        hint="correct it in the data, or let the job know it",
        refusal=Refusal.DATA,
        column=column,
    )
