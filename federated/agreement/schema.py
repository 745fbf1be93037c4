"""`Schema`: what the coordinator is told of the sites' data: names and kinds of columns, the shape of a row.

It is proposed in the job, or taken from what the sites say of themselves. What is in the rows is no part of it, unless
the job gives it as public knowledge: categories, ranges, classes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, prod
from typing import Any, Final, Literal, cast, get_args

from ...core import DataError, FormatError, canonical_json, check_header
from ...core.data import Column, Missing, Task
from ..errors import AgreementError

FORMAT: Final = "nasturtium.schema"
VERSION: Final = 1
MAX_COLUMNS: Final = 100_000
MAX_NAMES: Final = 10_000  # categories and classes of all columns together
MAX_NAME_BYTES: Final = 256  # of one category or class in UTF-8

Kind = Literal["classification", "regression"]
Modality = Literal["table", "sequence", "image"]
ColumnKind = Literal["numeric", "categorical"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaColumn:
    """A column of a table.

    Attributes:
        name: as in the sites' files.
        kind: numbers or categories.
        categories: where they are public; empty where the sites are to find them.
        range: (lowest, highest) of a numeric column where that is public.
        missing: what missing values are, where the job says it; None takes what the sites say: "indicate" if one of
            them does, else "fill" if one of them does.
    """

    name: str
    kind: ColumnKind
    categories: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    missing: Missing | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(ColumnKind):
            raise FormatError(f"column {self.name!r:.80}: expected a kind of numeric, categorical, got {self.kind!r}")
        if self.kind == "numeric" and self.categories:
            raise FormatError(f"column {self.name!r:.80}: a numeric column has no categories")
        if self.range is not None and (self.kind != "numeric" or not _is_range(self.range)):
            raise FormatError(f"column {self.name!r:.80}: expected a finite range (lowest, highest) of numbers")
        if self.missing is not None and self.missing not in get_args(Missing):
            raise FormatError(f"column {self.name!r:.80}: expected missing as one of {', '.join(get_args(Missing))}")
        check_names(f"column {self.name!r:.80}", self.categories)

    @property
    def public(self) -> bool:
        """True where nothing has to be asked of its values."""
        return self.range is not None if self.kind == "numeric" else bool(self.categories)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What rows are.

    Attributes:
        kind: what is learned.
        modality: what a row is.
        row_shape: of images (C, H, W) and sequences (length, features); for a table empty.
        columns: of a table, in the order of the network's inputs; empty for other rows.
        features: names of the elements of images and sequences in row-major order.
        classes: where they are public; empty where the sites are to find them, and for a regression.
        targets: names of the measurements of a regression.
        range: (lowest, highest) of all elements of images and sequences, where it is public.
        target_ranges: the same of each measurement of a regression.

    Raises:
        FormatError: the parts do not fit each other, or there are too many of them.
    """

    kind: Kind
    modality: Modality
    row_shape: tuple[int, ...] = ()
    columns: tuple[SchemaColumn, ...] = ()
    features: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    target_ranges: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or self.modality not in get_args(Modality):
            raise FormatError(f"a schema of kind {self.kind!r:.40} and modality {self.modality!r:.40}")
        table = self.modality == "table"
        axes = {"table": 0, "sequence": 2, "image": 3}[self.modality]
        if table != bool(self.columns) or len(self.row_shape) != axes or min(self.row_shape, default=1) < 1:
            raise FormatError(f"a {self.modality} with {len(self.columns)} columns and rows of shape {self.row_shape}")
        if len(self.columns) > MAX_COLUMNS or (not table and prod(self.row_shape) != len(self.features)):
            raise FormatError(f"a schema of {len(self.columns)} columns, {len(self.features)} names of elements")
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise FormatError(f"a column is listed twice: {Counter(names).most_common(1)[0][0]!r:.80}")
        if (self.kind == "regression") != bool(self.targets) or (self.targets and self.classes):
            raise FormatError(f"a {self.kind} with {len(self.classes)} classes and {len(self.targets)} targets")
        check_names("the classes", self.classes)
        ranges = [*([self.range] if self.range else []), *self.target_ranges]
        if not all(map(_is_range, ranges)) or len(self.target_ranges) not in {0, len(self.targets)}:
            raise FormatError("expected finite ranges (lowest, highest), one for every target")

    @classmethod
    def of(cls, task: Task) -> Schema:
        """What a site says of its data: nothing of what is in it."""
        if task.modality == "table":
            columns = tuple(SchemaColumn(name=column.name, kind=column.kind) for column in task.schema)
            return cls(kind=task.kind, modality="table", columns=columns, targets=task.targets)
        return cls(
            kind=task.kind,
            modality=task.modality,
            row_shape=task.row_shape,
            features=task.features,
            targets=task.targets,
        )

    @property
    def named(self) -> tuple[str, ...]:
        """The categorical columns whose categories the sites are to find; the last is "" where classes are too."""
        found = tuple(column.name for column in self.columns if column.kind == "categorical" and not column.categories)
        return (*found, "") if self.kind == "classification" and not self.classes else found

    @property
    def public(self) -> bool:
        """True where the job says all that would have to be asked of the rows."""
        ranges = all(column.public for column in self.columns) if self.columns else self.range is not None
        return ranges and bool(self.classes or self.target_ranges)

    def bare(self) -> Schema:
        """Without what is public of the values: what sites' own schemas can be compared with."""
        columns = tuple(SchemaColumn(name=column.name, kind=column.kind) for column in self.columns)
        return replace(self, columns=columns, classes=(), range=None, target_ranges=())

    def check(self, task: Task) -> None:
        """Check that a site's data is what this schema says. Its columns may stand in another order, and it may have
        more.

        Raises:
            AgreementError: names the first column that does not fit, and says why.
        """
        problems = self.problems(Schema.of(task))
        if problems:
            column, said = problems[0]
            more = f"; and {len(problems) - 1} more" if len(problems) > 1 else ""
            hint = "name and encode the columns as the other sites do" if column else None
            raise AgreementError(f"{said}{more}", hint=hint, column=column)

    def problems(self, said: Schema) -> list[tuple[str | None, str]]:
        """Every way in which data of another schema does not fit this one: the column, if it is one, and in words."""
        if said.kind != self.kind:
            return [(None, f"the data is for a {said.kind}, expected a {self.kind}")]
        if said.modality != self.modality or said.row_shape != self.row_shape:
            got, expected = (_described(each) for each in (said, self))
            return [(None, f"the rows are {got}, expected {expected}")]
        if set(said.targets) != set(self.targets):
            return [(None, f"the targets are {', '.join(said.targets)}, expected {', '.join(self.targets)}")]
        kinds: dict[str, ColumnKind] = {column.name: column.kind for column in said.columns}
        found: list[tuple[str | None, str]] = []
        for column in self.columns:
            kind = kinds.get(column.name)
            if kind is None:
                found.append((column.name, f"column {column.name!r} is missing"))
            elif kind != column.kind:
                found.append((column.name, f"column {column.name!r} is {_words(kind)}, expected {_words(column.kind)}"))
        return found

    @property
    def sha256(self) -> str:
        """Names the schema, as hex."""
        return hashlib.sha256(canonical_json(self.to_dict()).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values. What is empty is left out."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "modality": self.modality,
        }
        for name in ("row_shape", "features", "classes", "targets"):
            if getattr(self, name):
                document[name] = list(getattr(self, name))
        if self.columns:
            document["columns"] = [_column_to_dict(column) for column in self.columns]
        if self.range is not None:
            document["range"] = list(self.range)
        if self.target_ranges:
            document["target_ranges"] = [list(each) for each in self.target_ranges]
        return document

    @classmethod
    def from_dict(cls, value: object) -> Schema:
        """Parse and check.

        Raises:
            FormatError: not a schema.
        """
        fields = check_header(value, FORMAT, VERSION)
        known = {"format", "version", "columns", *(name for name in cls.__dataclass_fields__)}
        if strange := set(fields) - known:
            raise FormatError(f"a schema has no {min(strange)!r:.40}")
        shape = _list(fields.get("row_shape", []))
        if not all(type(length) is int for length in shape):
            raise FormatError(f"expected a row_shape of whole numbers, got {shape!r:.80}")
        return cls(
            kind=cast(Kind, fields.get("kind")),
            modality=cast(Modality, fields.get("modality")),
            row_shape=tuple(cast(list[int], shape)),
            columns=tuple(_column_from_dict(each) for each in _list(fields.get("columns", []))),
            features=_texts(fields.get("features", [])),
            classes=_texts(fields.get("classes", [])),
            targets=_texts(fields.get("targets", [])),
            range=None if fields.get("range") is None else _pair(fields["range"]),
            target_ranges=tuple(_pair(each) for each in _list(fields.get("target_ranges", []))),
        )


def merge_schemas(said: Mapping[str, Schema]) -> tuple[Schema, dict[str, str]]:
    """One schema from what all sites said, where the job proposes none.

    The kind, the shape and the targets are what most sites have; a column is in it if more than half of them have it,
    as what most of these say.

    Args:
        said: by the site's name.

    Returns:
        The schema, and for each site that it does not fit why, in words.

    Raises:
        AgreementError: there is nothing most sites have in common.
    """
    frames = Counter(_frame(schema) for schema in said.values())
    frame, count = frames.most_common(1)[0] if frames else (None, 0)
    if 2 * count <= len(said):
        raise AgreementError("the sites' data has no kind and shape that more than half of them share")
    alike = [schema.bare() for schema in said.values() if _frame(schema) == frame]
    # What most say word for word gives the order; of several the first by its text, for it must not matter who came
    # first.
    first = max(sorted(alike, key=lambda schema: schema.sha256), key=alike.count)
    if first.modality == "table":
        kinds: dict[str, Counter[ColumnKind]] = {}
        for schema in alike:
            for column in schema.columns:
                kinds.setdefault(column.name, Counter())[column.kind] += 1
        order = {column.name: place for place, column in enumerate(first.columns)}
        columns = tuple(
            SchemaColumn(name=name, kind=max(sorted(votes), key=lambda kind: votes[kind]))
            for name, votes in sorted(kinds.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))
            if 2 * votes.total() > len(said)
        )
        if not columns:
            raise AgreementError("the sites' tables have no column that more than half of them share")
        first = replace(first, columns=columns)
    problems = {site: first.problems(schema) for site, schema in said.items()}
    return first, {site: "; ".join(text for _, text in found) for site, found in problems.items() if found}


def check_names(what: str, names: Sequence[str]) -> None:
    """Refuse names of categories or classes that are listed twice, too many or too long.

    Raises:
        FormatError: says which.
    """
    if len(names) > MAX_NAMES:
        raise FormatError(f"{what}: {len(names)} names, expected at most {MAX_NAMES}")
    if len(set(names)) != len(names):
        raise FormatError(f"{what}: {Counter(names).most_common(1)[0][0]!r:.80} is listed twice")
    for name in names:
        name_bytes(what, name)


def name_bytes(what: str, name: str) -> bytes:
    """A name as UTF-8.

    Raises:
        FormatError: it is too long, or no text.
    """
    try:
        data = name.encode()
    except UnicodeEncodeError as exc:
        raise FormatError(f"{what}: {name!r:.80} is not Unicode text") from exc
    if len(data) > MAX_NAME_BYTES:
        raise FormatError(
            f"{what}: a name has {len(data)} bytes, expected at most {MAX_NAME_BYTES}: {name[:40]!r}...",
            hint="leave out columns of free text, or give the categories shorter names",
        )
    return data


def sort_names(names: Sequence[str]) -> tuple[str, ...]:
    """The canonical order: by size if all are numbers as `core` writes them, else by code points."""
    numbers = [_number(name) for name in names]
    if names and all(isfinite(number) for number in numbers):
        return tuple(name for _, name in sorted(zip(numbers, names, strict=True)))
    return tuple(sorted(names))


def agreed_column(column: SchemaColumn, categories: tuple[str, ...], missing: Missing, zeros: bool) -> Column:
    """A column of the agreed task."""
    return Column(
        name=column.name,
        kind=column.kind,
        categories=categories,
        missing=missing,
        unknown="zeros" if zeros else "refuse",
    )


def agreed_task(schema: Schema, columns: tuple[Column, ...], classes: tuple[str, ...]) -> Task:
    """The task of a schema whose columns and classes are known.

    Raises:
        AgreementError: they make no task: one class only.
    """
    if schema.kind == "classification" and len(classes) < 2:
        raise AgreementError(
            f"nothing to learn: over all sites the target has {len(classes)} classes", hint="check the target column"
        )
    shape = schema.row_shape or (sum(len(column.elements) for column in columns),)
    features = tuple(column.name for column in columns) if schema.columns else schema.features
    try:
        return Task(
            input_shape=shape,
            features=features,
            classes=classes,
            kind=schema.kind,
            targets=schema.targets,
            columns=columns,
        )
    except DataError as exc:
        raise AgreementError(f"what the sites have makes no task: {exc.message}") from exc


def _frame(schema: Schema) -> tuple[object, ...]:
    return schema.kind, schema.modality, schema.row_shape, tuple(sorted(schema.targets))


def _number(name: str) -> float:
    """The number whose canonical text a name is; infinity for any other text."""
    try:
        value = float(name)
    except ValueError:
        return inf
    text = str(int(value)) if isfinite(value) and value.is_integer() else str(value)
    return value if text == name else inf


def _described(schema: Schema) -> str:
    if schema.modality == "table":
        return "of a table"
    return f"{schema.modality}s of shape {schema.row_shape}"


def _words(kind: ColumnKind) -> str:
    return "of numbers" if kind == "numeric" else "of categories"


def _is_range(value: tuple[float, float]) -> bool:
    return len(value) == 2 and all(map(isfinite, value)) and value[0] < value[1] and isfinite(value[1] - value[0])


def _column_to_dict(column: SchemaColumn) -> dict[str, Any]:
    document: dict[str, Any] = {"name": column.name, "kind": column.kind}
    if column.categories:
        document["categories"] = list(column.categories)
    if column.range is not None:
        document["range"] = list(column.range)
    if column.missing is not None:
        document["missing"] = column.missing
    return document


def _column_from_dict(value: object) -> SchemaColumn:
    if not isinstance(value, dict):
        raise FormatError(f"expected a column as an object, got {type(value).__name__}")
    fields = cast(dict[str, Any], value)
    if strange := set(fields) - set(SchemaColumn.__dataclass_fields__):
        raise FormatError(f"a column of a schema has no {min(strange)!r:.40}")
    name = fields.get("name")
    if not isinstance(name, str):
        raise FormatError(f"expected the name of a column as text, got {name!r:.80}")
    return SchemaColumn(
        name=name,
        kind=cast(ColumnKind, fields.get("kind", "numeric")),
        categories=_texts(fields.get("categories", [])),
        range=None if fields.get("range") is None else _pair(fields["range"]),
        missing=cast(Missing | None, fields.get("missing")),
    )


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise FormatError(f"expected a list, got {type(value).__name__}")
    return cast(list[object], value)


def _texts(value: object) -> tuple[str, ...]:
    items = _list(value)
    if not all(isinstance(item, str) for item in items):
        raise FormatError("expected a list of texts")
    return tuple(cast(list[str], items))


def _pair(value: object) -> tuple[float, float]:
    items = _list(value)
    if len(items) != 2 or not all(type(item) in {int, float} for item in items):
        raise FormatError(f"expected a range [lowest, highest], got {value!r:.80}")
    try:
        low, high = (float(cast(float, item)) for item in items)
    except OverflowError as exc:
        raise FormatError(f"expected a finite range, got {value!r:.80}") from exc
    return low, high
