"""A grid on processes: the same answers as on threads, and no message lost when a process dies."""

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import partial
from multiprocessing import active_children

import pytest
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp

from nasturtium.core import ConfigError
from nasturtium.federated import LocalGrid
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID

# What the processes import; tests are no modules that another process finds.
APPS = """
import os, signal, sys
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp


def make_counting(factor=1):
    app = ClientApp()

    @app.train()
    def count(message, context):
        act = message.content["plan"]["act"]
        if act == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if act == "exit":
            os._exit(3)
        if act == "raise":
            raise ValueError("row 7 is secret")
        if act == "nothing":
            return None
        seen = 0
        if act != "forget":
            seen = context.state["seen"]["n"] + 1 if "seen" in context.state else 1
            context.state["seen"] = ConfigRecord({"n": seen})
        said = {"seen": factor * seen, "partition": context.node_config["partition-id"], "process": os.getpid()}
        return Message(RecordDict({"said": ConfigRecord(said)}), reply_to=message)

    return app


def make_none():
    raise OSError("the rows are not here")


def end():
    sys.exit(3)
"""


@pytest.fixture(scope="module")
def apps(tmp_path_factory):
    """The module of `APPS`, which spawned processes find on the path they are given."""
    folder = tmp_path_factory.mktemp("apps")
    (folder / "apps_of_a_test.py").write_text(APPS)
    sys.path.insert(0, str(folder))
    import apps_of_a_test

    yield apps_of_a_test
    sys.path.remove(str(folder))
    del sys.modules["apps_of_a_test"]


def ask(grid, *asked: tuple[int, str]) -> list:
    """Messages to nodes, from 0; what their answers say, or the codes of their errors."""
    messages = [
        Message(RecordDict({"plan": ConfigRecord({"act": act})}), FIRST_NODE_ID + node, MessageType.TRAIN)
        for node, act in asked
    ]
    return [
        (reply.error.code, reply.error.reason) if reply.has_error() else dict(reply.content["said"])
        for reply in grid.send_and_receive(messages)
    ]


@pytest.fixture
def grid(apps):
    with LocalGrid(apps.make_counting, 5, processes=2) as grid:
        yield grid


def test_any_number_of_processes_gives_the_answers_of_threads(apps):
    asked = [(node, act) for act in ("", "", "raise", "nothing", "forget") for node in range(5)]
    told = []
    for processes in (0, 1, 2):
        with LocalGrid(partial(apps.make_counting, 10), 5, processes=processes) as grid:
            answers = ask(grid, *asked) + ask(grid, *asked)
        for answer in answers:
            if isinstance(answer, dict):
                del answer["process"]
        told.append(answers)
    assert told[0] == told[1] == told[2]
    assert told[0][0] == {"seen": 10, "partition": 0}
    assert told[0][10:20:5] == [(2, "ValueError"), (2, "TypeError")]


def test_nodes_are_shared_out_and_stay_where_they_are(grid):
    first, second = ([answer["process"] for answer in ask(grid, *((node, "") for node in range(5)))] for _ in range(2))
    assert first == second
    assert first[0] == first[2] == first[4] != first[1] == first[3]
    assert os.getpid() not in first


@pytest.mark.parametrize(("act", "code"), [("die", -signal.SIGKILL), ("exit", 3)])
def test_a_process_that_dies_costs_one_answer_and_no_state(grid, act, code):
    assert [answer["seen"] for answer in ask(grid, (0, ""), (1, ""))] == [1, 1]
    crashed, after, same, other = ask(grid, (0, act), (0, ""), (2, ""), (1, ""))
    assert crashed == (8, f"process ended with {code}")
    assert [answer["seen"] for answer in (after, same, other)] == [2, 1, 2]


def test_a_process_that_dies_between_messages_costs_none(grid):
    [before] = ask(grid, (0, ""))
    [process] = (process for process in active_children() if process.pid == before["process"])
    process.kill()
    process.join()
    [after] = ask(grid, (0, ""))
    assert after["seen"] == 2
    assert after["process"] != before["process"]


def test_closing_leaves_no_process_and_no_thread(apps):
    before = threading.active_count()
    with LocalGrid(apps.make_counting, 2, processes=2) as grid:
        processes = [answer["process"] for answer in ask(grid, (0, ""), (1, ""))]
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
    assert threading.active_count() == before
    grid.close()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda apps: ClientApp(), "an app is not given to other processes", id="an-app"),
        pytest.param(lambda apps: lambda: None, "cannot be given <function", id="a-lambda"),
        pytest.param(lambda apps: apps.make_none, "OSError: the rows are not here", id="that-raises"),
        pytest.param(lambda apps: apps.end, "SystemExit: 3", id="that-exits"),
    ],
)
def test_what_makes_no_app_there_is_said_at_once(apps, make, reason):
    with pytest.raises(ConfigError, match=reason):
        LocalGrid(make(apps), 3, processes=2)
