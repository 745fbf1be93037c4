"""The one Flower app bundle (FAB) of every run: it points at the installed package, and all sites know its hash.

Flower sends a bundle to every site with a run's first message, and its own executor unpacks and imports it: whoever
may start a run may run code there. Ours says nothing that is not installed already, and `SiteExecutor` runs the
installed app only when it meets exactly this hash; it unpacks none. The bundle never changes with our version, so its
hash is a constant.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import NoReturn

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.fab import Fab

from ..errors import FederationError

BUNDLE_SHA256 = "9732ed4dc9f994a0c66f5e6796ec13cef5a988e5e9c051153bc4087fb54dd114"

MADE = (2024, 10, 1, 0, 0, 0)  # in every bundle of Flower's builder

PROJECT = """\
[build-system]
requires = [
    "setuptools",
]
build-backend = "setuptools.build_meta"

[project]
name = "nasturtium"
version = "1.0.0"
description = "Runs what is installed; holds no code."
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "nasturtium"

[tool.flwr.app.components]
serverapp = "nasturtium.federated.flower.bundle:server_app"
clientapp = "nasturtium.federated.flower.bundle:client_app"

[tool.flwr.app.config]
"""


def make_bundle() -> Fab:
    """The bundle, made in memory; the same bytes everywhere, and those that Flower's own builder would write."""
    project = PROJECT.encode()
    manifest = f"pyproject.toml,{hashlib.sha256(project).hexdigest()},{8 * len(project)}"
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in (("pyproject.toml", project), (".info/CONTENT", manifest.encode())):
            entry = zipfile.ZipInfo(name, MADE)
            entry.create_system = 3  # Unix, wherever this runs
            archive.writestr(entry, content)
    return Fab(hashlib.sha256(memory.getvalue()).hexdigest(), memory.getvalue(), {})


def _refuse(runner: str) -> NoReturn:
    raise FederationError(
        f"{runner} ran this app; it runs in the process of `nasturtium federate` alone",
        hint="start `nasturtium federate client` at sites and `nasturtium federate server` at the coordinator",
    )


# What Flower's own executors would load. They find a sentence instead of data.
client_app = ClientApp()
server_app = ServerApp()


@client_app.train()
@client_app.evaluate()
@client_app.query()
def _client(message: Message, context: Context) -> Message:
    _refuse("Flower's own executor of a SuperNode")


@server_app.main()
def _server(grid: Grid, context: Context) -> None:
    _refuse("Flower's own executor of a SuperLink")
