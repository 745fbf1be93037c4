"""`AdapterSpec`: how a plan names a model that is not a network of the core.

    {"format": "nasturtium.adapter", "version": 1, "name": "my-net", "options": {"hidden": 32}, "tensors": [...]}

It is data: a name under which each site has code of its owner's, options that this code checks, and the names and
shapes of the model's tensors. By these the coordinator, which needs none of that code, knows how long updates are; a
site whose own code makes other tensors does not take part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, cast

from ...core import ConfigError, FormatError, ModelSpec, build, canonical_json, check_header, derive_rng, parse_json
from ..updates.model_tensors import ModelTensor, ModelTensors, TensorKind

FORMAT: Final = "nasturtium.adapter"
VERSION: Final = 1
# Bounds on what a message can make a site allocate, far above any model that is trained this way.
_MOST_TENSORS: Final = 10_000
_MOST_AXES: Final = 8
_MOST_ELEMENTS: Final = 2**31
_MOST_OPTIONS: Final = 64
_MOST_VALUES: Final = 10_000  # of one option
_LONGEST: Final = 256  # letters of a text
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DTYPES: Final = ("float32", "int64")
_TENSOR_FIELDS: Final = ("name", "shape", "kind", "dtype", "normalises", "first_range")

OptionValue = bool | int | float | str | tuple[bool | int | float | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSpec:
    """A model by the name under which sites have it.

    Attributes:
        name: letters, digits, ".", "_" and "-".
        options: numbers, texts and lists of these, by name.
        tensors: of the model, as these options and the data make it.

    Raises:
        ConfigError: out of bounds.
    """

    name: str
    options: Mapping[str, OptionValue] = field(default_factory=dict[str, OptionValue])
    tensors: ModelTensors

    def __post_init__(self) -> None:
        check_model_name(self.name)
        options = {name: _checked(name, value) for name, value in self.options.items()}
        if len(options) > _MOST_OPTIONS:
            raise ConfigError(f"expected at most {_MOST_OPTIONS} options, got {len(options)}")
        object.__setattr__(self, "options", options)
        tensors = self.tensors.tensors
        if not 1 <= len(tensors) <= _MOST_TENSORS or sum(each.size for each in tensors) > _MOST_ELEMENTS:
            raise ConfigError(f"expected 1 to {_MOST_TENSORS} tensors of at most {_MOST_ELEMENTS} elements in all")
        for each in tensors:
            travels = each.kind != "local"
            if each.dtype not in _DTYPES or (travels and each.dtype != "float32"):
                raise ConfigError(f"{each.name}: expected float32, or int64 where it is local, got {each.dtype:.40}")

    @property
    def parameters(self) -> int:
        """Elements of all parameters."""
        return self.tensors.parameters

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "options": {name: list(each) if isinstance(each, tuple) else each for name, each in self.options.items()},
            "tensors": [
                {name: list(each.shape) if name == "shape" else getattr(each, name) for name in _TENSOR_FIELDS}
                for each in self.tensors.tensors
            ],
        }

    def to_json(self) -> str:
        """Canonical JSON: the text that a `RoundPlan` carries."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, value: object) -> AdapterSpec:
        """Parse and check one.

        Raises:
            FormatError: not of this format.
            ConfigError: out of bounds.
        """
        document = check_header(value, FORMAT, VERSION)
        if set(document) != {"format", "version", "name", "options", "tensors"}:
            raise FormatError("a model by name: expected format, version, name, options and tensors")
        name, options, tensors = document["name"], document["options"], document["tensors"]
        if not isinstance(name, str) or not isinstance(options, dict) or not isinstance(tensors, list):
            raise FormatError("a model by name: expected a text, an object and a list as name, options and tensors")
        if len(cast(list[object], tensors)) > _MOST_TENSORS:
            raise FormatError(f"a model by name: expected at most {_MOST_TENSORS} tensors")
        read = tuple(_read_tensor(each) for each in cast(list[object], tensors))
        return cls(name=name, options=cast(dict[str, Any], options), tensors=ModelTensors(read))


# What a federation trains: a network of the core, or a model that its owners have installed at the sites.
FederatedModel = ModelSpec | AdapterSpec


def read_model(text: str) -> FederatedModel:
    """The model of a plan.

    Raises:
        FormatError: damaged.
        ConfigError: out of bounds.
    """
    return model_from_dict(parse_json(text))


def model_from_dict(value: object) -> FederatedModel:
    """See `read_model`."""
    if isinstance(value, dict) and cast(dict[str, object], value).get("format") == FORMAT:
        return AdapterSpec.from_dict(cast(object, value))
    return ModelSpec.from_dict(cast(object, value))


def tensors_of(model: FederatedModel) -> ModelTensors:
    """What travels of a model, for those who need not have it."""
    if isinstance(model, AdapterSpec):
        return model.tensors
    return ModelTensors.of(build(model, derive_rng(0, "layout")))  # only names and shapes matter here


def update_elements(model: FederatedModel) -> int:
    """Numbers in an update in the clear: of the parameters of a network, of all that travels of another model."""
    if isinstance(model, AdapterSpec):
        return sum(each.size for each in model.tensors.tensors if each.kind != "local")
    return model.plan().parameters


def check_model_name(name: object) -> None:
    """Refuse what is no name of a model.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f'expected the name of a model: letters, digits, ".", "_" and "-", got {name!r:.80}')


def _checked(name: object, value: object) -> OptionValue:
    if not isinstance(name, str) or not name.isidentifier() or len(name) > _LONGEST:
        raise ConfigError(f"expected the name of an option, got {name!r:.80}")
    if isinstance(value, list | tuple):
        values = cast(list[object] | tuple[object, ...], value)
        if len(values) > _MOST_VALUES:
            raise ConfigError(f"the option {name} has more than {_MOST_VALUES} values")
        return tuple(_checked_one(name, each) for each in values)
    return _checked_one(name, value)


def _checked_one(name: str, value: object) -> bool | int | float | str:
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if (isinstance(value, float) and isfinite(value)) or (isinstance(value, str) and len(value) <= _LONGEST):
        return value
    raise ConfigError(f"the option {name}: expected finite numbers, texts, or lists of these, got {value!r:.80}")


def _read_tensor(value: object) -> ModelTensor:
    entry = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    if set(entry) != set(_TENSOR_FIELDS):
        raise FormatError(f"a model by name: expected {', '.join(_TENSOR_FIELDS)} of a tensor, got {value!r:.100}")
    name, shape, bound = entry["name"], entry["shape"], entry["first_range"]
    fits = (
        isinstance(name, str)
        and 0 < len(name) <= _LONGEST
        and name.isprintable()
        and isinstance(shape, list)
        and len(cast(list[object], shape)) <= _MOST_AXES
        and all(type(side) is int and 0 < side <= _MOST_ELEMENTS for side in cast(list[object], shape))
        and isinstance(entry["kind"], str)
        and isinstance(entry["dtype"], str)
        and type(entry["normalises"]) is bool
        and (bound is None or type(bound) in (int, float))
    )
    if not fits:
        raise FormatError(f"a model by name: no tensor can be {value!r:.200}")
    return ModelTensor(
        name=name,
        shape=tuple(cast(list[int], shape)),
        kind=cast(TensorKind, entry["kind"]),  # checked there
        dtype=entry["dtype"],
        normalises=entry["normalises"],
        first_range=None if bound is None else float(bound),
    )
