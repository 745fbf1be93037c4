"""Rounds through front and tunnel, which hold requests back, with Flower's real servers."""

from __future__ import annotations

import ssl
import threading
import time
from contextlib import ExitStack

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from nasturtium.federated.flower import (
    Bell,
    LinkControl,
    ServerTls,
    SiteExecutor,
    SuperLink,
    SuperNode,
    serve_app,
)
from nasturtium.federated.protocol.gather import Closing, Waking, gather
from nasturtium.federated.transport import Address, Application, Authority, Front, LoopbackFiles, TransportKey, Tunnel
from nasturtium.privacy import Identity

ROUNDS = 4


def test_rounds_go_on_without_anybody_asking_again_and_again(tmp_path):
    app, stop, answers, messages = ClientApp(), threading.Event(), Bell(), Bell()

    @app.train()
    def echo(message, context):
        return Message(RecordDict({"back": message.content["there"]}), reply_to=message)

    def main(grid):
        assert isinstance(grid, Waking)
        end = time.monotonic() + 120
        while node.node not in (nodes := list(grid.get_node_ids())) and time.monotonic() < end:
            time.sleep(0.02)
        found = []
        for round in range(ROUNDS):
            content = RecordDict({"there": ConfigRecord({"round": round})})
            [reply] = gather(grid, [Message(content, nodes[0], "train", group_id="1")], Closing(deadline=120.0))
            found.append(reply.content["back"]["round"])
        return found

    files = LoopbackFiles.make(tmp_path, "superlink")
    authority = Authority.create(tmp_path / "keys", "coordinator", ["127.0.0.1"])
    key, home = TransportKey.generate(), tmp_path / "site"
    home.mkdir(mode=0o700)
    application = Application.make(Identity.generate("hospital-a"), key)
    admission = authority.admit(application, Identity.generate("coordinator"), Address("127.0.0.1", 1))
    tls = ServerTls(certificate=files.certificate, key=files.key, authority=files.authority)
    with ExitStack() as stack:
        superlink = stack.enter_context(SuperLink(tmp_path / "link", tls))
        with LinkControl(superlink.link) as control:
            control.register(key.private.public_key(), "hospital-a")
        front = stack.enter_context(
            Front(
                listen=("127.0.0.1", 0),
                upstream=("127.0.0.1", superlink.port),
                authority=authority,
                upstream_tls=ssl.create_default_context(cafile=files.authority),
                hold_s=20.0,
                answered=answers.ring,
            )
        )
        tunnel = stack.enter_context(
            Tunnel(admission, key, home, connect=front.address, hold_s=20.0, arrived=messages.ring)
        )
        node = SuperNode(home / "node", str(tunnel.address), key=key.private, authority=tunnel.root_certificate)
        node.start()
        stack.callback(node.stop, grace=2)
        executor = SiteExecutor(node.address, node.secret, app, arrivals=messages, answered=tunnel.answered)
        thread = threading.Thread(target=executor.run, args=(stop,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        found = serve_app(superlink.link, main, pushed=front.messages_left, arrivals=answers)
        assert front.traffic()["hospital-a"].refused == 0
        assert (messages.rung, answers.rung > 0) == (ROUNDS, True)
    assert found == list(range(ROUNDS))
