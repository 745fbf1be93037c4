"""`Terms`: what a job says of the preprocessing: the schema, and how columns are filled and scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

import numpy as np

from ...core import ConfigError, FormatError, check_header
from ...core.data import Preprocessing
from .schema import Schema, agreed_column, agreed_task

FORMAT: Final = "nasturtium.agreement"
VERSION: Final = 1

Fill = Literal["mean", "median"]
Standardise = Literal["each", "channel", "together", "none"]
Measure = Literal["moments", "range"]

_WAYS: dict[str, tuple[Standardise, ...]] = {
    "table": ("each", "none"),
    "sequence": ("channel", "each", "together", "none"),
    "image": ("together", "each", "channel", "none"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is to be agreed on.

    Attributes:
        schema: of the rows.
        fill: what stands in for a missing number: the mean of those that are there, or their median. A missing category
            is always the most frequent. (The most frequent number would need a count of each number, which no sum of
            bounded size has.)
        standardise: as `core.data.Preprocessing.fit` has it: "each" element, each "channel" or feature, all
            "together", or "none"; by default the first that the modality has.
        measure: to mean 0 and standard deviation 1 ("moments"), or from 0 to 1 ("range"). The range, and a median, is
            known to 20 bits.

    Raises:
        ConfigError: there is no such way for these rows.
    """

    schema: Schema
    fill: Fill = "mean"
    standardise: Standardise | None = None
    measure: Measure = "moments"

    def __post_init__(self) -> None:
        if self.fill not in get_args(Fill):
            raise ConfigError(
                f"expected fill as one of {', '.join(get_args(Fill))}, got {self.fill!r:.40}",
                hint="the most frequent number would need a count of each, which no sum has",
            )
        ways = _WAYS[self.schema.modality]
        if self.standardise is not None and self.standardise not in ways:
            raise ConfigError(
                f"{self.schema.modality}: expected standardise as one of {', '.join(ways)}, "
                f"got {self.standardise!r:.40}"
            )
        if self.measure not in get_args(Measure):
            raise ConfigError(f"expected measure as one of {', '.join(get_args(Measure))}, got {self.measure!r:.40}")

    @property
    def way(self) -> Standardise:
        """How rows are standardised, with the default filled in."""
        return self.standardise or _WAYS[self.schema.modality][0]

    @property
    def asked(self) -> tuple[str, ...]:
        """The numeric columns of a table whose values have to be asked for."""
        return tuple(column.name for column in self.schema.columns if column.kind == "numeric" and column.range is None)

    @property
    def groups(self) -> int:
        """How many means and scales are to be found: of a table's columns, of rows' elements, then of the targets."""
        schema = self.schema
        if schema.modality == "table":
            found = len(self.asked)
        elif schema.range is not None:
            found = 0
        else:
            channels = schema.row_shape[-1] if schema.modality == "sequence" else schema.row_shape[0]
            found = {"each": len(schema.features), "channel": channels, "together": 1, "none": 0}[self.way]
        return found + (0 if schema.target_ranges else len(schema.targets))

    @property
    def quantiles(self) -> tuple[str, ...]:
        """The ranks of numbers that are to be found in each group."""
        middle = ("lower middle", "upper middle") if self.fill == "median" and self.asked else ()
        return (*middle, *(("lowest", "highest") if self.measure == "range" else ()))

    def check_privacy(self, *, private: bool) -> None:
        """Refuse exact sums where a run promises differential privacy.

        Raises:
            ConfigError: something would have to be asked of the rows.
        """
        if private and not self.schema.public:
            unknown = [f"column {column.name!r}" for column in self.schema.columns if not column.public]
            unknown += [] if self.schema.classes or self.schema.kind == "regression" else ["the classes"]
            unknown += ["the range"] if not self.schema.columns and self.schema.range is None else []
            unknown += ["the ranges of the targets"] if self.schema.targets and not self.schema.target_ranges else []
            raise ConfigError(
                "with differential privacy nothing is measured on the rows, for exact means, scales, categories and "
                f"classes are releases without noise; the job does not say: {', '.join(unknown[:4])}",
                hint="give the range of every numeric column, and categories and classes, as public knowledge",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "schema": self.schema.to_dict(),
            "fill": self.fill,
            "standardise": self.standardise,
            "measure": self.measure,
        }

    @classmethod
    def from_dict(cls, value: object) -> Terms:
        """Parse and check.

        Raises:
            FormatError: no terms.
        """
        fields = check_header(value, FORMAT, VERSION)
        if set(fields) != {"format", "version", "schema", "fill", "standardise", "measure"}:
            raise FormatError(f"terms of an agreement with the fields {', '.join(sorted(fields))!r:.200}")
        try:
            return cls(
                schema=Schema.from_dict(fields["schema"]),
                fill=cast(Fill, fields["fill"]),
                standardise=cast(Standardise | None, fields["standardise"]),
                measure=cast(Measure, fields["measure"]),
            )
        except (ConfigError, TypeError) as exc:
            raise FormatError(f"damaged terms of an agreement: {exc}") from exc


def public_preprocessing(terms: Terms) -> Preprocessing:
    """What a job alone says, with nothing asked of any row: each number from 0 to 1 over its public range.

    Raises:
        ConfigError: the schema leaves something open.
    """
    terms.check_privacy(private=True)
    schema = terms.schema
    columns = tuple(
        agreed_column(column, column.categories, column.missing or "refuse", zeros=False) for column in schema.columns
    )
    task = agreed_task(schema, columns, schema.classes)
    offset, scale = np.zeros(()), np.ones(())
    fill = np.zeros(len(task.columns))
    if schema.columns:
        offset, scale = np.zeros(task.input_shape), np.ones(task.input_shape)
        first = 0
        for place, (column, agreed) in enumerate(zip(schema.columns, columns, strict=True)):
            if column.range is not None:
                low, high = column.range
                offset[first], scale[first] = low, high - low
                if task.columns and agreed.missing != "refuse":
                    fill[place] = low + (high - low) / 2
            first += len(agreed.elements)
        if terms.way == "none":
            offset, scale = np.zeros(()), np.ones(())
    elif schema.range is not None and terms.way != "none":
        offset, scale = np.asarray(schema.range[0]), np.asarray(schema.range[1] - schema.range[0])
    if not schema.target_ranges:
        return Preprocessing(task, offset, scale, fill)
    low, high = np.asarray(schema.target_ranges).T
    return Preprocessing(task, offset, scale, fill, target_offset=low, target_scale=high - low)
