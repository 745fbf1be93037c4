"""Rounds over the network, on loopback: our engine against stock Flower, with the same app, sites and rounds.

    python tests/benchmarks/federated_flower.py [--quick] [--sites N] [--large] [--side ours|stock]

Both have a SuperLink with TLS and keys of nodes, and as many sites. Stock Flower starts its executors and apps as it
does when nobody says otherwise: a process for each message. Ours goes through front and tunnel, with client
certificates, and each site is one process beside its SuperNode. A client echoes what it got. Prints a line of JSON
for each side: seconds to bring servers and sites up, seconds of each trivial round, seconds of rounds with payloads,
megabytes of memory of a site, processor seconds of a round by who spent them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

import nasturtium.federated  # noqa: F401 - switches Flower's reporting off before it is imported

MB = 1_000_000
TIMEOUT_S = 900.0

# The app of stock Flower, which travels in its bundle; ours has the same client.
CLIENT = """
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp

client_app = ClientApp()

@client_app.train()
def echo(message, context):
    return Message(RecordDict({"back": message.content["there"]}), reply_to=message)
"""
SERVER = """
import json, time
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.serverapp import ServerApp

server_app = ServerApp()

@server_app.main()
def main(grid, context):
    config = context.run_config
    began, sites, seconds = time.time(), int(config["sites"]), []
    while len(nodes := list(grid.get_node_ids())) < sites:
        time.sleep(0.1)
    for size in json.loads(config["sizes"]):
        content = lambda: RecordDict({"there": ArrayRecord({"a": Array("uint8", (size,), "bytes", bytes(size))})})
        start = time.time()
        messages = [Message(content(), node, "train", group_id="1") for node in nodes]
        replies = list(grid.send_and_receive(messages, timeout=900))
        assert len(replies) == sites and not any(each.has_error() for each in replies), replies
        seconds.append(time.time() - start)
    with open(config["out"], "w") as file:
        json.dump({"began": began, "seconds": seconds}, file)
"""
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "echo"
version = "1.0.0"
description = "Echoes."
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "nasturtium"
[tool.flwr.app.components]
serverapp = "echo_server:server_app"
clientapp = "echo_client:client_app"
[tool.flwr.app.config]
sites = 0
sizes = ""
out = ""
"""


def ours(folder: Path, sites: int, sizes: Sequence[int]) -> dict[str, Any]:
    """Rounds of our engine: `gather` in this process, through the front."""
    from flwr.app import Array, ArrayRecord, Message, RecordDict

    from nasturtium.federated.flower import Bell, LinkControl, ServerTls, SuperLink, serve_app
    from nasturtium.federated.protocol.gather import Closing, gather
    from nasturtium.federated.transport import Address, Application, Authority, Front, LoopbackFiles, TransportKey
    from nasturtium.privacy import Identity

    coordinator, bell = Identity.generate("coordinator"), Bell()
    authority = Authority.create(folder / "keys", "coordinator", ["localhost", "127.0.0.1"])
    files = LoopbackFiles.make(folder, "superlink")
    tls = ServerTls(certificate=files.certificate, key=files.key, authority=files.authority)
    with ExitStack() as stack:
        started = time.perf_counter()
        superlink = stack.enter_context(SuperLink(folder / "superlink", tls))
        front = stack.enter_context(
            Front(
                listen=("127.0.0.1", 0),
                upstream=("127.0.0.1", superlink.port),
                authority=authority,
                upstream_tls=ssl.create_default_context(cafile=files.authority),
                hold_s=20.0,
                answered=bell.ring,
            )
        )
        link_s = time.perf_counter() - started
        started = time.perf_counter()
        processes: list[psutil.Process] = []
        homes = [folder / f"site-{index}" for index in range(sites)]
        with LinkControl(superlink.link) as control:
            for index in range(sites):
                key, home = TransportKey.generate(), homes[index]
                home.mkdir(mode=0o700)
                application = Application.make(Identity.generate(f"site-{index}"), key)
                authority.admit(application, coordinator, Address("localhost", front.address.port)).write(
                    home / "admission.json"
                )
                key.save(home / "transport.key")
                control.register(key.private.public_key(), f"site-{index}")
                processes.append(stack.enter_context(running("site", home)))
            wait_for(lambda: sum(node.online for node in control.nodes()) == sites)
        sites_s = time.perf_counter() - started

        def main(grid: Any) -> dict[str, Any]:
            nodes, seconds, trivial_cpu = list(grid.get_node_ids()), [], []
            run_s = time.perf_counter() - run_started
            for size in sizes:
                before = cpu(superlink.pid, processes, homes)
                began = time.perf_counter()
                messages = [
                    Message(
                        RecordDict({"there": ArrayRecord({"a": Array("uint8", (size,), "bytes", bytes(size))})}),
                        node,
                        "train",
                        group_id="1",
                    )
                    for node in nodes
                ]
                replies = gather(grid, messages, Closing(deadline=TIMEOUT_S, min_replies=sites))
                assert len(replies) == sites
                assert not any(each.has_error() for each in replies)
                seconds.append(time.perf_counter() - began)
                if size == min(sizes):
                    after = cpu(superlink.pid, processes, homes)
                    trivial_cpu.append({name: after[name] - before[name] for name in after})
            return {"run_s": run_s, "seconds": seconds, "cpu": mean_of(trivial_cpu)}

        run_started = time.perf_counter()
        found = serve_app(superlink.link, main, pushed=front.messages_left, arrivals=bell)
        shares = found.pop("cpu")
        shares["front_and_tunnels_part"] = shares.pop("carriers") / max(sum(shares.values()), 1e-9)
        return report(found, sizes, link_s, sites_s, [memory(each) for each in processes]) | {"cpu_s_a_round": shares}


def site(home: Path) -> None:
    """One site of ours: tunnel and executor in this process, the SuperNode as its child."""
    from flwr.clientapp import ClientApp

    from nasturtium.federated.flower import Bell, SiteExecutor, SuperNode
    from nasturtium.federated.transport import Admission, TransportKey, Tunnel

    names: dict[str, ClientApp] = {}
    exec(CLIENT, names)  # the same client as stock Flower's
    stop, bell = threading.Event(), Bell()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    admission, key = Admission.read(home / "admission.json"), TransportKey.load(home / "transport.key")
    connect = ("127.0.0.1", admission.address.port)
    with Tunnel(admission, key, home, connect=connect, hold_s=20.0, arrived=bell.ring) as tunnel:
        node = SuperNode(home / "node", str(tunnel.address), key=key.private, authority=tunnel.root_certificate)
        with node:
            (home / "tunnel-thread").write_text(str(carrier("nasturtium-tunnel")))
            SiteExecutor(node.address, node.secret, names["client_app"], arrivals=bell, answered=tunnel.answered).run(
                stop
            )


def stock(folder: Path, sites: int, sizes: Sequence[int]) -> dict[str, Any]:
    """Rounds of stock Flower: its own loop in a process of the SuperLink's, its own executors everywhere."""
    import hashlib

    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from flwr.cli.build import build_fab_from_files
    from flwr.common.serde import fab_to_proto, user_config_to_proto
    from flwr.proto.control_pb2 import StartRunRequest
    from flwr.supercore.fab import Fab

    from nasturtium.federated.flower import FlowerServer, Link, LinkControl
    from nasturtium.federated.transport import LoopbackFiles

    files = LoopbackFiles.make(folder, "superlink")
    common = ["--host", "127.0.0.1", "--port"]

    def link_line(port: int) -> list[str]:
        line = [*common, str(port), "--ssl-certfile", str(files.certificate), "--ssl-keyfile", str(files.key)]
        line += ["--ssl-ca-certfile", str(files.authority)]
        return [*line, "--enable-supernode-auth", "--disable-runtime-dependency-installation"]

    with ExitStack() as stack:
        started = time.perf_counter()
        superlink = stack.enter_context(FlowerServer("flower-superlink", folder / "superlink", link_line))
        link_s = time.perf_counter() - started
        link = Link(address=superlink.address, secret=b"", authority=files.authority.read_bytes())
        started = time.perf_counter()
        nodes: list[FlowerServer] = []
        control = stack.enter_context(LinkControl(link))
        for index in range(sites):
            key, path = ec.generate_private_key(ec.SECP384R1()), folder / f"{index}.key"
            path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
            control.register(key.public_key(), f"site-{index}")
            line = ["--superlink", superlink.address, "--root-certificates", str(files.authority)]
            line += ["--auth-supernode-private-key", str(path), *common]
            node = FlowerServer(
                "flower-supernode", folder / f"node-{index}", lambda port, line=line: [*line, str(port)]
            )
            stack.callback(node.stop, grace=2)
            nodes.append(node)
        threads = [threading.Thread(target=node.start) for node in nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_for(lambda: sum(node.online for node in control.nodes()) == sites)
        sites_s = time.perf_counter() - started
        content, _ = build_fab_from_files(
            {"pyproject.toml": PROJECT.encode(), "echo_client.py": CLIENT.encode(), "echo_server.py": SERVER.encode()}
        )
        bundle = Fab(hashlib.sha256(content).hexdigest(), content, {})
        out, peaks = folder / "out.json", [0.0] * sites
        config = {"sites": sites, "sizes": json.dumps(list(sizes)), "out": str(out)}
        submitted = time.time()
        control._client.StartRun(
            StartRunRequest(fab=fab_to_proto(bundle), override_config=user_config_to_proto(config))
        )

        def look() -> bool:
            for index, node in enumerate(nodes):
                peaks[index] = max(peaks[index], memory(psutil.Process(node.pid)))
            return out.exists() and bool(out.read_text())

        wait_for(look, 0.5)
        found = json.loads(out.read_text())
        return report({"run_s": found["began"] - submitted, "seconds": found["seconds"]}, sizes, link_s, sites_s, peaks)


def report(
    found: dict[str, Any], sizes: Sequence[int], link_s: float, sites_s: float, memories: Sequence[float]
) -> dict[str, Any]:
    """What both sides say."""
    smallest = min(sizes)
    trivial = [second for size, second in zip(sizes, found["seconds"], strict=True) if size == smallest]
    payloads = {
        f"{size // MB} MB": round(second, 3)
        for size, second in zip(sizes, found["seconds"], strict=True)
        if size != smallest
    }
    return {
        "superlink_s": round(link_s, 3),
        "sites_s": round(sites_s, 3),
        "run_s": round(found["run_s"], 3),
        "trivial_round_s": round(statistics.median(trivial[1:] or trivial), 3),
        "trivial_rounds_s": [round(each, 3) for each in trivial],
        "payload_round_s": payloads,
        "site_mb": round(max(memories), 1),
    }


@contextmanager
def running(*words: object) -> Iterator[psutil.Process]:
    """This module in a process of its own, ended afterwards."""
    line = [sys.executable, __file__, "--as", *map(str, words)]
    with subprocess.Popen(line, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def memory(process: psutil.Process) -> float:
    """Megabytes that only a process and those below it hold."""
    total = 0
    for each in family(process):
        try:
            total += each.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return total / MB


def carrier(name: str) -> int:
    """The system's number of a thread of this process."""
    return next(each.native_id or 0 for each in threading.enumerate() if each.name == name)


def cpu(superlink: int | None, sites: Sequence[psutil.Process], homes: Sequence[Path]) -> dict[str, float]:
    """Processor seconds so far: Flower's servers, our processes, and in these the threads that carry bytes."""

    def seconds(process: psutil.Process) -> float:
        times = process.cpu_times()
        return times.user + times.system

    def carried(process: psutil.Process, thread: int) -> float:
        return sum(each.user_time + each.system_time for each in process.threads() if each.id == thread)

    me, link = psutil.Process(), psutil.Process(superlink)
    nodes = [child for each in sites for child in each.children(recursive=True)]
    return {
        "superlink": seconds(link),
        "supernodes": sum(map(seconds, nodes)),
        "coordinator": seconds(me),
        "sites": sum(map(seconds, sites)),
        "carriers": carried(me, carrier("nasturtium-front"))
        + sum(
            carried(each, int((home / "tunnel-thread").read_text())) for each, home in zip(sites, homes, strict=True)
        ),
    }


def mean_of(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """By name; the first round, which starts things up, is left out if there are more."""
    counted = rows[1:] or rows
    return {name: round(sum(row[name] for row in counted) / len(counted), 4) for name in counted[0]}


def wait_for(condition: Callable[[], bool], pause: float = 0.1) -> None:
    """Return when it is true."""
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("it did not happen")
        time.sleep(pause)


SIDES = {"ours": ours, "stock": stock}


def measure(side: str, sites: int, sizes: Sequence[int]) -> dict[str, Any]:
    """One side in a folder of its own, and in a process of its own, so that each begins alike."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, __file__, "--as", side, folder, str(sites), json.dumps(list(sizes))]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side}: {done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    if arguments[:1] == ["--as"]:
        if arguments[1] == "site":
            site(Path(arguments[2]))
        else:
            side, folder, sites, sizes = arguments[1:]
            print(json.dumps(SIDES[side](Path(folder), int(sites), json.loads(sizes))), flush=True)
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two sites, few rounds")
    parser.add_argument("--sites", type=int, default=4)
    parser.add_argument("--large", action="store_true", help="a payload of 200 MB, too")
    parser.add_argument("--side", choices=SIDES, nargs="+", default=list(SIDES))
    given = parser.parse_args(arguments)
    sites = 2 if given.quick else given.sites
    sizes = [1000] * (4 if given.quick else 8) + [10 * MB] * (1 if given.quick else 2) + [200 * MB] * given.large
    for side in given.side:
        print(side, json.dumps(measure(side, sites, sizes)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
