"""Children that serve: started, watched, stopped, and gone with their parent. The child is a small server of ours."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from nasturtium.federated import FederationError
from nasturtium.federated.flower import FlowerServer, keep_running
from nasturtium.federated.flower import processes as module
from nasturtium.federated.flower.bounded_log import BoundedLog
from nasturtium.federated.flower.environment import child_environment
from nasturtium.federated.flower.processes import free_port

SERVER = """
import os, socket, subprocess, sys, time

def main():
    port, way = int(sys.argv[1]), sys.argv[2]
    print("\\x1b[92mhello\\x1b[0m", flush=True)
    if way == "killed once" and not os.path.exists("killed"):
        open("killed", "w").close()
        os.kill(os.getpid(), 9)
    if way == "fails":
        print("no such certificate", file=sys.stderr)
        return 7
    if way == "deaf":
        time.sleep(600)
    if way == "parent":
        print("child", subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as exc:
        print(exc)
        return 1
    listener.listen()
    print("home", os.environ["FLWR_HOME"], flush=True)
    while True:
        time.sleep(600)
"""


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> str:
    """A folder with a command that Python finds as if it were installed."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "small_server.py").write_text(SERVER)
    about = folder / "small_server-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: small-server\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[console_scripts]\nsmall-server = small_server:main\n")
    return str(folder)


@pytest.fixture
def make_server(installed, tmp_path):
    made: list[FlowerServer] = []

    def make(way: str = "serves", **options) -> FlowerServer:
        server = FlowerServer(
            "small-server",
            tmp_path / str(len(made)),
            lambda port: [str(port), way],
            environment={"PYTHONPATH": installed},
            **options,
        )
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()


def until(condition, seconds: float = 60.0) -> bool:
    """Whether it came true; the time is only there so that a failure ends."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def answers(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_listens_when_it_is_started_and_ends_when_it_is_stopped(make_server):
    server = make_server()
    server.start()
    pid = server.pid
    server.check()
    assert answers(server.port)
    assert server.exit_code is None
    assert os.getpgid(pid) == pid
    server.stop()
    assert not psutil.pid_exists(pid)
    assert not answers(server.port)
    with pytest.raises(FederationError, match="small-server is not running"):
        server.check()


def test_a_server_comes_back_on_its_port_after_a_fault(make_server):
    with make_server() as server:
        port = server.port
        server.kill()
        with pytest.raises(FederationError, match="ended with signal SIGKILL"):
            server.check()
        server.start()
        assert server.port == port
        assert answers(port)


def test_a_server_that_runs_is_not_started_again(make_server):
    with make_server() as server, pytest.raises(FederationError, match=f"running already as process {server.pid}"):
        server.start()


def test_a_server_that_was_never_started_has_no_port(make_server):
    server = make_server()
    with pytest.raises(FederationError, match="never started"):
        _ = server.address
    assert (server.pid, server.exit_code, server.lines()) == (None, None, [])


def test_a_server_that_ends_says_what_its_log_said_last(make_server):
    server = make_server("fails")
    with pytest.raises(FederationError, match="exit code 7") as error:
        server.start()
    assert "hello\n    no such certificate" in str(error.value)
    assert str(server.folder) in (error.value.hint or "")


def test_a_server_that_does_not_listen_in_time_is_ended(make_server):
    server = make_server("deaf")
    with pytest.raises(FederationError, match="did not listen in time"):
        server.start(timeout=0.2)
    assert server.pid is None


def test_a_port_that_somebody_got_first_is_not_the_last_one(make_server, monkeypatch):
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        taken = somebody.getsockname()[1]
        ports = iter([taken, free_port()])
        monkeypatch.setattr(module, "free_port", lambda: next(ports))
        server = make_server()
        server.start()
        assert server.port != taken


def test_what_a_server_started_ends_with_it(make_server):
    server = make_server("parent")
    server.start()
    assert until(lambda: any("child" in line for line in server.lines()))
    child = int(next(line for line in server.lines() if "child" in line).split()[1])
    server.stop()
    assert until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_a_server_ends_when_its_parent_is_killed(installed, tmp_path):
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import sys, threading, time\n"
        "from pathlib import Path\n"
        "from nasturtium.federated.flower import FlowerServer\n"
        "server = FlowerServer('small-server', Path(sys.argv[1]), lambda port: [str(port), 'parent'],\n"
        "                      environment={'PYTHONPATH': sys.argv[2]})\n"
        # The thread that started it ends; the parent does not.
        "thread = threading.Thread(target=server.start)\n"
        "thread.start()\n"
        "thread.join()\n"
        "print(server.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    line = [sys.executable, str(parent), str(tmp_path / "server"), installed]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        assert psutil.Process(pid).is_running()
        [child] = psutil.Process(pid).children()
        process.send_signal(signal.SIGKILL)
    assert until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    assert until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_kept_server_is_started_after_every_end_until_it_is_told_to_stop(make_server):
    server, stop, starts = make_server(), threading.Event(), []
    keeper = threading.Thread(
        target=keep_running,
        args=(server, stop),
        kwargs={"shortest": 0.01, "restarted": lambda: starts.append(server.pid)},
    )
    keeper.start()
    try:
        for number in (1, 2):
            assert until(lambda number=number: len(starts) == number)
            server.kill()
        assert until(lambda: len(starts) == 3)
    finally:
        stop.set()
        keeper.join()
    assert len(set(starts)) == 3
    server.check()


def test_a_server_that_is_killed_while_it_starts_is_started_again(make_server):
    server = make_server("killed once")
    server.start()
    assert server.exit_code is None
    assert answers(server.port)


def test_a_server_is_not_started_again_while_there_is_no_use_in_it(make_server):
    server, stop, useful, asked = make_server(), threading.Event(), threading.Event(), threading.Event()

    def look() -> bool:
        asked.set()
        return useful.is_set()

    server.start()
    keeper = threading.Thread(target=keep_running, args=(server, stop), kwargs={"shortest": 0.01, "useful": look})
    keeper.start()
    try:
        server.kill()
        assert asked.wait(60)
        assert server.exit_code is not None
        useful.set()
        assert until(lambda: server.exit_code is None)
    finally:
        stop.set()
        keeper.join()


def test_who_keeps_a_server_stops_also_while_it_starts(make_server):
    server, stop = make_server("deaf"), threading.Event()
    keeper = threading.Thread(target=keep_running, args=(server, stop))
    keeper.start()
    assert until(lambda: server.pid is not None)
    pid = server.pid
    stop.set()
    keeper.join()
    assert server.pid is None
    assert not psutil.pid_exists(pid)


def test_a_log_never_grows_beyond_its_bound(tmp_path):
    log = BoundedLog(tmp_path / "a.log", limit=1000)
    for number in range(500):
        log.write(f"line {number}\n".encode())
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [each.name for each in files] == ["a.log", "a.log.1"]
    assert all(each.stat().st_size <= 1000 and each.stat().st_mode & 0o777 == 0o600 for each in files)
    assert log.lines()[-1] == files[0].read_text().splitlines()[-1] == "line 499"


def test_a_child_sees_nothing_of_the_users_flower(monkeypatch):
    monkeypatch.setenv("FLWR_HOME", "/home/somebody/.flwr")
    monkeypatch.setenv("FLWR_INTERNAL_GRPC_CONTROL_API", "1")
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.delenv("no_proxy", raising=False)
    seen = child_environment(Path("/somewhere"), {"MORE": "yes"})
    assert {name: value for name, value in seen.items() if name.startswith("FLWR_")} == {
        "FLWR_HOME": "/somewhere",
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    }
    assert seen["NO_PROXY"] == seen["no_proxy"] == "example.org,127.0.0.1,localhost"
    assert seen["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert seen["MORE"] == "yes"
