"""The named spaces, and spaces from files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from ...core import ConfigError, FormatError, Registry, parse_json, parse_toml
from ...core.data import Task
from .search_space import Space

SpaceMaker = Callable[[Task], Space]
SPACES: Registry[SpaceMaker] = Registry("space")
MAX_BYTES = 2**24  # of a file with a space


def space(name: str) -> Callable[[SpaceMaker], SpaceMaker]:
    """Register a function that makes a space for a task; it raises `ConfigError` for a task it cannot serve."""
    return partial(SPACES.add, name)


def load_space(name: str, task: Task) -> Space:
    """A named space, or one from a .json or .toml file, for a task.

    Raises:
        ConfigError: there is no such space, the file cannot be read, or the space cannot serve the task.
        FormatError: the file holds no space.
    """
    path = Path(name)
    if path.suffix.lower() not in {".json", ".toml"}:
        import_module("..spaces", __package__)  # which fills the registry, and is made of this package
        return SPACES.find(name)(task)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FormatError(f"{name}: expected a space of at most {MAX_BYTES} bytes, got {path.stat().st_size}")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"the space {name} cannot be read: {exc}") from exc
    try:
        document = parse_json(text) if path.suffix.lower() == ".json" else parse_toml(text)
        return Space.from_document(document, task)
    except FormatError as exc:
        raise FormatError(f"{name}: {exc.message}", hint=exc.hint) from exc
