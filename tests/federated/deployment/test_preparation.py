"""What a job needs before its first round, where sites are away."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from nasturtium.federated import PausedError
from nasturtium.federated.deployment import JobGoesOn, Protection, RoundRules, preparation
from nasturtium.federated.errors import CeremonyPendingError

NAMES = ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("run", "made", "away", "goes_on"),
    [
        pytest.param("01J", True, ("d", "e"), True, id="a-run-goes-on-with-enough"),
        pytest.param("01J", True, ("c", "d", "e"), False, id="too-few-for-a-sum"),
        pytest.param(None, True, ("e",), True, id="a-new-run-with-enough-replies"),
        pytest.param(None, True, ("d", "e"), False, id="too-few-for-the-rules"),
        pytest.param(None, False, ("e",), False, id="a-key-needs-everybody"),
    ],
)
def test_a_site_that_is_away_keeps_nobody_from_training_once_the_key_is_made(monkeypatch, run, made, away, goes_on):
    grant = SimpleNamespace(roster=SimpleNamespace(members=NAMES, epoch=1))

    def hold(folder, members, ask):
        raise CeremonyPendingError("not yet", waiting=away, grant=grant if made else None)

    monkeypatch.setattr(preparation, "hold_ceremony", hold)
    monkeypatch.setattr(preparation, "_LOOK_S", 0.01)
    monkeypatch.setattr(
        preparation, "Federations", lambda database: SimpleNamespace(renew=lambda claim, seconds: False)
    )
    told, grid = [], SimpleNamespace(get_node_ids=list)
    hub = SimpleNamespace(
        database=None, rules=RoundRules(min_replies=4, grace=0.02, patience=0.1), keys=None, members=list, sites={},
        identity=None, observe=told.append,
    )  # fmt: skip
    before = preparation.Preparation(hub, SimpleNamespace(run=run, name="rows"), threading.Event(), Protection())
    if goes_on:
        assert before.make_key(grid) is grant
        assert told[-1] == JobGoesOn("rows", f"{5 - len(away)} of 5 sites have the key of epoch 1")
    else:
        with pytest.raises(PausedError, match=r"not yet.*e: not connected"):
            before.make_key(grid)
