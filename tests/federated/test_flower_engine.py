"""Flower's engine on loopback, with its real servers: TLS, keys of nodes, our two executors, and what goes wrong."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import threading
import time
from contextlib import contextmanager
from copy import copy

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.cli.build import build_fab_from_files
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest, PushMessagesRequest
from flwr.proto.message_pb2 import ObjectTree, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import (
    add_header_to_object_body,
    get_all_nested_objects,
    get_object_id,
    get_object_tree,
)
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from nasturtium.federated import FederationError
from nasturtium.federated.flower import (
    Bell,
    LinkControl,
    LinkLostError,
    ServerTls,
    SiteExecutor,
    SuperLink,
    SuperNode,
    make_bundle,
    serve_app,
)
from nasturtium.federated.flower import server_app as server_app_module
from nasturtium.federated.flower.bundle import PROJECT
from nasturtium.federated.flower.runtime import claim_client
from nasturtium.federated.flower.superlink import secret_path


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def until(condition, seconds: float = 120.0) -> bool:
    """Whether it came true; the time is only there so that a failure ends."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> ServerTls:
    folder = tmp_path_factory.mktemp("tls")
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "server.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return ServerTls(certificate=folder / "server.pem", key=folder / "server.key", authority=folder / "server.pem")


@pytest.fixture(scope="module")
def superlink(tls, tmp_path_factory):
    with SuperLink(tmp_path_factory.mktemp("link"), tls) as server:
        yield server


@pytest.fixture(scope="module")
def sites(superlink, tls, tmp_path_factory):
    """Three SuperNodes that the SuperLink admits, each with an executor."""
    app, stop = ClientApp(), threading.Event()

    @app.train()
    def echo(message, context):
        return Message(RecordDict({"back": message.content["there"]}), reply_to=message)

    @app.query()
    def fail(message, context):
        raise ValueError("row 7 is secret")

    @app.train("nothing")
    def forget(message, context):
        return None

    @app.train("exit")
    def leave(message, context):
        raise SystemExit("row 7 is secret")

    @app.evaluate()
    def tell(message, context):
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "row 7 is secret"), reply_to=message)

    nodes, numbers = [], []
    with LinkControl(superlink.link) as control:
        for index in range(3):
            key = new_key()
            numbers.append(control.register(key.public_key(), f"site-{index}"))
            folder = tmp_path_factory.mktemp(f"node-{index}")
            nodes.append(SuperNode(folder, superlink.address, key=key, authority=tls.authority))
    threads = [threading.Thread(target=node.start) for node in nodes]
    threads += [threading.Thread(target=run_executor, args=(node, app, stop)) for node in nodes]
    for thread in threads:
        thread.start()
    try:
        assert until(lambda: all(node.node for node in nodes))
        assert [node.node for node in nodes] == numbers
        yield nodes
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for node in nodes:
            node.stop(grace=2)


def run_executor(node: SuperNode, app: ClientApp, stop: threading.Event) -> None:
    assert until(lambda: node.pid is not None and node.node is not None)
    SiteExecutor(lambda: node.address, node.secret, app).run(stop)


def message_to(node: int, kind: str = "train", **record) -> Message:
    return Message(RecordDict({"there": ConfigRecord(record)}), node, kind, group_id="1")


def pull_all(grid, ids, seconds: float = 120.0) -> list[Message]:
    """All replies, in the order of the messages."""
    ids, replies = list(ids), {}
    until(
        lambda: (
            replies.update({r.metadata.reply_to_message_id: r for r in grid.pull_messages(set(ids) - {*replies})})
            or len(replies) == len(ids)
        ),
        seconds,
    )
    return [replies[each] for each in ids]


def test_three_sites_answer_over_tls_and_each_message_once(superlink, sites):
    data = bytes(range(256)) * 4096

    def main(grid):
        nodes = [site.node for site in sites]
        assert until(lambda: set(nodes) <= set(grid.get_node_ids()))
        array = ArrayRecord({"a": Array("uint8", (len(data),), "bytes", data)})
        messages = [Message(RecordDict({"there": array}), node, "train", group_id="1") for node in nodes]
        replies = pull_all(grid, grid.push_messages(messages))
        assert [reply.content["back"]["a"].data for reply in replies] == [data] * 3
        assert [reply.metadata.src_node_id for reply in replies] == nodes
        for round in (2, 3):
            replies = pull_all(grid, grid.push_messages([message_to(node, round=round) for node in nodes]))
            assert [dict(reply.content["back"]) for reply in replies] == [{"round": round}] * 3
        return "done"

    assert serve_app(superlink.link, main) == "done"


@pytest.mark.parametrize("kind", ["query", "evaluate", "train.nothing", "train.exit", "train.unknown"])
def test_nothing_an_app_says_of_a_failure_leaves_the_site(superlink, sites, kind):
    def main(grid):
        [reply] = pull_all(grid, grid.push_messages([message_to(sites[0].node, kind)]))
        return reply.error

    error = serve_app(superlink.link, main)
    assert error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    assert error.reason in (None, "internal")


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # in Flower's builder
def test_a_run_of_another_bundle_is_refused_and_nothing_of_it_unpacked(superlink, sites, monkeypatch, tmp_path):
    proof = tmp_path / "proof"
    evil = f"open({str(proof)!r}, 'w')\nclient_app = server_app = None\n"
    project = PROJECT.replace("nasturtium.federated.flower.bundle:", "evil:")
    content, _ = build_fab_from_files({"pyproject.toml": project.encode(), "evil.py": evil.encode()})
    foreign = Fab(hashlib.sha256(content).hexdigest(), content, {})
    monkeypatch.setattr(server_app_module, "make_bundle", lambda: foreign)

    def main(grid):
        [reply] = pull_all(grid, grid.push_messages([message_to(sites[1].node, a=1)]))
        return reply.error

    error = serve_app(superlink.link, main)
    assert (error.code, error.reason or None) == (ErrorCode.INVALID_FAB, None)
    assert not proof.exists()
    assert not list(sites[1].folder.rglob("evil*"))


def test_a_site_that_was_killed_is_let_in_again_and_answers(superlink, sites):
    node = sites[2].node

    def main(grid):
        lost = grid.push_messages([message_to(node, a=1)])
        sites[2].kill()
        sites[2].start()
        assert until(lambda: sites[2].node == node)
        [reply] = pull_all(grid, grid.push_messages([message_to(node, a=2)]))
        assert dict(reply.content["back"]) == {"a": 2}
        return [dict(each.content["back"]) for each in grid.pull_messages(lost)]

    # The first one may have been with the site that was killed, or still with the SuperLink.
    assert serve_app(superlink.link, main) in ([], [{"a": 1}])


def test_a_node_that_is_not_registered_is_refused(superlink, tls, tmp_path):
    node = SuperNode(tmp_path / "node", superlink.address, key=new_key(), authority=tls.authority)
    try:
        node.start()
        assert until(lambda: node.exit_code is not None)
        with pytest.raises(FederationError, match="flower-supernode ended with exit code"):
            node.check()
        assert any("could not be" in line or "activat" in line.lower() for line in node.lines())
        assert node.node is None
    finally:
        node.stop()


def test_only_who_knows_the_secret_may_run_tasks(superlink, sites, caplog):
    stop = threading.Event()
    executor = threading.Thread(target=SiteExecutor(sites[0].address, b"guessed", ClientApp()).run, args=(stop,))
    executor.start()
    assert until(lambda: "does not know the executor's secret" in caplog.text)
    stop.set()
    executor.join()
    client = claim_client(superlink.address, b"guessed", "somebody", authority=superlink.link.authority)
    try:
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            server_app_module.claim(client, "flwr-serverapp")
    finally:
        client.close()
    for path in (secret_path(superlink.folder), secret_path(sites[0].folder), sites[0].folder / "transport.key"):
        assert path.stat().st_mode & 0o777 == 0o600


def received() -> Message:
    """A message, for who needs one to answer."""
    metadata = Metadata(
        run_id=1,
        message_id="a",
        src_node_id=1,
        dst_node_id=2,
        reply_to_message_id="",
        group_id="",
        created_at=time.time(),
        ttl=60.0,
        message_type="train",
    )
    return make_message(metadata=metadata, content=RecordDict())


# What a site may do to the coordinator, played by hand through the Fleet API.


class HandSite:
    """A site without a SuperNode: it says what the test wants."""

    def __init__(self, superlink: SuperLink, node: int, key: ec.EllipticCurvePrivateKey) -> None:
        self.node = node
        self.client = FleetHttpClient.from_server_address(
            superlink.address, False, superlink.link.authority, [NodeAuthHttpInterceptor(key, key.public_key())]
        )
        self.client.ActivateNode(
            ActivateNodeRequest(public_key=public_key_to_bytes(key.public_key()), heartbeat_interval=30)
        )

    def take(self) -> Message:
        """The next message, without its content."""
        node, pulled = Node(node_id=self.node), []
        assert until(
            lambda: pulled.extend(self.client.PullMessages(PullMessagesRequest(node=node)).messages_list) or pulled
        )
        return message_from_proto(pulled[0])

    def announce(self, content: RecordDict, inside: dict | None = None) -> list[PushObjectRequest]:
        """Answer the next message; the parts of the answer, yet to be pushed. `inside`: what it says of itself."""
        reply = Message(content, reply_to=self.take())
        envelope = make_message(metadata=copy(reply.metadata), content=RecordDict())
        reply.metadata.__dict__.update(inside or {})
        parts = {name: each.deflate() for name, each in get_all_nested_objects(reply).items()}
        return self.announce_parts(envelope, get_object_tree(reply), parts)

    def announce_parts(self, envelope: Message, tree: ObjectTree, parts: dict[str, bytes]) -> list[PushObjectRequest]:
        node = Node(node_id=self.node)
        envelope.metadata.__dict__["_message_id"] = tree.object_id
        response = self.client.PushMessages(
            PushMessagesRequest(node=node, messages_list=[message_to_proto(envelope)], message_object_trees=[tree])
        )
        return [
            PushObjectRequest(
                node=node,
                run_id=envelope.metadata.run_id,
                session_id=response.session_id,
                object_id=name,
                object_content=part,
            )
            for name, part in parts.items()
        ]

    def push(self, parts: list[PushObjectRequest]) -> None:
        for part in parts:
            assert self.client.PushObject(part).stored


@pytest.fixture
def hand_site(superlink):
    key = new_key()
    with LinkControl(superlink.link) as control:
        node = control.register(key.public_key(), "by hand")
        site = HandSite(superlink, node, key)
        yield site
        site.client.close()
        control.unregister(node)


def test_a_reply_that_is_not_whole_holds_nobody_up_and_is_delivered_when_it_is(superlink, hand_site):
    def main(grid):
        ids = list(grid.push_messages([message_to(hand_site.node)]))
        parts = hand_site.announce(RecordDict({"back": ConfigRecord({"a": 1})}))
        hand_site.push(parts[1:])
        assert list(grid.pull_messages(ids)) == []
        assert list(grid.pull_messages(ids)) == []
        hand_site.push(parts[:1])
        [reply] = grid.pull_messages(ids)
        assert dict(reply.content["back"]) == {"a": 1}
        assert reply.metadata.reply_to_message_id == ids[0]

    serve_app(superlink.link, main)


def test_a_reply_that_cannot_be_read_is_an_error_of_its_site(superlink, hand_site):
    def main(grid):
        ids = list(grid.push_messages([message_to(hand_site.node)]))
        garbage = add_header_to_object_body(b"\xff" * 100, Message(RecordDict(), reply_to=received()))
        name = get_object_id(garbage)
        envelope = Message(RecordDict(), reply_to=hand_site.take())
        hand_site.push(hand_site.announce_parts(envelope, ObjectTree(object_id=name), {name: garbage}))
        [reply] = grid.pull_messages(ids)
        return reply.error.code, reply.error.reason, reply.metadata.src_node_id

    assert serve_app(superlink.link, main) == (ErrorCode.MESSAGE_UNAVAILABLE, "unreadable", hand_site.node)


def test_a_reply_is_from_whom_the_superlink_says_whatever_it_says_itself(superlink, hand_site):
    inside = {"_src_node_id": 99, "_reply_to_message_id": "another", "_run_id": 7}

    def main(grid):
        ids = list(grid.push_messages([message_to(hand_site.node)]))
        hand_site.push(hand_site.announce(RecordDict({"back": ConfigRecord({"a": 1})}), inside))
        [reply] = grid.pull_messages(ids)
        assert dict(reply.content["back"]) == {"a": 1}
        metadata = reply.metadata
        return (metadata.src_node_id, metadata.reply_to_message_id, metadata.run_id) == (
            hand_site.node,
            ids[0],
            grid.run.run_id,
        )

    assert serve_app(superlink.link, main)


def test_a_late_reply_is_forgotten_once_nobody_asks_for_it(superlink, hand_site):
    def main(grid):
        late = list(grid.push_messages([message_to(hand_site.node, round=1)]))
        hand_site.push(hand_site.announce(RecordDict({"back": ConfigRecord({"a": 1})})))
        ids = list(grid.push_messages([message_to(hand_site.node, round=2)]))
        assert grid._unanswered.keys() == {*late, *ids}, "it may be asked for, as in rounds that wait for nobody"
        hand_site.push(hand_site.announce(RecordDict({"back": ConfigRecord({"a": 2})})))
        assert [dict(each.content["back"]) for each in grid.pull_messages(ids)] == [{"a": 2}]
        grid._given_up_s = -1.0
        [last] = grid.push_messages([message_to(hand_site.node, round=3)])
        assert grid._unanswered.keys() == {last}
        assert [each.error.code for each in grid.pull_messages(late)] == [ErrorCode.MESSAGE_UNAVAILABLE]

    serve_app(superlink.link, main)


def test_replies_to_several_exchanges_come_to_who_asks_for_them(superlink, hand_site):
    def main(grid):
        first = list(grid.push_messages([message_to(hand_site.node, round=1)]))
        parts = hand_site.announce(RecordDict({"back": ConfigRecord({"a": 1})}))
        assert list(grid.pull_messages(first)) == []
        second = list(grid.push_messages([message_to(hand_site.node, round=2)]))
        hand_site.push(parts)
        assert list(grid.pull_messages(second)) == []
        hand_site.push(hand_site.announce(RecordDict({"back": ConfigRecord({"a": 2})})))
        return [dict(each.content["back"]) for ids in (first, second) for each in grid.pull_messages(ids)]

    assert serve_app(superlink.link, main) == [{"a": 1}, {"a": 2}]


def test_a_message_that_nobody_fetched_in_time_is_dropped(superlink, hand_site):
    def main(grid):
        [old] = grid.push_messages([message_to(hand_site.node, round=1)])
        time.sleep(0.4)
        [new] = grid.push_messages([message_to(hand_site.node, round=2)])
        assert hand_site.take().metadata.message_id == new != old

    serve_app(superlink.link, main, message_life_s=0.3)


def test_an_enormous_reply_is_an_error_of_its_site(superlink, hand_site):
    def main(grid):
        ids = list(grid.push_messages([message_to(hand_site.node)]))
        hand_site.push(hand_site.announce(RecordDict({"back": ConfigRecord({"a": bytes(100_000)})})))
        [reply] = grid.pull_messages(ids)
        return reply.error, reply.metadata.src_node_id

    error, source = serve_app(superlink.link, main, largest_reply=50_000)
    assert (error.code, error.reason, source) == (ErrorCode.MESSAGE_UNAVAILABLE, "too large", hand_site.node)


def test_a_waiting_coordinator_is_woken_by_who_carries_the_answers(superlink, hand_site):
    bell, pushed = Bell(), []

    def main(grid):
        ids = list(grid.push_messages([message_to(hand_site.node)]))
        assert list(grid.pull_messages(ids)) == []
        parts = hand_site.announce(RecordDict())
        ringer = threading.Timer(0.05, lambda: (hand_site.push(parts), bell.ring()))
        ringer.start()
        grid.wait(ids, 600.0)
        ringer.join()
        return len(list(grid.pull_messages(ids)))

    assert serve_app(superlink.link, main, arrivals=bell, pushed=lambda: pushed.append(1)) == 1
    assert pushed == [1]


# Runs and nodes.


def test_a_key_is_admitted_once_and_no_more_after_its_removal(superlink):
    key = new_key()
    with LinkControl(superlink.link) as control:
        node = control.register(key.public_key(), "hospital-a")
        assert control.register(key.public_key(), "hospital-a") == node
        [found] = [each for each in control.nodes() if each.node == node]
        assert (found.name, found.online) == ("hospital-a", False)
        assert found.public_key == public_key_to_bytes(key.public_key())
        control.unregister(node)
        assert node not in [each.node for each in control.nodes()]
        with pytest.raises(FederationError, match="refused a request"):
            control.unregister(node)


def test_what_the_coordinator_raises_ends_the_run_and_comes_out(superlink):
    def main(grid):
        raise ZeroDivisionError("by us")

    with pytest.raises(ZeroDivisionError, match="by us"):
        serve_app(superlink.link, main)
    with LinkControl(superlink.link) as control:
        assert control.open_runs() == []


def test_runs_that_a_coordinator_left_behind_are_ended(superlink):
    with LinkControl(superlink.link) as control:
        left = control.start_run(make_bundle())
        assert control.open_runs() == [left]
        assert serve_app(superlink.link, lambda grid: grid.run.run_id) != left
        assert control.open_runs() == []


def test_a_process_serves_one_run_at_a_time(superlink):
    def main(grid):
        with pytest.raises(FederationError, match="serves a Flower run already"):
            serve_app(superlink.link, lambda grid: None)
        return 5

    assert serve_app(superlink.link, main) == 5


def test_a_run_that_somebody_ended_is_lost(superlink):
    def main(grid):
        with LinkControl(superlink.link) as control:
            control.stop_run(grid.run.run_id)
        until(lambda: list(grid.get_node_ids()) is None, 60)

    with pytest.raises(LinkLostError):
        serve_app(superlink.link, main)


@contextmanager
def down(superlink):
    superlink.kill()
    yield
    superlink.start()


# The last one: the SuperLink above forgets its nodes.


def test_a_superlink_that_was_restarted_is_noticed_and_serves_a_new_run(superlink):
    def main(grid):
        list(grid.get_node_ids())
        with down(superlink), pytest.raises(LinkLostError, match="does not answer"):
            grid.get_node_ids()
        grid.get_node_ids()

    with pytest.raises(LinkLostError, match="does not know us"):
        serve_app(superlink.link, main, patience_s=0.2)
    assert serve_app(superlink.link, lambda grid: list(grid.get_node_ids())) == []


def test_a_superlink_that_keeps_its_state_goes_on_with_the_run_after_a_restart(tls, tmp_path):
    key = new_key()
    with SuperLink(tmp_path / "link", tls, keep_state=True) as superlink:
        with LinkControl(superlink.link) as control:
            site = HandSite(superlink, control.register(key.public_key(), "by hand"), key)

        def main(grid):
            ids = list(grid.push_messages([message_to(site.node)]))
            with down(superlink):
                pass
            site.push(site.announce(RecordDict()))
            return [each.metadata.src_node_id for each in pull_all(grid, ids)]

        try:
            assert serve_app(superlink.link, main) == [site.node]
        finally:
            site.client.close()
