"""The supernet of a search: trained once, kept in the history, and read back by whoever evaluates with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..core import NasturtiumError, derive_rng
from ..core.data import Preprocessing
from ..storage import Database, History, Tracker, unpack_model
from .setup import SearchSetup
from .supernet import SinglePathConfig, SinglePathTrainer, Supernet

ROLE: Final = "supernet"
FILE: Final = "supernet.safetensors"


def supernet_file(
    setup: SearchSetup,
    database: Database,
    tracker: Tracker,
    search_uid: str,
    folder: Path,
    *,
    say: Callable[[str], None] = lambda what: None,
) -> Path:
    """The file with the shared weights of a search: from the history, or trained and put there.

    Args:
        setup: of the search; its epochs are those of the supernet.
        database, tracker: of the history.
        search_uid: the search.
        folder: to put the file into; the caller's.
        say: hears how far the training is.

    Raises:
        NasturtiumError: the training diverged: there is nothing to evaluate with.
    """
    known = [file for file in History(database).artifacts(search_uid) if file.role == ROLE]
    if known:
        unpack_model(database, known, folder / ROLE)
        return folder / ROLE / FILE
    seed, rows, epochs = setup.config.seed, setup.train, setup.config.epochs
    supernet = Supernet(setup.space, derive_rng(seed, "supernet"))
    trainer = SinglePathTrainer(supernet, SinglePathConfig(epochs=epochs), seed=seed)
    preprocessing = Preprocessing.fit(rows.inputs, rows.task, rows.labels)
    say(f"training a supernet: {sum(weight.size for weight in supernet.weights.values()):,} shared weights")
    trainer.fit(
        preprocessing.apply(rows.inputs),
        preprocessing.apply_targets(rows.labels),
        after_epoch=lambda done: say(f"training a supernet: epoch {done.epoch} of {epochs}"),
    )
    if trainer.diverged:
        raise NasturtiumError(
            f"the supernet's loss was not finite in epoch {trainer.epoch}: there are no weights to evaluate with",
            hint="evaluate by training, or search a space of networks with normalisation",
        )
    path = supernet.save(folder / FILE)
    tracker.record_artifact(search_uid, path, role=ROLE, media_type="application/octet-stream")
    return path
