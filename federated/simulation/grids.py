"""Where the sites of a simulation are: in this process, in others of this machine, or on a Ray cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp

from ...core import SavedModel, load_model, save_model
from ..adapters.saved import AdaptedModel, load_adapted
from ..errors import FederationError
from ..site.client import make_client_app
from .config import SimulationConfig
from .local_grid import FIRST_NODE_ID, LocalGrid, partition_id
from .sites import SimulatedParties, SimulatedSites
from .virtual_nodes import VirtualGrid

_RELEASE = f"{MessageType.QUERY}.release"


@dataclass(frozen=True, slots=True)
class RunningSites:
    """Sites that answer.

    Attributes:
        grid: reaches them; the first is Flower's node `FIRST_NODE_ID`.
        release: has the site with an index, from 0, give its model out: a decision of the site, which in a simulation
            is asked for it.
    """

    grid: VirtualGrid
    release: Callable[[int], SavedModel | AdaptedModel]


@contextmanager
def run_sites(parties: SimulatedParties) -> Generator[RunningSites]:
    """Have the sites answer until the end of the context, where the configuration wants them.

    Raises:
        ConfigError: processes or a cluster cannot be had.
        MissingExtraError: Ray is not installed.
    """
    config = parties.config
    if not config.processes and config.ray is None:
        sites = SimulatedSites(parties)
        app = make_client_app(lambda context: sites[partition_id(context)])
        with LocalGrid(app, config.clients, workers=config.workers) as grid:
            yield RunningSites(grid, sites.release)
        return
    make = partial(make_simulated_app, parties)
    if config.ray is None:
        remote: VirtualGrid = LocalGrid(make, config.clients, processes=config.processes)
    else:
        from .ray_grid import RayGrid

        remote = RayGrid(make, config.clients, address=None if config.ray == "local" else config.ray)
    with remote:
        yield RunningSites(remote, partial(_ask_for_release, remote, config))


def make_simulated_app(parties: SimulatedParties) -> ClientApp:
    """The app of sites in another process: what real ones have, and the release of their model."""
    sites = SimulatedSites(parties)
    app = make_client_app(lambda context: sites[partition_id(context)])

    @app.query("release")
    def release(message: Message, context: Context) -> Message:
        saved = sites.release(partition_id(context))
        with tempfile.TemporaryDirectory() as folder:
            if isinstance(saved, AdaptedModel):
                saved.save(Path(folder, "model"))
            else:
                save_model(Path(folder, "model"), saved.spec, saved.model, saved.preprocessing, saved.metadata)
            files = {path.name: path.read_bytes() for path in Path(folder, "model").iterdir() if path.is_file()}
        return Message(RecordDict({"model": ConfigRecord(dict(files))}), reply_to=message)

    return app


def _ask_for_release(grid: VirtualGrid, config: SimulationConfig, index: int) -> SavedModel | AdaptedModel:
    [answer] = grid.send_and_receive([Message(RecordDict(), FIRST_NODE_ID + index, _RELEASE)])
    if answer.has_error():
        raise FederationError(f"site {index + 1} gives no model out: {answer.error.reason}")
    with tempfile.TemporaryDirectory() as folder:
        for name, content in answer.content.config_records["model"].items():
            assert isinstance(content, bytes)
            Path(folder, Path(name).name).write_bytes(content)
        return load_model(folder) if config.model_adapter is None else load_adapted(folder, config.catalogue)
