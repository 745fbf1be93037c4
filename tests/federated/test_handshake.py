"""Before the first round sites say what they are: who does not fit is told why, and the others go on."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core.data import Column, Task
from nasturtium.federated import (
    Greeter,
    HelloTerms,
    LocalGrid,
    MemoryJournal,
    PausedError,
    Peers,
    PlanError,
    Refusal,
    RelayStrategy,
    RoundResult,
    make_client_app,
)
from nasturtium.federated.protocol.courier import Pause
from nasturtium.federated.protocol.gather import Closing
from nasturtium.federated.protocol.handshake import check_hello, columns_of, schema_sha256
from nasturtium.federated.protocol.queries import HelloRequest, SiteHello
from nasturtium.federated.protocol.query_records import hello_from_content, hello_to_content
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.privacy import PackedAdder, PackedCipher, PlainCipher, SecretKey, UpdateRejectedError

COLUMNS = (("a", "numeric"), ("b", "numeric"), ("c", "numeric"))
ACTIONS = ("train", "evaluate", "checkpoint")
ROSTER = "5a" * 32
HELLO = SiteHello(
    package="0.5",
    wire=1,
    plans=1,
    schemes=("packed", "plain"),
    key_id="ab" * 16,
    masks=True,
    must_mask=False,
    roster_sha256=ROSTER,
    columns=COLUMNS,
    schema_sha256="cd" * 32,
    schema="",
    actions=ACTIONS,
)
TERMS = HelloTerms(
    package="0.6",
    scheme="packed",
    key_id="ab" * 16,
    masked=True,
    roster_sha256=ROSTER,
    columns=COLUMNS,
    schema_sha256="cd" * 32,
)


def test_a_site_that_fits_is_told_nothing():
    assert check_hello(HELLO, TERMS) == ()
    assert check_hello(replace(HELLO, must_mask=True), TERMS) == ()
    [reason] = check_hello(replace(HELLO, must_mask=True), replace(TERMS, masked=False))
    assert reason == "it masks all of its updates, the run none"
    assert check_hello(replace(HELLO, columns=()), TERMS) == ()  # its policy tells the fingerprint alone
    anything = replace(TERMS, roster_sha256=None, columns=None, schema_sha256=None)
    other = replace(HELLO, columns=(("x", "numeric"),), schema_sha256="00", roster_sha256="")
    assert check_hello(other, anything) == ()


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        pytest.param({"wire": 2}, ["nasturtium 0.5 at the site speaks version 2 of messages, 0.6 here"], id="wire"),
        pytest.param({"plans": 9}, ["nasturtium 0.5 at the site speaks version 9 of plans"], id="plans"),
        pytest.param({"schemes": ("plain",)}, ["it protects updates by 'plain', the run by packed"], id="scheme"),
        pytest.param({"key_id": "00" * 16}, ["its key is '0000"], id="key"),
        pytest.param({"masks": False}, ["it masks none of its updates, the run all"], id="masks"),
        pytest.param({"roster_sha256": "00" * 32}, ["it has signed the roster 00000000"], id="roster"),
        pytest.param({"roster_sha256": ""}, ["it has signed no roster"], id="no-roster"),
        pytest.param({"actions": ("train",)}, ["its policy does not allow it to evaluate"], id="policy"),
        pytest.param({"columns": COLUMNS[:2]}, ["column 'c' is missing"], id="column-missing"),
        pytest.param({"columns": (*COLUMNS, ("d", "numeric"))}, ["column 'd' is none of the run's"], id="column-more"),
        pytest.param(
            {"columns": (("a", "categorical"), *COLUMNS[1:])},
            ["column 'a' is categorical, expected numeric"],
            id="column-kind",
        ),
        pytest.param({"columns": COLUMNS[::-1]}, ["its columns are in another order"], id="column-order"),
        pytest.param({"schema_sha256": "ef" * 32}, ["its data has the schema efefefefefefefef"], id="schema"),
        pytest.param(
            {"key_id": "00" * 16, "columns": COLUMNS[1:]},
            ["its key is", "column 'a' is missing"],
            id="several",
        ),
    ],
)
def test_a_site_that_does_not_fit_is_told_why(changes, reasons):
    said = check_hello(replace(HELLO, **changes), TERMS)
    assert len(said) == len(reasons)
    assert all(one.startswith(start) for one, start in zip(said, reasons, strict=True))


def test_columns_are_those_of_the_table_or_the_shape_of_a_row():
    image = Task(input_shape=(1, 2, 2), features=tuple("abcd"), classes=("x", "y"))
    assert columns_of(image) == (("row", "image of 1 x 2 x 2 numbers"),)
    mixed = Task(
        input_shape=(3,),
        features=("a", "b"),
        classes=("x", "y"),
        columns=(Column(name="a"), Column(name="b", kind="categorical", categories=("u", "v"))),
    )
    assert columns_of(mixed) == (("a", "numeric"), ("b", "categorical"))
    others = replace(mixed, classes=("z", "w"))
    assert schema_sha256(mixed) == schema_sha256(others)  # classes are agreed on later
    assert schema_sha256(mixed) != schema_sha256(image)


words = st.text(max_size=20)


@given(
    hello=st.builds(
        SiteHello,
        package=words,
        wire=st.integers(),
        plans=st.integers(),
        schemes=st.lists(words, max_size=3).map(tuple),
        key_id=words,
        masks=st.booleans(),
        must_mask=st.booleans(),
        roster_sha256=words,
        columns=st.lists(st.tuples(words, words), max_size=5).map(tuple),
        schema_sha256=words,
        schema=words,
        actions=st.lists(words, max_size=3).map(tuple),
        rows=st.none() | st.integers(),
        rounds=st.dictionaries(words, st.integers(), max_size=3),
    )
)
def test_what_a_site_says_of_itself_comes_back_as_it_was_said(hello):
    assert hello_from_content(hello_to_content(hello)) == hello


@given(data=st.binary(max_size=300))
def test_anything_else_is_a_damaged_answer(data):
    content = hello_to_content(HELLO)
    content["self"]["data"].data = data
    content["self"]["data"].shape = (len(data),)
    with pytest.raises(UpdateRejectedError):
        hello_from_content(content)


def test_a_site_tells_what_its_policy_lets_it(make_site, key, preset):
    cipher = PackedCipher(key, preset)
    silent = make_site(cipher=cipher).hello(HelloRequest(package="0"))
    assert (silent.rows, silent.columns, silent.key_id, silent.masks) == (None, (), key.key_id, False)
    assert silent.roster_sha256 == ""
    told = make_site(rows=9, cipher=cipher, tells=("rows", "columns"), peers=Peers({}, ROSTER), actions=ACTIONS)
    hello = told.hello(HelloRequest(package="0"))
    assert (hello.rows, hello.columns, hello.roster_sha256, hello.actions) == (9, COLUMNS, ROSTER, ACTIONS)


@pytest.fixture
def greeted(make_site, make_federation_plan, key, preset, coordinator):
    def run(sites, **plan) -> tuple[list[RoundResult], Greeter]:
        terms = HelloTerms(package="0", scheme="packed", key_id=key.key_id, masked=False, columns=COLUMNS)
        greeter = Greeter(terms, Closing(deadline=60, min_replies=3, grace=5))
        nodes = {FIRST_NODE_ID + index: site.identity for index, site in enumerate(sites)}
        results: list[RoundResult] = []
        with LocalGrid(make_client_app(lambda context: sites[partition_id(context)]), len(sites)) as grid:
            strategy = RelayStrategy(
                make_federation_plan(**plan), PackedAdder(preset, key.key_id), nodes, coordinator, greeter=greeter
            )
            strategy.run(grid, MemoryJournal(results.append))
        return results, greeter

    return run


def test_sites_that_do_not_fit_are_left_out_and_told_and_the_others_go_on(make_site, greeted, key, preset, caplog):
    good = {"cipher": PackedCipher(key, preset), "tells": ("columns", "rows"), "actions": ACTIONS}
    sites = [make_site(index, **good) for index in (1, 2, 3)]
    sites.append(make_site(4, **good | {"cipher": PackedCipher(SecretKey.generate(), preset)}))
    sites.append(make_site(5, **good | {"cipher": PlainCipher(preset)}))
    sites.append(make_site(6, **good | {"actions": ("train",)}))
    with caplog.at_level(logging.WARNING, "nasturtium.federated.site.site"):
        results, greeter = greeted(sites)
    assert {outcome.site for result in results for outcome in result.outcomes} == {"site-1", "site-2", "site-3"}
    assert set(greeter.refused) == {FIRST_NODE_ID + 3, FIRST_NODE_ID + 4, FIRST_NODE_ID + 5}
    assert greeter.hellos[FIRST_NODE_ID].rows == 12
    told = [record.getMessage() for record in caplog.records if record.name == "nasturtium.federated.site.site"]
    assert len(told) == 4  # one of them has two reasons
    assert any("does not take site-6: its policy does not allow it to evaluate" in line for line in told)


def test_too_few_that_fit_pause_the_run_with_the_reasons(make_site, greeted, key, preset):
    good = {"cipher": PackedCipher(key, preset), "actions": ACTIONS}
    sites = [make_site(1, **good), make_site(2, **good), make_site(3, **good | {"actions": ()})]
    with pytest.raises(PausedError, match=r"2 sites are connected, expected at least 3; site-3: its policy does not"):
        greeted(sites)


def test_who_is_not_ready_is_handed_the_key_once_and_greeted_again(
    make_site, make_federation_plan, key, preset, coordinator
):
    good = {"cipher": PackedCipher(key, preset), "actions": ACTIONS}
    sites = [make_site(index, **good) for index in (1, 2, 3, 4)]
    ready, handed = [True] * 3 + [False], []

    def find(context):
        index = partition_id(context)
        if not ready[index]:
            raise PlanError("no key yet", refusal=Refusal.NOT_READY)
        return sites[index]

    def hand_key(nodes):
        handed.append(list(nodes))
        ready[3] = True
        yield Pause(0.0)

    greeter = Greeter(HelloTerms(package="0"), Closing(deadline=60, min_replies=4), hand_key=hand_key)
    nodes = {FIRST_NODE_ID + index: site.identity for index, site in enumerate(sites)}
    results: list[RoundResult] = []
    with LocalGrid(make_client_app(find), len(sites)) as grid:
        strategy = RelayStrategy(
            make_federation_plan(min_sites=4, patience=60.0),
            PackedAdder(preset, key.key_id),
            nodes,
            coordinator,
            greeter=greeter,
        )
        strategy.run(grid, MemoryJournal(results.append))
    assert handed == [[FIRST_NODE_ID + 3]]
    assert all(result.accepted == 4 for result in results)
