"""Nodes that exist only while a message is for them."""

from __future__ import annotations

import threading

import pytest
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp

from nasturtium.federated import LocalGrid
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id


def make_app(answer) -> ClientApp:
    app = ClientApp()
    app.train()(answer)
    return app


def echo(message, context):
    return Message(RecordDict({"who": ConfigRecord({"partition": partition_id(context)})}), reply_to=message)


def train_message(node: int = FIRST_NODE_ID, text: str = "") -> Message:
    return Message(RecordDict({"plan": ConfigRecord({"text": text})}), node, MessageType.TRAIN, group_id="1")


def text_of(message: Message) -> str:
    return message.content["plan"]["text"]


def test_a_node_that_is_none_answers_with_flowers_error():
    with LocalGrid(make_app(echo), 2) as grid:
        missing, there = grid.send_and_receive([train_message(FIRST_NODE_ID + 2), train_message()])
    assert (missing.error.code, missing.error.reason) == (5, "no such node")
    assert not there.has_error()


def test_state_is_kept_between_messages_and_only_where_it_was_written():
    def remember(message, context):
        if text_of(message) == "write":
            context.state["seen"] = ConfigRecord({"text": text_of(message)})
        if text_of(message) == "forget":
            del context.state["seen"]
        return Message(RecordDict({"said": ConfigRecord({"records": list(context.state)})}), reply_to=message)

    with LocalGrid(make_app(remember), 10_000) as grid:

        def ask(node, text):
            [reply] = grid.send_and_receive([train_message(FIRST_NODE_ID + node, text)])
            return reply.content["said"]["records"], len(grid._states)

        assert ask(7, "") == ([], 0)
        assert ask(7, "write") == (["seen"], 1)
        assert ask(8, "") == ([], 1)
        assert ask(7, "") == (["seen"], 1)
        assert ask(7, "forget") == ([], 0)
        assert grid._inboxes == {}


@pytest.mark.parametrize("workers", [1, 4])
def test_thousands_of_nodes_answer_in_one_round(workers):
    with LocalGrid(make_app(echo), 3_000, workers=workers) as grid:
        replies = list(grid.send_and_receive([train_message(node) for node in grid.get_node_ids()]))
    assert [reply.content["who"]["partition"] for reply in replies] == list(range(3_000))


def test_who_waits_is_woken_by_the_first_answer_and_not_kept_by_one_that_is_there():
    release = threading.Event()

    def answer(message, context):
        if partition_id(context) == 0:
            release.wait()
        return echo(message, context)

    with LocalGrid(make_app(answer), 2) as grid:
        late, early = ids = list(grid.push_messages([train_message(node) for node in grid.get_node_ids()]))
        try:
            grid.wait(ids, 60)
            grid.wait(ids, 60)
            [reply] = grid.pull_messages(ids)
            assert reply.metadata.reply_to_message_id == early
            grid.wait([late], 0.01)
            assert list(grid.pull_messages([late])) == []
        finally:
            release.set()
        grid.wait([late], 60)
        assert len(list(grid.pull_messages([late]))) == 1
