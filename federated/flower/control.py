"""The SuperLink's Control API, by loopback: which nodes it admits, and the runs on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import Status
from flwr.common.serde import fab_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.supercore.constant import NodeStatus
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from ..errors import FederationError
from .runtime import Patience, open_client
from .superlink import Link

MOST_RUNS = 1000  # looked at; a SuperLink of ours runs one at a time
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkNode:
    """A SuperNode that the SuperLink admits."""

    node: int  # Flower's number of it
    name: str
    public_key: bytes  # PEM
    online: bool


class LinkControl:
    """Gives a SuperLink orders. What it refuses is a `FederationError` in words."""

    def __init__(self, link: Link) -> None:
        self._client: ControlHttpClient = open_client(
            ControlHttpClient,
            link.address,
            link.authority,
            [RuntimeVersionHttpInterceptor("nasturtium")],
            Patience("the SuperLink", PATIENCE_S),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def register(self, public_key: ec.EllipticCurvePublicKey, name: str) -> int:
        """Admit the SuperNode with this key (NIST curve); its number, also when it is admitted already."""
        pem = public_key_to_bytes(public_key)
        for node in self.nodes():
            if node.public_key == pem:
                return node.node
        return self._client.RegisterNode(RegisterNodeRequest(public_key=pem, name=name)).node_id

    def unregister(self, node: int) -> None:
        """Admit it no more; what it asks next is refused, and the SuperNode ends."""
        self._client.UnregisterNode(UnregisterNodeRequest(node_id=node))

    def nodes(self) -> list[LinkNode]:
        """Those that are admitted, online or not."""
        return [
            LinkNode(
                node=each.node_id,
                name=each.name,
                public_key=each.public_key,
                online=each.status == NodeStatus.ONLINE,
            )
            for each in self._client.ListNodes(ListNodesRequest()).nodes_info
            if each.status != NodeStatus.UNREGISTERED
        ]

    def start_run(self, bundle: Fab) -> int:
        """A new run of a bundle; its number. It waits for who claims its server task."""
        run = self._client.StartRun(StartRunRequest(fab=fab_to_proto(bundle))).run_id
        if not run:
            raise FederationError("the SuperLink made no run of our bundle", hint="its log says why")
        return run

    def open_runs(self) -> list[int]:
        """Runs that are not over. The SuperLink forgets the messages of those that are."""
        runs = self._client.ListRuns(ListRunsRequest(limit=MOST_RUNS)).run_dict
        return [number for number, run in runs.items() if run.status.status != Status.FINISHED]

    def stop_run(self, run: int) -> None:
        """End a run; sites drop what they are about to answer."""
        self._client.StopRun(StopRunRequest(run_id=run))
