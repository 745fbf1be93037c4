"""What a site's configuration says of its data becomes rows: read, checked, and split into parts of which one stays.

`SiteData.schema` is all that may be told of it: names and kinds of columns, the shape of a row; see `agreement.Schema`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from ...core import ConfigError, DataError, NasturtiumError, derive_rng
from ...core.data import (
    CellError,
    Column,
    Dataset,
    LoadOptions,
    Task,
    dataset_from_arrays,
    load_dataset,
    load_inputs,
    random_split,
    stratified_split,
)
from ..agreement import Schema
from ..errors import AgreementError
from .config import SUFFIXES, DataConfig, SplitConfig
from .sql_source import read_query

logger = logging.getLogger(__name__)

_OTHERS: Final = Task(input_shape=(1,), features=("row",), classes=("a", "b"))


@dataclass(frozen=True, slots=True)
class SiteData:
    """The rows of a site, in parts.

    Attributes:
        train: rows it learns from.
        validation: rows it measures on in each round.
        test: rows no round sees: the site reports on them to itself; None where the split makes none.
    """

    train: Dataset
    validation: Dataset
    test: Dataset | None

    @property
    def task(self) -> Task:
        """As the site itself sees it; a federation agrees on one."""
        return self.train.task

    @property
    def rows(self) -> int:
        """Of all parts."""
        return sum(len(part) for part in (self.train, self.validation, self.test) if part is not None)

    @property
    def schema(self) -> Schema:
        """What may be told of it."""
        return Schema.of(self.task)


def load_site_data(data: DataConfig, split: SplitConfig) -> SiteData:
    """Read and split.

    Raises:
        ConfigError: no such file, no such column, or no query.
        DataError: the content cannot be learned from; the message names the place.
        CellError: one value cannot be used. Its text has the value in it: it is for the site's operator alone.
        MissingExtraError: what reads such a source is not installed.
        PrivacyError: the file of a password cannot be used.
    """
    return split_rows(load_source(data), split)


def load_source(config: DataConfig) -> Dataset:
    """All rows.

    Raises:
        ConfigError, DataError, MissingExtraError, PrivacyError: as `load_site_data`.
    """
    options = LoadOptions(
        kind=config.task,
        categorical=tuple(name for name, kind in config.columns.items() if kind == "categorical"),
        ignore=config.ignore,
        only=tuple(config.columns),
        classes=config.classes,
        missing=config.missing,
        image_size=config.image_size,
    )
    dataset = _load_query(config, options) if config.kind == "sql" else _load_path(config, options)
    kinds = {column.name: column.kind for column in dataset.task.schema}
    for name, kind in config.columns.items():
        if kind == "numeric" and kinds[name] != "numeric":
            raise DataError(
                f"[data] columns: {name!r} is said to be numeric, and most of its values are text",
                hint="correct the values, or call it categorical",
            )
    return dataset


def split_rows(data: Dataset, split: SplitConfig) -> SiteData:
    """The parts, the same at every start: they depend on the seed, the classes and the number of rows alone.

    Raises:
        DataError: there are fewer rows than parts.
    """
    fractions = [1 - split.validation - split.test, split.validation, *([split.test] if split.test else [])]
    rng = derive_rng(split.seed, "split")
    rows = np.arange(len(data), dtype=np.float64)[:, None]
    labels, classes = np.zeros(len(data), np.int64), 0
    if split.stratified and data.task.kind == "classification":
        # A class with fewer rows than parts cannot be in each: its rows go with those of the first that can.
        frequent = np.flatnonzero(np.bincount(data.labels, minlength=len(data.task.classes)) >= len(fractions))
        classes = len(frequent)
        labels = np.where(np.isin(data.labels, frequent), np.searchsorted(frequent, data.labels), 0)
    if classes >= 2:
        task = replace(_OTHERS, classes=tuple(map(str, range(classes))))
        parts = stratified_split(Dataset(data.name, rows, labels, task), fractions, rng)
    else:
        parts = random_split(Dataset(data.name, rows, np.zeros_like(labels), _OTHERS), fractions, rng)
    train, validation, *rest = (data.take(part.inputs[:, 0].astype(np.int64)) for part in parts)
    return SiteData(train, validation, rest[0] if rest else None)


def explain_difference(schema: Schema, config: DataConfig, data: SiteData) -> tuple[str, ...]:
    """Why a site's data does not fit a federation's schema, for its operator: column by column, and where it begins.

    No value is in it: a message with one would be copied into tickets.

    Args:
        schema: of the federation.
        config: the source.
        data: what was read of it.

    Returns:
        A sentence for each problem; none if it fits.
    """
    found: list[str] = []
    kinds = {column.name: column.kind for column in schema.columns}
    for column, said in schema.problems(data.schema):
        if column is None or kinds.get(column) != "numeric" or "is missing" in said:
            more = " in this site's data" if column is not None and "is missing" in said else ""
            found.append(f"{said}{more}")
            continue
        row = _first_text(config, column)
        place = f" at row {row}" if row is not None else ""
        found.append(f"column {column!r}: the federation has numbers, this site's data has text{place}")
    return tuple(found)


def check_schema(schema: Schema, config: DataConfig, data: SiteData) -> None:
    """Refuse a federation whose schema the site's data does not fit.

    Raises:
        AgreementError: every problem, in words.
    """
    if problems := explain_difference(schema, config, data):
        column = next((name for name, _ in schema.problems(data.schema)), None)
        raise AgreementError(
            "; ".join(problems), hint="name and encode the columns as the other sites do", column=column
        )


def _load_path(config: DataConfig, options: LoadOptions) -> Dataset:
    path = config.path
    assert path is not None
    if config.kind == "images":
        if not _is(path, folder=True):
            raise ConfigError(f"[data] path: expected a folder of images, got {path}", hint="check the path")
        return load_dataset(str(path), None, options)
    if not _is(path, folder=False):
        raise ConfigError(f"[data] path: no such file: {path}", hint="check the path")
    assert path.suffix.lower() in SUFFIXES[config.kind]
    return load_dataset(str(path), config.target, options)


def _load_query(config: DataConfig, options: LoadOptions) -> Dataset:
    table = read_query(config)
    target = config.target
    assert target is not None
    if target not in table.names:
        raise ConfigError(f"[data] target: {table.source} has no column {target!r}; it has {', '.join(table.names)}")
    place = table.names.index(target)
    return dataset_from_arrays(
        np.delete(table.cells, place, axis=1),
        table.cells[:, place],
        options,
        name="query",
        features=[name for name in table.names if name != target],
        target_names=[target] if config.task == "regression" else None,
        source=table.source,
    )


def _first_text(config: DataConfig, column: str) -> int | None:
    """The row in which a column of numbers has text, counted from 1; None where it cannot be said."""
    try:
        if config.kind == "sql":
            table = read_query(config)
            cells = table.cells[:, table.names.index(column)].tolist()
            return next((row for row, cell in enumerate(cells, 1) if isinstance(cell, str)), None)
        numbers = Column(name=column, missing="fill")
        task = Task(input_shape=(1,), features=(column,), classes=_OTHERS.classes, columns=(numbers,))
        load_inputs(str(config.path), task)
    except CellError as exc:
        return exc.row
    except NasturtiumError:
        logger.warning("where column %r begins to be text cannot be said", column)
    return None


def _is(path: Path, *, folder: bool) -> bool:
    """Whether a path is what a source needs; a link that leads nowhere, or round in circles, is not."""
    try:
        return path.is_dir() if folder else path.is_file()
    except (OSError, ValueError) as exc:
        raise ConfigError(f"[data] path: cannot look at {str(path)[:80]!r}: {exc.args[-1]}") from exc
