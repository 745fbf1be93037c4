"""What may happen along the way: a small base class, and the two callbacks most runs want."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError
from .checkpoint import save_checkpoint

if TYPE_CHECKING:
    from .trainer import Progress, Trainer


class Callback:
    """Called by `Trainer.fit`; override what you need. It may read the trainer, change what `trainer.model` holds in
    place, and call `trainer.stop()`. An exception ends the run where it stands.
    """

    def on_step_end(self, trainer: Trainer) -> None:
        """After every optimiser step."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """After every epoch and its validation."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """When `fit` returns; not after an exception."""


class Reporting(Callback):
    """Hands progress to a function: one that draws a bar, logs, or sends.

    Args:
        report: called with the progress.
        every: steps between two calls, >= 1; None calls at the end of epochs only, otherwise there too.
    """

    def __init__(self, report: Callable[[Progress], None], *, every: int | None = None) -> None:
        if every is not None and every < 1:
            raise ConfigError(f"expected every >= 1, got {every}")
        self._report = report
        self._every = every

    def on_step_end(self, trainer: Trainer) -> None:
        """Report where it is time."""
        if self._every and trainer.step % self._every == 0:
            self._report(trainer.progress())

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Report."""
        self._report(trainer.progress())


class Checkpointing(Callback):
    """Saves a checkpoint at the end of epochs, at the end of `fit`, and within long epochs where asked.

    Args:
        path: the file, replaced each time; see `save_checkpoint`.
        every: epochs between two checkpoints, >= 1.
        every_steps: optimiser steps between two checkpoints within an epoch, >= 1; None takes none there.
    """

    def __init__(self, path: Path | str, *, every: int = 1, every_steps: int | None = None) -> None:
        if every < 1 or (every_steps is not None and every_steps < 1):
            raise ConfigError(f"expected every and every_steps >= 1, got {every} and {every_steps}")
        self._path = Path(path)
        self._every = every
        self._every_steps = every_steps

    def on_step_end(self, trainer: Trainer) -> None:
        """Save where it is time."""
        if self._every_steps and trainer.step % self._every_steps == 0:
            save_checkpoint(self._path, trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Save where it is time."""
        if trainer.epoch % self._every == 0:
            save_checkpoint(self._path, trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Save what `every` has left out."""
        if trainer.epoch % self._every:
            save_checkpoint(self._path, trainer)
