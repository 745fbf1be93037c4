"""Tables as a source: which columns are inputs, which one is the target, and which only stay with the rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ConfigError, DataError
from .assemble import from_columns, input_names, read_table_rows, read_target
from .cells import listed
from .columns import RawColumn
from .dataset import Dataset
from .source import LoadOptions, Source
from .task import Task

SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".parquet", ".pq"})


def _load(path: Path, target: str | None, options: LoadOptions) -> Dataset:
    from .table import read_table  # polars takes longer to import than all of core

    known = options.task.features if options.task else ()
    table = read_table(path, known=known, text=options.categorical if options.task is None else _texts(options.task))
    if target is None or target not in table.names:
        said = "no target column was named" if target is None else f"there is no column {target!r}"
        raise ConfigError(
            f"{path}: {said}; its columns are {listed(table.names)}", hint="name one, in a shell with --target COLUMN"
        )
    read = read_target([table.column(target)], options)
    inputs = input_names(str(path), table.names, options, target)
    if "" in inputs:
        raise DataError(
            f"{path}: column {table.names.index('') + 1} has no name",
            hint="name it; pandas leaves its row numbers out with to_csv(index=False)",
        )
    extra = {name: table.column(name).kept() for name in options.keep}
    return from_columns(path.name, [table.column(name) for name in inputs], read, options, extra)


def _read_rows(path: Path, task: Task) -> np.ndarray:
    from .table import read_table  # see _load

    table = read_table(path, known=task.features, text=_texts(task))
    if not table.named and len(table.names) == len(task.features) and not set(task.features) <= set(table.names):
        # Without names the position counts, and only now is it known which columns are text.
        position = dict(zip(task.features, table.names, strict=True))
        table = read_table(path, text=[position[name] for name in _texts(task)])
        columns = [
            RawColumn(raw.source, feature, raw.values, raw.rows, raw.foreign)
            for feature, raw in zip(task.features, map(table.column, table.names), strict=True)
        ]
    else:
        columns = [table.column(name) for name in table.names if name in task.features]
    return read_table_rows(str(path), columns, task)


def _texts(task: Task) -> list[str]:
    return [column.name for column in task.columns if column.categories]


SOURCE = Source(
    summary="a .csv, .tsv, .txt or .parquet table",
    matches=lambda path: path.suffix.lower() in SUFFIXES and not path.is_dir(),
    load=_load,
    read_rows=_read_rows,
)
