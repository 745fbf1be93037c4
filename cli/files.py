"""Files that commands write: there when they are whole, never half."""

from __future__ import annotations

import os
import shlex
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..core import ConfigError, NasturtiumError


def check_target(output: Path, *, force: bool) -> None:
    """Refuse what is no place to write a file to; with `force` one that is there is replaced.

    Raises:
        ConfigError: it is a folder or a device, its folder is not there, or it is there already.
    """
    if output.is_dir():
        raise ConfigError(f"{output} is a folder, expected a file to write", hint="name a file in it")
    if not output.parent.is_dir():
        raise ConfigError(
            f"{output}: there is no folder {output.parent}",
            hint=f"make it: mkdir -p {shlex.quote(str(output.parent))}",
        )
    if output.exists() and not output.is_file():
        raise ConfigError(f"{output} is no regular file", hint="leave -o out to write to standard output")
    if output.exists() and not force:
        raise ConfigError(f"{output} is there already", hint="add --force to replace it, or name another file")


@contextmanager
def written_whole(output: Path) -> Generator[BinaryIO]:
    """A file to write, which gets its name when the block is done.

    Raises:
        NasturtiumError: the disk refuses.
    """
    draft = output.with_name(f".{output.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(output)
    except OSError as exc:
        raise NasturtiumError(
            f"cannot write {output}: {exc.strerror or exc}", hint="free some disk space, check permissions"
        ) from exc
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
