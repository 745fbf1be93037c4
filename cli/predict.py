"""`nasturtium predict`: a saved model on new rows."""

from __future__ import annotations

from typing import Annotated

from .options import Db, FormatOption, Json, argument, chosen
from .output import Format, print_rows


def predict(
    model: Annotated[str, argument()],
    rows: Annotated[str, argument()],
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Predict the class of every row of a file; the model applies its own preprocessing.

    MODEL is a run (@best, @last, a number, a ULID) or a path to a model folder.
    ROWS is a .csv, .tsv, .parquet or .npz file with the columns of the training data, in any order.
    """
    from ..core.data import load_inputs
    from . import library

    saved = library.load_run_model(model, db=db)
    task = saved.preprocessing.task
    probabilities = saved.predict_probabilities(load_inputs(rows, task))
    table = [
        {"row": number + 1, "prediction": task.classes[int(row.argmax())], "probability": round(float(row.max()), 6)}
        for number, row in enumerate(probabilities)
    ]
    columns = {"row": "row", "prediction": "prediction", "probability": "probability"}
    print_rows(table, columns, chosen(fmt, as_json=as_json))
