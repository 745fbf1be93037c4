"""`nasturtium predict`: a saved model on new rows."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ..core import SavedModel
from .options import Db, FormatOption, Json, argument, chosen
from .output import Format, print_rows


def predict(
    model: Annotated[str, argument()],
    rows: Annotated[str, argument()],
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Predict every row of a file: its class, or the measurements in their own units; the model applies its own
    preprocessing.

    MODEL is a run (@best, @last, a number, a ULID) or a path to a model folder.
    ROWS is a .csv, .tsv, .parquet or .npz file with the columns of the training data, in any order.
    """
    from ..core.data import load_inputs
    from . import library

    saved = library.load_run_model(model, db=db)
    inputs = load_inputs(rows, saved.preprocessing.task)
    form = chosen(fmt, as_json=as_json)
    if saved.preprocessing.task.kind == "regression":
        _print_measurements(saved, inputs, form)
    else:
        _print_classes(saved, inputs, form)


def _print_classes(saved: SavedModel, inputs: np.ndarray, form: Format) -> None:
    classes = saved.preprocessing.task.classes
    table = [
        {"row": number + 1, "prediction": classes[int(row.argmax())], "probability": round(float(row.max()), 6)}
        for number, row in enumerate(saved.predict_probabilities(inputs))
    ]
    print_rows(table, {name: name for name in ("row", "prediction", "probability")}, form)


def _print_measurements(saved: SavedModel, inputs: np.ndarray, form: Format) -> None:
    """One target is a column "prediction"; of several, each has its own, and JSON has them in an object."""
    targets = saved.preprocessing.task.targets
    predicted = [[float(f"{value:.7g}") for value in row] for row in np.asarray(saved.predict(inputs))]
    if len(targets) == 1:
        table: list[dict[str, Any]] = [{"row": i + 1, "prediction": value} for i, [value] in enumerate(predicted)]
    else:
        named = [dict(zip(targets, values, strict=True)) for values in predicted]
        table = [{"row": i + 1, "prediction": values} for i, values in enumerate(named)]
        if form not in {Format.JSON, Format.NDJSON}:
            table = [{"row": row["row"], **row["prediction"]} for row in table]
    columns = list(table[0]) if table else ["row", "prediction"]
    print_rows(table, {name: name for name in columns}, form)
