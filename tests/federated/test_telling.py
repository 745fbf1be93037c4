"""Why sites did not answer is told of a few of them, however many there are."""

from __future__ import annotations

from nasturtium.federated import Refusal
from nasturtium.federated.protocol.telling import tell_reasons


def test_a_few_sites_are_told_of_one_by_one():
    assert tell_reasons([]) == ""
    assert tell_reasons([("a", "x"), ("b", "y")]) == "a: x; b: y"


def test_of_many_sites_the_first_ones_are_named_and_the_others_counted():
    told = tell_reasons((f"site-{place}", "no answer in time" * 99) for place in range(10_000))
    assert told.startswith("site-0: no answer in time")
    assert told.endswith("; and 9,990 more")
    assert len(told) < 6000


def test_every_code_has_a_sentence():
    told = [code.reason for code in Refusal]
    assert len(set(told)) == len(told)
    assert Refusal.NOT_READY.reason == "the site failed: 'not-ready' (its operator has to do something first)"
