"""A template as a document: plain JSON values, versioned, without any code. TOML holds the same values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from ...core import ConfigError, FormatError, check_header
from .nodes import (
    Cell,
    CellStack,
    Chain,
    Choice,
    Float,
    Incoming,
    Int,
    Layer,
    Leaf,
    Multiple,
    Node,
    Optional,
    Outputs,
    Repeat,
    Residual,
    StackPart,
    Stride,
    check_keys,
    check_paths,
    node_of,
    shown,
)

FORMAT = "nasturtium.space"
VERSION = 1
MAX_DEPTH = 24


def node_to_dict(node: Node | Leaf) -> Any:
    """A node or decision as plain JSON values: an object whose one key says what it is, or a list for a chain."""
    match node:
        case Chain(parts):
            return [node_to_dict(part) for part in parts]
        case Layer(kind, options):
            return {"layer": kind, **{name: _value_to_dict(value) for name, value in options.items()}}
        case Choice(options, name):
            inner = (
                {key: node_to_dict(item) for key, item in options.items()}
                if isinstance(options, Mapping)
                else list(options)
            )
            return {"choice": inner} | _named(name)
        case Int(low, high, step, log, name):
            return {"int": [low, high]} | _given(step=step, log=log) | _named(name)
        case Float(low, high, log, name):
            return {"float": [low, high]} | _given(log=log) | _named(name)
        case Repeat(low, high, inner, name):
            return {"repeat": [low, high], "node": node_to_dict(inner)} | _named(name)
        case Optional(inner, name):
            return {"optional": node_to_dict(inner)} | _named(name)
        case Residual(body, optional, shortcut):
            side = {} if shortcut is None else {"shortcut": node_to_dict(shortcut)}
            return {"residual": node_to_dict(body)} | side | ({"skip": "optional"} if optional else {})
        case Cell(nodes, operations, picks, name):
            return {
                "cell": nodes,
                "operations": {key: node_to_dict(item) for key, item in operations.items()},
                **_given(picks=picks, _default=0),
                **_named(name),
            }
        case CellStack(parts):
            return {
                "stack": [
                    {"cell": node_to_dict(part.cell), "channels": part.channels, "reduce": part.reduce}
                    for part in parts
                ]
            }


def node_from_dict(value: object, depth: int = 0) -> Node:
    """The inverse of `node_to_dict`, for nodes.

    Raises:
        FormatError: not a node.
    """
    if depth > MAX_DEPTH:
        raise FormatError(f"a space is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, list):
        return Chain(*(node_from_dict(item, depth + 1) for item in cast(list[object], value)))
    fields = _object(value)
    try:
        for key, read in _READERS.items():
            if key in fields:
                return read(fields, depth)
    except ConfigError as exc:
        raise FormatError(f"{shown(value)}: {exc.message}", hint=exc.hint) from exc
    raise FormatError(f"expected a part of a network as an object of {', '.join(_READERS)}, got {shown(value)}")


def leaf_from_dict(value: object) -> Leaf:
    """A decision between values.

    Raises:
        FormatError: not a decision.
    """
    fields = _object(value)
    try:
        name = _name(fields)
        if "choice" in fields and isinstance(fields["choice"], list):
            _only(fields, "choice", "name")
            return Choice(tuple(cast(list[Any], fields["choice"])), name)
        if "int" in fields:
            _only(fields, "int", "step", "log", "name")
            return Int(*_pair(fields, "int"), fields.get("step", 1), fields.get("log", False), name)
        if "float" in fields:
            _only(fields, "float", "log", "name")
            return Float(*_pair(fields, "float"), fields.get("log", False), name)
    except ConfigError as exc:
        raise FormatError(f"{shown(value)}: {exc.message}", hint=exc.hint) from exc
    raise FormatError(f"expected a decision as an object of choice, int or float, got {shown(value)}")


def space_to_dict(
    name: str, template: Node | None, hyperparameters: Mapping[str, Leaf], constraints: tuple[str, ...], *, total: bool
) -> dict[str, Any]:
    """A whole space as plain JSON values."""
    document: dict[str, Any] = {"format": FORMAT, "version": VERSION, "name": name}
    if template is not None:
        document["template"] = node_to_dict(template)
    document["hyperparameters"] = {key: node_to_dict(leaf) for key, leaf in hyperparameters.items()}
    if constraints:
        document["constraints"] = list(constraints)
    if total:
        document["total"] = True
    return document


def space_from_dict(value: object) -> tuple[str, Node | None, dict[str, Leaf], tuple[str, ...], bool]:
    """What `space_to_dict` was given.

    Raises:
        FormatError: not a space, or of a newer version.
    """
    fields = check_header(value, FORMAT, VERSION)
    _only(fields, "format", "version", "name", "template", "hyperparameters", "constraints", "total")
    name, constraints = fields.get("name"), fields.get("constraints", [])
    texts = cast(list[object], constraints) if isinstance(constraints, list) else [None]
    if not isinstance(name, str) or not all(isinstance(text, str) for text in texts):
        raise FormatError(f"a space needs a name and a list of constraints, got {shown(name)} and {shown(texts)}")
    template = node_from_dict(fields["template"]) if "template" in fields else None
    hyperparameters = {key: leaf_from_dict(item) for key, item in _object(fields.get("hyperparameters", {})).items()}
    try:
        check_keys((name,))
        (check_paths if template is None else check_keys)(hyperparameters)
    except ConfigError as exc:
        raise FormatError(exc.message) from exc
    return name, template, hyperparameters, tuple(cast(list[str], texts)), _flag(fields, "total")


def _value_to_dict(value: object) -> Any:
    match value:
        case Incoming(times):
            return {"incoming": times}
        case Multiple(of, times):
            return {"multiple": node_to_dict(of), "times": times}
        case Outputs():
            return {"outputs": True}
        case Stride():
            return {"stride": True}
        case Choice() | Int() | Float():
            return node_to_dict(value)
        case tuple():
            items = cast(tuple[object, ...], value)
            if any(node_of(item) is not None for item in items):
                return {"layers": [node_to_dict(cast(Node, item)) for item in items]}
            return list(items)
        case _:
            return {"layers": [node_to_dict(cast(Node, value))]} if node_of(value) is not None else value


def _value_from_dict(value: object, depth: int) -> Any:
    if isinstance(value, list):
        return tuple(cast(list[object], value))
    if not isinstance(value, dict):
        return value
    fields = _object(cast(object, value))
    if "incoming" in fields:
        _only(fields, "incoming")
        return Incoming(_number(fields["incoming"]))
    if "multiple" in fields:
        _only(fields, "multiple", "times")
        of = leaf_from_dict(fields["multiple"])
        if isinstance(of, Float):
            raise FormatError("expected a multiple of whole numbers")
        return Multiple(of, _number(fields.get("times")))
    for key, made in (("outputs", Outputs()), ("stride", Stride())):
        if key in fields:
            _only(fields, key)
            if not _flag(fields, key):
                raise FormatError(f"expected {key!r} as true, got false")
            return made
    if "layers" in fields:
        _only(fields, "layers")
        items = fields["layers"]
        if not isinstance(items, list):
            raise FormatError(f"expected a list of layers, got {shown(items)}")
        return tuple(node_from_dict(item, depth + 1) for item in cast(list[object], items))
    return leaf_from_dict(fields)


def _read_layer(fields: dict[str, Any], depth: int) -> Node:
    kind = fields["layer"]
    if not isinstance(kind, str):
        raise FormatError(f"expected the kind of a layer, got {shown(kind)}")
    return Layer(kind, {k: _value_from_dict(v, depth) for k, v in fields.items() if k != "layer"})


def _read_choice(fields: dict[str, Any], depth: int) -> Node:
    _only(fields, "choice", "name")
    options = _object(fields["choice"])
    return Choice({key: node_from_dict(item, depth + 1) for key, item in options.items()}, _name(fields))


def _read_repeat(fields: dict[str, Any], depth: int) -> Node:
    _only(fields, "repeat", "node", "name")
    return Repeat(*_pair(fields, "repeat"), node_from_dict(fields.get("node"), depth + 1), _name(fields))


def _read_optional(fields: dict[str, Any], depth: int) -> Node:
    _only(fields, "optional", "name")
    return Optional(node_from_dict(fields["optional"], depth + 1), _name(fields))


def _read_residual(fields: dict[str, Any], depth: int) -> Node:
    _only(fields, "residual", "shortcut", "skip")
    if fields.get("skip", "optional") != "optional":
        raise FormatError(f"expected the skip of a residual block as 'optional', got {shown(fields['skip'])}")
    shortcut = node_from_dict(fields["shortcut"], depth + 1) if "shortcut" in fields else None
    return Residual(node_from_dict(fields["residual"], depth + 1), "skip" in fields, shortcut)


def _read_cell(fields: dict[str, Any], depth: int) -> Cell:
    _only(fields, "cell", "operations", "picks", "name")
    operations = {key: node_from_dict(item, depth + 1) for key, item in _object(fields.get("operations")).items()}
    return Cell(_whole(fields.get("cell")), operations, _whole(fields.get("picks", 0)), _name(fields))


def _read_stack(fields: dict[str, Any], depth: int) -> Node:
    _only(fields, "stack")
    items = fields["stack"]
    if not isinstance(items, list):
        raise FormatError(f"expected a list of cells, got {shown(items)}")
    parts = [_object(item) for item in cast(list[object], items)]
    for part in parts:
        _only(part, "cell", "channels", "reduce")
    return CellStack(
        tuple(
            StackPart(
                _read_cell(_object(part.get("cell")), depth + 1),
                _whole(part.get("channels")),
                _flag(part, "reduce"),
            )
            for part in parts
        )
    )


_READERS: Mapping[str, Callable[[dict[str, Any], int], Node]] = {
    "layer": _read_layer,
    "choice": _read_choice,
    "repeat": _read_repeat,
    "optional": _read_optional,
    "residual": _read_residual,
    "cell": _read_cell,
    "stack": _read_stack,
}


def _named(name: str | None) -> dict[str, Any]:
    return {} if name is None else {"name": name}


def _given(_default: object = None, **options: Any) -> dict[str, Any]:
    """Options that are not as they are by default."""
    usual = {"step": 1, "log": False} if _default is None else dict.fromkeys(options, _default)
    return {key: value for key, value in options.items() if value != usual[key]}


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormatError(f"expected an object, got {shown(value)}")
    return cast(dict[str, Any], value)


def _only(fields: Mapping[str, object], *known: str) -> None:
    if unknown := fields.keys() - set(known):
        raise FormatError(f"unknown keys {shown(sorted(unknown))}: expected only {', '.join(known)}")


def _name(fields: Mapping[str, object]) -> str | None:
    name = fields.get("name")
    if name is not None and not isinstance(name, str):
        raise FormatError(f"expected a name as a text, got {shown(name)}")
    return name


def _pair(fields: Mapping[str, object], key: str) -> tuple[Any, Any]:
    value = fields[key]
    items = cast(list[object], value) if isinstance(value, list) else []
    if len(items) != 2:
        raise FormatError(f"expected {key!r} as two numbers, got {shown(cast(object, value))}")
    return _number(items[0]), _number(items[1])


def _number(value: object) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormatError(f"expected a number, got {shown(value)}")
    return value


def _flag(fields: Mapping[str, object], key: str) -> bool:
    value = fields.get(key, False)
    if not isinstance(value, bool):
        raise FormatError(f"expected {key!r} as true or false, got {shown(value)}")
    return value


def _whole(value: object) -> int:
    if type(value) is not int:
        raise FormatError(f"expected a whole number, got {shown(value)}")
    return value
