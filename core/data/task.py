"""`Task` and `Column`: what there is to learn, and the schema of the rows it is learned from."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, cast, get_args

from ..errors import DataError, FormatError

Kind = Literal["classification", "regression"]
Modality = Literal["table", "sequence", "image"]
ColumnKind = Literal["numeric", "categorical"]
Missing = Literal["refuse", "fill", "indicate"]
Unknown = Literal["refuse", "zeros"]

_MODALITIES: tuple[Modality, ...] = ("table", "sequence", "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table: what its values are, and how many elements of a network's input they become.

    In the rows of a `Dataset` a numeric column holds its numbers and a categorical one the index of the category;
    NaN is a missing value and -1 a category that is not in the list.

    Attributes:
        name: as in the file.
        kind: "numeric" becomes one element; "categorical" one for every category (one-hot).
        categories: of a categorical column, in order, at least one.
        missing: "refuse" makes a missing value an error; "fill" puts the value measured on training rows in its place;
            "indicate" does so for numbers, leaves all categories at zero, and adds an element that is 1 where the
            value was missing.
        unknown: what a category that is not in the list is: an error, or zero for all categories.
    """

    name: str
    kind: ColumnKind = "numeric"
    categories: tuple[str, ...] = ()
    missing: Missing = "refuse"
    unknown: Unknown = "refuse"

    def __post_init__(self) -> None:
        for value, allowed in ((self.kind, ColumnKind), (self.missing, Missing), (self.unknown, Unknown)):
            if value not in get_args(allowed):
                raise DataError(f"column {self.name!r}: expected one of {', '.join(get_args(allowed))}, got {value!r}")
        if (self.kind == "categorical") != bool(self.categories):
            raise DataError(f"column {self.name!r}: a {self.kind} column has {len(self.categories)} categories")
        if len(set(self.categories)) != len(self.categories):
            raise DataError(f"column {self.name!r}: a category is listed twice")

    @property
    def plain(self) -> bool:
        """True for complete numbers: such a column is an element of the input as it is."""
        return self.kind == "numeric" and self.missing == "refuse"

    @property
    def elements(self) -> tuple[str, ...]:
        """The names of the input elements this column becomes."""
        names = tuple(f"{self.name}={value}" for value in self.categories) or (self.name,)
        return (*names, f"{self.name} is missing") if self.missing == "indicate" else names

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "categories": list(self.categories),
            "missing": self.missing,
            "unknown": self.unknown,
        }

    @classmethod
    def from_dict(cls, value: object) -> Column:
        """Parse and check.

        Raises:
            FormatError: not a column.
        """
        fields = _object(value, "column")
        try:
            return cls(
                name=_text(fields.get("name")),
                kind=cast(ColumnKind, _text(fields.get("kind"))),
                categories=_texts(fields.get("categories")),
                missing=cast(Missing, _text(fields.get("missing"))),
                unknown=cast(Unknown, _text(fields.get("unknown"))),
            )
        except DataError as exc:
            raise FormatError(f"damaged column: {exc.message}") from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What there is to learn: the shape of a row, and the classes to tell apart or the measurements to predict.

    Attributes:
        input_shape: what a network receives for one row: (elements,) for a table, (length, features) for a sequence,
            (C, H, W) for an image.
        features: the names of a row's values in row-major order. For a table with `columns`, its columns.
        classes: class names; a label is an index into them. Empty for a regression.
        kind: "classification" or "regression".
        targets: the names of the measurements of a regression.
        columns: the columns of a table of which some are not complete numbers; empty where all are. They become
            `input_shape[0]` elements: see `Preprocessing`.

    Raises:
        DataError: the parts do not fit each other.
    """

    input_shape: tuple[int, ...]
    features: tuple[str, ...]
    classes: tuple[str, ...] = ()
    # The fields below are not part of the text that fingerprints are made of: see `Dataset.fingerprint`.
    kind: Kind = "classification"
    targets: tuple[str, ...] = ()
    columns: tuple[Column, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise DataError(f"expected a kind of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if not 1 <= len(self.input_shape) <= len(_MODALITIES) or min(self.input_shape) < 1:
            raise DataError(
                f"expected rows of shape (features,), (length, features) or (C, H, W), got {self.input_shape}"
            )
        if (self.kind == "regression") != bool(self.targets) or (self.targets and self.classes):
            raise DataError(f"a {self.kind} with {len(self.classes)} classes and {len(self.targets)} targets")
        if all(column.plain for column in self.columns):
            object.__setattr__(self, "columns", ())  # one form for equal tasks
        elements = (sum(len(column.elements) for column in self.columns),) if self.columns else self.input_shape
        if elements != self.input_shape:
            raise DataError(f"the columns become {elements[0]} elements, expected an input of {self.input_shape}")
        names = tuple(column.name for column in self.columns) if self.columns else self.features
        if names != self.features or len(self.features) != prod(self.row_shape):
            raise DataError(f"the names of {len(self.features)} features do not fit rows of shape {self.row_shape}")

    @property
    def is_image(self) -> bool:
        """True for (C, H, W) rows."""
        return self.modality == "image"

    @property
    def modality(self) -> Modality:
        """What a row is, by the number of its axes."""
        return _MODALITIES[len(self.input_shape) - 1]

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of a raw row: `input_shape`, but for a table with `columns` one value per column."""
        return (len(self.columns),) if self.columns else self.input_shape

    @property
    def outputs(self) -> int:
        """What a network gives for one row: a logit per class, or a number per target."""
        return len(self.classes) or len(self.targets)

    @property
    def schema(self) -> tuple[Column, ...]:
        """Every column of a table; nothing for images and sequences."""
        if self.modality != "table":
            return ()
        return self.columns or tuple(Column(name=name) for name in self.features)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values. What a task of complete numbers and classes does not use is left out."""
        document: dict[str, Any] = {
            "input_shape": list(self.input_shape),
            "features": list(self.features),
            "classes": list(self.classes),
        }
        if self.kind != "classification":
            document |= {"kind": self.kind, "targets": list(self.targets)}
        if self.columns:
            document["columns"] = [column.to_dict() for column in self.columns]
        return document

    @classmethod
    def from_dict(cls, value: object) -> Task:
        """Parse and check.

        Raises:
            FormatError: not a task.
        """
        fields = _object(value, "task")
        shape = fields.get("input_shape")
        if not isinstance(shape, list) or not all(type(length) is int for length in cast(list[object], shape)):
            raise FormatError(f"damaged task: expected 'input_shape' as a list of integers, got {shape!r}")
        columns = fields.get("columns", [])
        if not isinstance(columns, list):
            raise FormatError(f"damaged task: expected 'columns' as a list, got {type(columns).__name__}")
        try:
            return cls(
                input_shape=tuple(cast(list[int], shape)),
                features=_texts(fields.get("features")),
                classes=_texts(fields.get("classes")),
                kind=cast(Kind, _text(fields.get("kind", "classification"))),
                targets=_texts(fields.get("targets", [])),
                columns=tuple(Column.from_dict(column) for column in cast(list[object], columns)),
            )
        except DataError as exc:
            raise FormatError(f"damaged task: {exc.message}") from exc


def _object(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise FormatError(f"damaged {what}: expected an object, got {type(value).__name__}")
    return cast(dict[str, object], value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise FormatError(f"expected a text, got {value!r}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise FormatError(f"expected a list of texts, got {type(value).__name__}")
    return tuple(_text(item) for item in cast(list[object], value))
