"""The same app on a local Ray cluster of two CPUs: the answers of threads, and no message lost with an actor."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp

from nasturtium.core import ConfigError, MissingExtraError
from nasturtium.federated import LocalGrid, RayGrid
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID


def make_app(factor: int = 1) -> ClientApp:
    app = ClientApp()

    @app.train()
    def count(message, context):
        act = message.content["plan"]["act"]
        if act == "die":
            os._exit(3)
        if act == "raise":
            raise ValueError("row 7 is secret")
        seen = context.state["seen"]["n"] + 1 if "seen" in context.state else 1
        context.state["seen"] = ConfigRecord({"n": seen})
        said = {"seen": factor * seen, "partition": context.node_config["partition-id"]}
        return Message(RecordDict({"said": ConfigRecord(said)}), reply_to=message)

    return app


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


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"nasturtium\[ray\]"):
        RayGrid(make_app(), 3)


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_cluster_answers_as_threads_do(monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # for this file, on every node
    asked = [(node, act) for act in ("", "raise", "") for node in range(4)]
    with LocalGrid(make_app(10), 4) as grid:
        told = ask(grid, *asked)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
        with pytest.raises(ConfigError, match="no room for 0 actors of 3 CPUs"):
            RayGrid(make_app(), 4, cpus=3)
        with RayGrid(lambda: make_app(10), 4) as grid:
            assert ask(grid, *asked) == told
            # The actor of the even nodes dies: one answer is lost, and no state.
            crashed, *after = ask(grid, (0, "die"), (0, ""), (2, ""), (1, ""))
            assert crashed[0] == 8
            assert [answer["seen"] for answer in after] == [30, 30, 30]
        assert ray.is_initialized()  # it was not the grid's
    finally:
        ray.shutdown()
