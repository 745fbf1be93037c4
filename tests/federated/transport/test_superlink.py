"""Front and tunnel with Flower's own SuperLink and SuperNode: what works through them, and what a stranger gets."""

from __future__ import annotations

import ssl
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.proto.control_pb2 import ListNodesRequest, ListNodesResponse, RegisterNodeRequest, StartRunRequest
from flwr.proto.fleet_pb2 import ActivateNodeRequest, ActivateNodeResponse, RegisterNodeFleetRequest
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from numpy.random import default_rng

from nasturtium.federated.flower import LinkControl, ServerTls, SiteExecutor, SuperLink, SuperNode, serve_app
from nasturtium.federated.transport import Address, Authority, Front, LoopbackFiles, Tunnel, TunnelCode

from .conftest import Caller, client_tls, make_identity, make_site, wait_until

PROTOBUF = {"content-type": PROTOBUF_MEDIA_TYPE, "accept": PROTOBUF_MEDIA_TYPE}


@pytest.fixture(scope="module")
def coordinator_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("coordinator")


@pytest.fixture(scope="module")
def link(coordinator_folder):
    files = LoopbackFiles.make(coordinator_folder, "superlink")
    tls = ServerTls(certificate=files.certificate, key=files.key, authority=files.authority)
    superlink = SuperLink(coordinator_folder / "superlink", tls)
    superlink.start()
    yield superlink.link
    superlink.stop()


@pytest.fixture(scope="module")
def authority(coordinator_folder) -> Authority:
    return Authority.create(coordinator_folder / "keys", "coordinator", ["localhost", "127.0.0.1"])


@pytest.fixture(scope="module")
def front(link, authority):
    host, _, port = link.address.rpartition(":")
    tls = ssl.create_default_context(cadata=link.authority.decode())
    with Front(listen=("127.0.0.1", 0), upstream=(host, int(port)), authority=authority, upstream_tls=tls) as front:
        yield front


def admitted(authority: Authority, link, name: str):
    """A site with a certificate, whose node the SuperLink knows."""
    site = make_site(name)
    site.admission = authority.admit(site.application, make_identity("coordinator"), Address("localhost", 1))
    with LinkControl(link) as control:
        control.register(site.key.private.public_key(), name)
    return site


CALLS = [
    pytest.param("/v1/fleet/register-node", RegisterNodeFleetRequest(public_key=b"k"), id="register-node"),
    pytest.param("/v1/control/register-node", RegisterNodeRequest(public_key=b"k"), id="control-register-node"),
    pytest.param("/v1/control/start-run", StartRunRequest(), id="start-run"),
    pytest.param("/v1/control/list-nodes", ListNodesRequest(), id="list-nodes"),
]


@pytest.mark.parametrize(("path", "call"), CALLS)
def test_what_anybody_could_ask_the_superlink_nobody_can_ask_the_front(authority, front, link, tmp_path, path, call):
    content = call.SerializeToString()
    # A stranger who holds the authority's certificate gets no connection at all.
    with (
        httpx.Client(verify=client_tls(authority, tmp_path, None), headers=PROTOBUF) as stranger,
        pytest.raises(httpx.TransportError),
    ):
        stranger.post(f"https://{front.address}{path}", content=content)
    # A member gets one, and no further.
    name = f"site-{path.replace('/', '.')[4:]}"
    with Caller(authority, tmp_path, front).http(admitted(authority, link, name)) as member:
        answer = member.post(path, content=content, headers=PROTOBUF)
        assert (answer.status_code, answer.json()) == (403, {"code": "path-not-allowed"})


def test_the_superlink_itself_answers_anybody(link):
    """Why there is a front: neither certificate nor key is asked for."""
    with httpx.Client(verify=ssl.create_default_context(cadata=link.authority.decode()), headers=PROTOBUF) as stranger:
        answer = stranger.post(
            f"https://{link.address}/v1/control/list-nodes", content=ListNodesRequest().SerializeToString()
        )
    assert answer.status_code == 200
    ListNodesResponse.FromString(answer.content)


def test_the_key_of_another_site_is_of_no_use_even_to_a_member(authority, front, link, tmp_path):
    """Nor its signature: the member seen here has the other's private key."""
    one, other = admitted(authority, link, "one"), admitted(authority, link, "other")

    def activate(own, signer):
        tls, key = client_tls(authority, tmp_path, own), signer.key.private
        interceptors = [NodeAuthHttpInterceptor(key, key.public_key())]
        node_key = next(each for each in authority.members.read().members if each.name == signer.name).node_key
        with FleetHttpClient(f"https://{front.address}", interceptors=interceptors, verify=tls) as client:
            return client.ActivateNode(ActivateNodeRequest(public_key=node_key, heartbeat_interval=30))

    with pytest.raises(httpx.HTTPStatusError, match="403"):
        activate(one, other)
    assert isinstance(activate(other, other), ActivateNodeResponse)


@contextmanager
def working(site, front, folder: Path):
    """A site that sends back what it gets: its tunnel and its SuperNode."""
    app, stop = ClientApp(), threading.Event()

    @app.train()
    def echo(message, context):
        return Message(RecordDict({"back": message.content["there"]}), reply_to=message)

    (folder / "site").mkdir(mode=0o700)
    with ExitStack() as stack:
        tunnel = stack.enter_context(Tunnel(site.admission, site.key, folder / "site", connect=front.address))
        node = SuperNode(folder / "node", str(tunnel.address), key=site.key.private, authority=tunnel.root_certificate)
        node.start()
        stack.callback(node.stop, grace=2)
        executor = threading.Thread(target=SiteExecutor(lambda: node.address, node.secret, app).run, args=(stop,))
        executor.start()
        stack.callback(executor.join)
        stack.callback(stop.set)
        wait_until(lambda: node.node)
        yield tunnel, node


def ask(grid, node, data: bytes) -> bytes:
    """What comes back from a site."""
    wait_until(lambda: node.node in set(grid.get_node_ids()))
    content = RecordDict({"there": ArrayRecord({"a": Array("uint8", (len(data),), "bytes", data)})})
    ids, found = grid.push_messages([Message(content, node.node, "train", group_id="1")]), []
    wait_until(lambda: found.extend(grid.pull_messages(ids)) or found)
    return found[0].content["back"]["a"].data


def test_a_supernode_works_through_tunnel_and_front_until_it_is_removed(authority, front, link, tmp_path):
    site = admitted(authority, link, "worker")
    data = default_rng(0).bytes(12_000_000)  # three objects
    with working(site, front, tmp_path) as (tunnel, node):
        assert serve_app(link, lambda grid: ask(grid, node, data)) == data
        assert front.traffic()["worker"].refused == 0
        assert front.traffic()["worker"].bytes_up > len(data)
        authority.members.remove("worker")
        assert tunnel.wait(60, TunnelCode.REMOVED).code is TunnelCode.REMOVED
        wait_until(lambda: node.exit_code is not None)  # it was told that it is nobody


def test_a_supernode_outlives_the_front(authority, front, link, tmp_path):
    """At an error that names TLS or certificates it would have given up, and ended."""
    site = admitted(authority, link, "survivor")
    host, _, port = link.address.rpartition(":")
    tls = ssl.create_default_context(cadata=link.authority.decode())
    arguments = {"upstream": (host, int(port)), "authority": authority, "upstream_tls": tls}
    with ExitStack() as stack:
        first = stack.enter_context(Front(listen=("127.0.0.1", 0), **arguments))
        tunnel, node = stack.enter_context(working(site, first, tmp_path))

        def main(grid):
            assert ask(grid, node, b"before") == b"before"
            first.__exit__(None, None, None)
            assert tunnel.wait(60, TunnelCode.UNREACHABLE).code is TunnelCode.UNREACHABLE
            stack.enter_context(Front(listen=first_address, **arguments))
            return ask(grid, node, b"after")

        first_address = first.address
        assert serve_app(link, main) == b"after"
        assert node.exit_code is None
