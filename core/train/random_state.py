"""The state of random generators as JSON values: those of a trainer and of a model's layers."""

from __future__ import annotations

from collections.abc import Generator
from copy import deepcopy
from typing import Any, cast

import numpy as np

from ..errors import FormatError
from ..nn.module import Module


def model_generators(model: Module, prefix: str = "") -> Generator[tuple[str, np.random.Generator]]:
    """The generators that modules hold as attributes, such as those of dropout, with dotted names."""
    for name, value in vars(model).items():
        if isinstance(value, np.random.Generator):
            yield prefix + name, value
    for name, child in model.children():
        yield from model_generators(child, f"{prefix}{name}.")


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """Where a generator stands: the state of its bit generator, arrays as `{"dtype": ..., "values": [...]}`."""
    return _to_json(rng.bit_generator.state)


def parsed_state(rng: np.random.Generator, value: object) -> dict[str, Any]:
    """What `rng.bit_generator.state` may be set to, from the result of `generator_state`; `rng` stays as it is.

    Raises:
        FormatError: not the state of a generator of this kind.
    """
    trial = deepcopy(rng.bit_generator)
    try:
        state = _from_json(value)
        trial.state = state
    except (ValueError, TypeError, KeyError, OverflowError, IndexError) as exc:
        kind = type(trial).__name__
        raise FormatError(f"expected the state of a {kind} generator, got something else: {exc}") from exc
    return state


def _to_json(value: object) -> Any:
    if isinstance(value, np.ndarray):
        array = cast("np.ndarray[Any, np.dtype[Any]]", value)
        return {"dtype": array.dtype.name, "values": array.tolist()}
    if isinstance(value, dict):
        return {name: _to_json(item) for name, item in cast(dict[str, Any], value).items()}
    return cast(Any, value).item() if isinstance(value, np.generic) else value


def _from_json(value: object) -> Any:
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        if fields.keys() == {"dtype", "values"}:
            return np.array(fields["values"], fields["dtype"])
        return {name: _from_json(item) for name, item in fields.items()}
    return value
