"""The local grid, and the parts of Flower that we rely on as they are in the installed version."""

from __future__ import annotations

import inspect
import threading
from importlib.metadata import version

import pytest
from flwr.app import ConfigRecord, Context, Error, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from flwr.supercore.task_identity import TaskIdentity

from nasturtium.federated import LocalGrid, RelayStrategy, make_client_app
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id


def make_app(answer) -> ClientApp:
    app = ClientApp()
    app.train()(answer)
    app.evaluate()(answer)
    return app


def echo(message, context):
    return Message(RecordDict({"who": ConfigRecord({"partition": partition_id(context)})}), reply_to=message)


def train_message(node: int = FIRST_NODE_ID, text: str = "") -> Message:
    return Message(RecordDict({"plan": ConfigRecord({"text": text})}), node, MessageType.TRAIN, group_id="1")


def text_of(message: Message) -> str:
    return message.content["plan"]["text"]


def test_flower_is_of_the_version_this_was_written_for():
    assert version("flwr").startswith("1.41.")


@pytest.mark.parametrize(("ours", "theirs"), [(LocalGrid, Grid), (RelayStrategy, Strategy)])
def test_we_implement_what_flower_asks_for_with_its_parameters(ours, theirs):
    assert theirs.__abstractmethods__
    for name in theirs.__abstractmethods__:
        mine, flowers = inspect.getattr_static(ours, name), inspect.getattr_static(theirs, name)
        if isinstance(flowers, property):
            assert isinstance(mine, property), name
            continue
        assert mine is not flowers, name
        asked, have = inspect.signature(flowers).parameters, inspect.signature(mine).parameters
        assert [(p.name, p.kind, p.default) for p in have.values()] == [
            (p.name, p.kind, p.default) for p in asked.values()
        ], name


def test_flowers_grid_asks_for_what_ours_was_written_for():
    assert Grid.__abstractmethods__ == {
        "set_run",
        "run",
        "create_message",
        "get_node_ids",
        "push_messages",
        "pull_messages",
        "send_and_receive",
    }


@pytest.mark.parametrize(
    ("what", "parameters"),
    [
        pytest.param(Context, ["run_id", "node_id", "node_config", "state", "run_config"], id="Context"),
        pytest.param(Error, ["code", "reason"], id="Error"),
        pytest.param(ClientApp.__call__, ["self", "message", "context"], id="ClientApp"),
    ],
)
def test_flowers_signatures_are_as_we_use_them(what, parameters):
    assert list(inspect.signature(what).parameters)[: len(parameters)] == parameters


@pytest.mark.parametrize("name", ["run_id", "node_id", "task_id"])
def test_messages_take_their_identity_from_the_process(name):
    assert isinstance(inspect.getattr_static(type(TaskIdentity), name), property)


def test_a_message_and_its_reply_are_addressed_as_we_rely_on():
    with LocalGrid(make_app(echo), 1):
        message = train_message()
        message.metadata.__dict__["_message_id"] = "an id"
        reply = Message(Error(7, "why"), reply_to=message)
    assert (message.metadata.src_node_id, message.metadata.dst_node_id) == (1, FIRST_NODE_ID)
    assert (reply.metadata.src_node_id, reply.metadata.dst_node_id) == (FIRST_NODE_ID, 1)
    assert reply.metadata.reply_to_message_id == message.metadata.message_id == "an id"
    assert reply.has_error()
    assert (reply.error.code, reply.error.reason) == (7, "why")


def test_a_client_app_is_asked_by_the_type_of_the_message():
    app = ClientApp()
    app.train()(lambda message, context: "trained")
    app.evaluate()(lambda message, context: "evaluated")
    with LocalGrid(app, 1):
        context = Context(run_id=1, node_id=2, node_config={}, state=RecordDict(), run_config={})
        assert app(train_message(), context) == "trained"
        assert app(Message(RecordDict(), 2, MessageType.EVALUATE), context) == "evaluated"


def test_every_node_answers_in_its_own_context():
    with LocalGrid(make_app(echo), 5, workers=3) as grid:
        nodes = list(grid.get_node_ids())
        replies = list(grid.send_and_receive([train_message(node) for node in nodes]))
    assert {reply.metadata.src_node_id: reply.content["who"]["partition"] for reply in replies} == {
        node: node - FIRST_NODE_ID for node in nodes
    }


@pytest.mark.parametrize("error", [ValueError("row 7 is secret"), SystemExit("row 7 is secret")], ids=lambda e: repr(e))
def test_an_app_that_raises_becomes_an_error_without_the_text(error):
    def broken(message, context):
        raise error

    with LocalGrid(make_app(broken), 1) as grid:
        [reply] = grid.send_and_receive([train_message()])
    assert reply.has_error()
    assert reply.error.reason == type(error).__name__


@pytest.mark.parametrize("error", [ValueError, KeyError, MemoryError])
def test_our_own_app_gives_no_text_of_an_error_to_any_grid(error, make_plan):
    """Flower's own nodes send the text of whatever an app raises: ours raises nothing."""

    def find_site(context):
        raise error("row 7 is secret")

    context = Context(run_id=1, node_id=2, node_config={}, state=RecordDict(), run_config={})
    with LocalGrid(make_app(echo), 1):
        message = train_message()
        message.metadata.__dict__["_message_id"] = "an id"
        reply = make_client_app(find_site)(message, context)
    assert reply.error.reason == ("memory" if error is MemoryError else "internal")


def test_a_timeout_returns_what_has_arrived_and_an_answer_comes_only_once():
    release = threading.Event()

    def answer(message, context):
        if partition_id(context) == 0:
            release.wait()
        return echo(message, context)

    with LocalGrid(make_app(answer), 2) as grid:
        messages = [train_message(node) for node in grid.get_node_ids()]
        late, early = ids = list(grid.push_messages(messages))
        try:
            [reply] = grid.send_and_receive([train_message(FIRST_NODE_ID + 1)], timeout=60)
            assert reply.metadata.src_node_id == FIRST_NODE_ID + 1
            assert list(grid.send_and_receive([train_message(FIRST_NODE_ID)], timeout=0.05)) == []
            assert [m.metadata.reply_to_message_id for m in grid.pull_messages(ids)] == [early]
            assert list(grid.pull_messages(ids)) == []
        finally:
            release.set()
        list(grid.send_and_receive([train_message(FIRST_NODE_ID)], timeout=60))
        assert [m.metadata.reply_to_message_id for m in grid.pull_messages(ids)] == [late]


def test_a_node_answers_its_messages_one_after_the_other_in_order():
    release, seen = threading.Event(), []

    def answer(message, context):
        if partition_id(context) == 0:
            seen.append(f"begin {text_of(message)}")
            release.wait()
            seen.append(f"end {text_of(message)}")
        return echo(message, context)

    with LocalGrid(make_app(answer), 2, workers=4) as grid:
        try:
            list(grid.push_messages([train_message(text="a"), train_message(text="b")]))
            # The busy node holds one worker, whatever waits for it.
            assert len(list(grid.send_and_receive([train_message(FIRST_NODE_ID + 1)], timeout=60))) == 1
        finally:
            release.set()
        list(grid.send_and_receive([train_message(text="c")], timeout=60))
    assert seen == ["begin a", "end a", "begin b", "end b", "begin c", "end c"]


def test_closing_drops_what_has_not_begun(monkeypatch):
    began, release, seen = threading.Event(), threading.Event(), []

    def answer(message, context):
        seen.append(text_of(message))
        began.set()
        release.wait()
        return echo(message, context)

    def shutdown_then_release(**options):
        shutdown(wait=False, **options)
        release.set()
        shutdown()

    grid = LocalGrid(make_app(answer), 2, workers=1)
    shutdown = grid._pool.shutdown
    monkeypatch.setattr(grid._pool, "shutdown", shutdown_then_release)
    list(grid.push_messages([train_message(text="a"), train_message(text="b"), train_message(FIRST_NODE_ID + 1, "c")]))
    assert began.wait(60)
    grid.close()
    assert seen == ["a"]


def test_a_local_grid_has_no_flower_run():
    with LocalGrid(make_app(echo), 1) as grid, pytest.raises(RuntimeError, match="no Flower run"):
        _ = grid.run
