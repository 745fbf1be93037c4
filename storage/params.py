"""Parameters of a run as rows to ask by: nested values flattened to names with dots, one scalar each."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from ..core import ConfigError
from .models import MAX_PARAM_LETTERS
from .names import check_name

Scalar = str | int | float | bool
_LARGEST = sys.float_info.max


def flatten_params(mapping: Mapping[str, Any]) -> dict[str, Scalar]:
    """The scalars in `mapping`, whose dicts and lists become names with dots, as "hidden.0.width".

    Left out are None, texts longer than `MAX_PARAM_LETTERS`, and what has no name that can be asked by; see
    `check_name`. A number that is no finite float64 becomes a text, such as "NaN". What no text of PostgreSQL holds,
    NUL and halves of surrogate pairs, is replaced.
    """
    params: dict[str, Scalar] = {}

    def add(name: str, value: object) -> None:
        match value:
            case Mapping():
                for key, item in cast("Mapping[object, object]", value).items():
                    add(f"{name}.{key}" if name else str(key), item)
            case list() | tuple():
                for index, item in enumerate(cast("Sequence[object]", value)):
                    add(f"{name}.{index}" if name else str(index), item)
            case bool():
                put(name, value)
            case int() | float():
                put(name, value if -_LARGEST <= value <= _LARGEST else json.dumps(value))
            case str():
                put(name, storable(value))
            case _:
                pass

    def put(name: str, value: Scalar) -> None:
        if len(param_row(value)["text"]) <= MAX_PARAM_LETTERS:
            with suppress(ConfigError):
                check_name(name)
                params[name] = value

    add("", mapping)
    return params


def param_row(value: Scalar) -> dict[str, Any]:
    """The columns `text`, `number` and `is_text` of a value of `flatten_params`."""
    if isinstance(value, str):
        return {"text": value, "number": None, "is_text": True}
    return {"text": json.dumps(value), "number": float(value), "is_text": False}


def storable(text: str) -> str:
    """A text as both databases take it: PostgreSQL takes no NUL, and no driver takes half of a surrogate pair."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
