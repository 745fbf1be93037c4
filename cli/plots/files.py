"""Figures as files: all of it or the older file, and the same figure as the same bytes."""

# matplotlib's stubs leave keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import io
import shlex
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...core import ConfigError, NasturtiumError
from .style import DPI, drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What would make two files of one figure differ: the time and the version of matplotlib.
_METADATA: Final[dict[str, dict[str, Any]]] = {
    ".svg": {"Date": None, "Creator": None},
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
SUFFIXES = tuple(_METADATA)


def check_target(path: Path | str) -> Path:
    """The path, if a figure can be written there; asked before the work of drawing it.

    Raises:
        ConfigError: its suffix is none of `SUFFIXES`, it is a folder, or its folder is not there.
    """
    path = Path(path)
    if path.suffix.lower() not in _METADATA:
        raise ConfigError(
            f"{path}: expected a file name that ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}",
            hint=f"as in {(path.name or 'figure').partition('.')[0] or 'figure'}.svg",
        )
    if path.is_dir():
        raise ConfigError(f"{path} is a folder, expected a file to write", hint="name a file in it")
    if not path.parent.is_dir():
        raise ConfigError(
            f"{path}: there is no folder {path.parent}", hint=f"make it: mkdir -p {shlex.quote(str(path.parent))}"
        )
    return path


def save_figure(figure: Figure, path: Path | str) -> Path:
    """Write a figure as SVG (its text as text), PNG (150 dots an inch) or PDF, by the suffix. Whoever reads meanwhile
    finds the older file there, or all of this one.

    Returns:
        The path.

    Raises:
        ConfigError: see `check_target`.
        NasturtiumError: the disk refuses.
    """
    path = check_target(path)
    suffix = path.suffix.lower()
    content = io.BytesIO()
    with drawing():
        figure.savefig(
            content, format=suffix[1:], dpi=DPI, metadata=_METADATA[suffix], facecolor=figure.get_facecolor()
        )
    draft = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    try:
        draft.write_bytes(content.getvalue())
        draft.replace(path)
    except OSError as exc:
        raise NasturtiumError(
            f"{path}: the figure cannot be written: {exc.strerror or exc}",
            hint="free some disk space, check permissions",
        ) from exc
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return path
