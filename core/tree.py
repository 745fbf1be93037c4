"""Trees of tensors: dicts, lists, tuples and named tuples of anything, flattened in a fixed order and built again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from .errors import ConfigError
from .shapes import Spec


def leaves(tree: Any) -> list[Any]:
    """The leaves in order: dicts by their insertion order, None is a leaf."""
    return list(_walk(tree))


def _walk(tree: Any) -> Iterator[Any]:
    if isinstance(tree, Mapping):
        for item in cast("Mapping[Any, Any]", tree).values():
            yield from _walk(item)
    elif isinstance(tree, list | tuple) and not isinstance(tree, Spec):
        for item in cast("list[Any]", tree):
            yield from _walk(item)
    else:
        yield tree


def build(like: Any, values: Iterator[Any]) -> Any:
    """A tree of the shape of `like` whose leaves are drawn from `values`."""
    if isinstance(like, Mapping):
        return {key: build(item, values) for key, item in cast("Mapping[Any, Any]", like).items()}
    if isinstance(like, list):
        return [build(item, values) for item in cast("list[Any]", like)]
    if isinstance(like, tuple) and not isinstance(like, Spec):
        items = [build(item, values) for item in cast("tuple[Any, ...]", like)]
        make = getattr(like, "_make", None)  # pyright: ignore[reportUnknownArgumentType]
        return make(items) if make is not None else tuple(items)
    return next(values)


def mapped(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """`function` applied to the leaves of trees of one shape.

    Raises:
        ConfigError: the trees have different numbers of leaves.
    """
    columns = [leaves(tree), *(leaves(other) for other in others)]
    if len({len(column) for column in columns}) != 1:
        raise ConfigError(f"expected trees of one structure, got {', '.join(str(len(c)) for c in columns)} leaves")
    return build(tree, iter([function(*row) for row in zip(*columns, strict=True)]))


def spread(prefix: Any, tree: Any) -> list[Any]:
    """One value per leaf of `tree`: a prefix of its structure, each of whose leaves stands for all below it."""
    if isinstance(prefix, Mapping) and isinstance(tree, Mapping):
        given, whole = cast("Mapping[Any, Any]", prefix), cast("Mapping[Any, Any]", tree)
        return [item for key in whole for item in spread(given[key], whole[key])]
    if isinstance(prefix, list | tuple) and isinstance(tree, list | tuple):
        parts, items = cast("list[Any]", prefix), cast("list[Any]", tree)
        if len(parts) != len(items):
            raise ConfigError(f"expected {len(items)} entries, one per argument, got {len(parts)}")
        return [item for part, below in zip(parts, items, strict=True) for item in spread(part, below)]
    return [prefix] * len(leaves(tree))
