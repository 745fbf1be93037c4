"""The coordinator's part of a Flower run, in its own process: `serve_app` hands `main` a Grid of the SuperLink.

A Flower run here is throw-away: it lives as long as the call, and a run of ours that goes on after a fault is a new
one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import httpx
from flwr.common.constant import SubStatus
from flwr.common.serde import run_from_proto
from flwr.proto.runtime_pb2 import PullTaskInputRequest, PushTaskOutputRequest
from flwr.serverapp import Grid
from flwr.supercore.constant import TaskType
from flwr.supercore.task_identity import TaskIdentity

from ..errors import FederationError
from .bell import Bell
from .bundle import make_bundle
from .control import LinkControl
from .link_grid import COMPONENT, LARGEST_REPLY, MESSAGE_LIFE_S, LinkGrid
from .runtime import Heartbeats, LinkLostError, Patience, claim, claim_client
from .superlink import Link

logger = logging.getLogger(__name__)

T = TypeVar("T")
PATIENCE_S = 15.0  # a SuperLink that keeps its state may be away for so long; the run then goes on
CLAIM_S = 30.0  # a run's task is there at once

# Flower's messages take their sender from the process, so a process serves one run at a time.
_serving = threading.Lock()


def serve_app(
    link: Link,
    main: Callable[[Grid], T],
    *,
    patience_s: float = PATIENCE_S,
    largest_reply: int = LARGEST_REPLY,
    message_life_s: float = MESSAGE_LIFE_S,
    pushed: Callable[[], None] = lambda: None,
    arrivals: Bell | None = None,
) -> T:
    """Start a Flower run on a SuperLink, be its server app, and end it.

    Args:
        link: the SuperLink. Runs that somebody left open on it are ended: it serves one coordinator.
        main: called once with the Grid; `LinkLostError` comes out of the Grid's calls when the SuperLink was lost.
        patience_s: seconds the SuperLink may be away before that.
        largest_reply: bytes; a longer one is an error of its site, and is not fetched to its end.
        message_life_s: seconds after which a message that no site fetched is dropped; not less than a round may last.
        pushed: told after each push of messages, so that whoever holds the sites' requests asks again.
        arrivals: rung by whoever carries the sites' answers, when a part of one has come.

    Returns:
        What `main` returned.

    Raises:
        LinkLostError: the SuperLink is gone, was restarted without its state, or the run was ended by somebody else.
            A new call, with a SuperLink that runs, starts a new Flower run.
        FederationError: this process serves a run already.
    """
    if not _serving.acquire(blocking=False):
        raise FederationError("this process serves a Flower run already", hint="one after the other")
    try:
        with LinkControl(link) as control:
            _end_leftovers(control)
            run = control.start_run(make_bundle())
            token = _claim(link, run)
            grid = LinkGrid(
                link,
                token,
                patience_s=patience_s,
                largest_reply=largest_reply,
                message_life_s=message_life_s,
                pushed=pushed,
                arrivals=arrivals,
            )
            try:
                with Heartbeats(grid.client):
                    return _be_the_app(grid, main)
            finally:
                grid.close()
                # Asking for the runs makes the SuperLink forget the messages of this one.
                with suppress(FederationError):
                    control.open_runs()
    finally:
        _serving.release()


def _be_the_app(grid: LinkGrid, main: Callable[[Grid], T]) -> T:
    task = grid.client.PullTaskInput(PullTaskInputRequest())
    TaskIdentity.task_id, TaskIdentity.run_id = task.task_id, task.run.run_id
    TaskIdentity.node_id = task.context.node_id
    grid.set_run(run_from_proto(task.run))
    logger.info("serving Flower run %d", task.run.run_id)
    status = SubStatus.FAILED
    try:
        result = main(grid)
        status = SubStatus.COMPLETED
        return result
    except KeyboardInterrupt:
        status = SubStatus.STOPPED
        raise
    finally:
        # A SuperLink that is gone learns nothing; what `main` raised matters more.
        with suppress(FederationError, httpx.HTTPError):
            grid.client.PushTaskOutput(PushTaskOutputRequest(sub_status=status))


def _end_leftovers(control: LinkControl) -> None:
    for run in control.open_runs():
        logger.warning("ending Flower run %d, which a coordinator left behind", run)
        # It may end by itself meanwhile.
        with suppress(FederationError):
            control.stop_run(run)


def _claim(link: Link, run: int) -> str:
    """The token of a run's server task."""
    deadline = time.monotonic() + CLAIM_S
    client = claim_client(link.address, link.secret, COMPONENT, authority=link.authority)
    try:
        while True:
            claimed: tuple[Any, str] | None = Patience("the SuperLink", PATIENCE_S).invoke(
                claim, client, TaskType.SERVER_APP
            )
            if claimed is not None and claimed[0].run_id == run:
                return claimed[1]
            if time.monotonic() > deadline:
                raise LinkLostError(
                    f"the SuperLink gave nobody the server task of run {run}", hint="does somebody else run its tasks?"
                )
            time.sleep(0.05)
    finally:
        client.close()
