"""`Question`: what all sites are asked to add up, as JSON that the coordinator passes on; `Facts`: what it is told.

All that decides how long contributions are stands in the question, so the coordinator can make room for their sum. It
holds nothing the sums have told of values: scales and means stay with the sites, who all know them.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, cast, get_args

from ...core import FormatError, canonical_json, check_header, parse_json
from ...core.data import Preprocessing, Task
from ..errors import AgreementError, Refusal
from .names import MAP_PLACES, WIDTHS, NameTable
from .numbers import EXPONENT_CLASSES, MAX_COUNT, SPREADS, SUM_BITS
from .parts import Part, symbol_count
from .schema import MAX_NAMES
from .search import search_part
from .terms import Terms

FORMAT: Final = "nasturtium.question"
VERSION: Final = 1
MAX_SYMBOLS: Final = 1 << 27  # of a contribution: 128 M

Step = Literal["survey", "sums", "names", "spread", "search", "moments"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One sum.

    Attributes:
        terms: what is to be agreed on.
        step: "survey" counts rows, marks magnitudes, missing values and how many names there are; "sums" adds up
            numbers and the table of names; "names" tries another table; "spread" marks how far numbers are from their
            mean, and counts categories; "search" finds medians and ranges; "moments" adds up distances and their
            squares.
        number: of the question, from 1.
        table: of "sums" and "names", where there are names to be found.
        categories: how many there are in all columns, once they are known.
    """

    terms: Terms
    step: Step = "survey"
    number: int = 1
    table: NameTable | None = None
    categories: int = 0

    def __post_init__(self) -> None:
        named = bool(self.terms.schema.named)
        fits = (
            self.step in get_args(Step)
            and self.number >= 1
            and 0 <= self.categories <= MAX_NAMES * max(1, len(self.terms.schema.columns))
            and (self.table is not None) == (named and self.step in {"sums", "names"})
        )
        if not fits or (self.step == "names" and not named):
            raise AgreementError(f"question {self.number} cannot be: {self.step!r:.40}", refusal=Refusal.MESSAGE)

    @property
    def parts(self) -> tuple[Part, ...]:
        """What a contribution holds."""
        terms, groups = self.terms, self.terms.groups
        rows, counts = Part("rows", 1, MAX_COUNT), Part("counts", groups, MAX_COUNT)
        match self.step:
            case "survey":
                parts = (
                    rows,
                    counts,
                    Part("exponents", groups * EXPONENT_CLASSES, 1),
                    Part("missing", 3 * len(terms.schema.columns), 1),
                )
                named = terms.schema.named
                return (*parts, Part("map", MAP_PLACES, 1), Part("widths", len(WIDTHS), 1)) if named else parts
            case "sums":
                table = self.table.parts if self.table else ()
                return (rows, counts, Part("sums", groups, 1 << SUM_BITS, signed=True), *table)
            case "names":
                return self.table.parts if self.table else ()
            case "spread":
                categorical = sum(column.kind == "categorical" for column in terms.schema.columns)
                return (
                    rows,
                    Part("spreads", groups * SPREADS, 1),
                    Part("categories", self.categories, MAX_COUNT),
                    Part("empty", categorical, MAX_COUNT),
                )
            case "search":
                return (rows, search_part(groups, len(terms.quantiles)))
            case "moments":
                first, second = Part("first", groups, 1 << SUM_BITS, signed=True), Part("second", groups, 1 << SUM_BITS)
                return (rows, counts, first, second)

    def values(self, levels: int) -> int:
        """How many symbols of `levels` levels a contribution has.

        Raises:
            AgreementError: too many.
        """
        count = symbol_count(self.parts, levels)
        if count > MAX_SYMBOLS:
            raise AgreementError(
                f"question {self.number} takes {count} symbols, expected at most {MAX_SYMBOLS}",
                hint='standardise images "together" or by "channel", or agree on fewer columns',
            )
        return count

    @property
    def sha256(self) -> str:
        """Names the question and what its symbols mean, as hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Canonical JSON: equal questions give equal text."""
        return canonical_json(
            {
                "format": FORMAT,
                "version": VERSION,
                "terms": self.terms.to_dict(),
                "step": self.step,
                "number": self.number,
                "table": None if self.table is None else asdict(self.table),
                "categories": self.categories,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Question:
        """Parse and check what came from outside.

        Raises:
            FormatError: no question.
            AgreementError: one that cannot be.
        """
        fields = check_header(parse_json(text), FORMAT, VERSION)
        if set(fields) != {"format", "version", "terms", "step", "number", "table", "categories"}:
            raise FormatError(f"a question with the fields {', '.join(sorted(fields))!r:.200}")
        if not all(type(fields[name]) is int for name in ("number", "categories")):
            raise FormatError("expected the numbers of a question as whole numbers")
        table = fields["table"]
        return cls(
            terms=Terms.from_dict(fields["terms"]),
            step=cast(Step, fields["step"]),
            number=fields["number"],
            table=None if table is None else _table(table),
            categories=fields["categories"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the coordinator is told when all is agreed: enough to make a network, and no name or number of the data.

    Attributes:
        kind: what is learned.
        input_shape: what a network receives for one row.
        outputs: how many classes or targets there are.
    """

    kind: Literal["classification", "regression"]
    input_shape: tuple[int, ...]
    outputs: int

    @classmethod
    def of(cls, preprocessing: Preprocessing) -> Facts:
        """What is told of a preprocessing."""
        task = preprocessing.task
        return cls(kind=task.kind, input_shape=task.input_shape, outputs=task.outputs)

    @property
    def task(self) -> Task:
        """A task of this shape with made-up names: to choose and check a network by."""
        elements = tuple(f"x_{place}" for place in range(_product(self.input_shape)))
        outputs = tuple(f"y_{place}" for place in range(self.outputs))
        classes, targets = (outputs, ()) if self.kind == "classification" else ((), outputs)
        return Task(input_shape=self.input_shape, features=elements, classes=classes, kind=self.kind, targets=targets)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"kind": self.kind, "input_shape": list(self.input_shape), "outputs": self.outputs}

    @classmethod
    def from_dict(cls, value: object) -> Facts:
        """Parse and check.

        Raises:
            FormatError: no such facts.
        """
        fields = cast(dict[str, Any], value) if isinstance(value, dict) else {}
        shape, outputs = fields.get("input_shape"), fields.get("outputs")
        if not (
            set(fields) == {"kind", "input_shape", "outputs"}
            and fields["kind"] in {"classification", "regression"}
            and isinstance(shape, list)
            and 1 <= len(cast(list[object], shape)) <= 3
            and all(type(length) is int and length >= 1 for length in cast(list[object], shape))
            and type(outputs) is int
            and outputs >= 1
        ):
            raise FormatError(f"expected kind, input_shape and outputs of a task, got {value!r:.200}")
        return cls(kind=fields["kind"], input_shape=tuple(cast(list[int], shape)), outputs=outputs)


def first_question(terms: Terms) -> Question | None:
    """The question an agreement begins with; None where the job says everything itself."""
    return None if terms.schema.public else Question(terms=terms)


def _table(value: object) -> NameTable:
    fields = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    names = set(NameTable.__dataclass_fields__)
    if set(fields) != names or not all(type(number) is int for number in fields.values()):
        raise FormatError(f"expected a table of names, got {value!r:.200}")
    return NameTable(**fields)


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product
