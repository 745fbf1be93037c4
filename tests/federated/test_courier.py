"""Several runs in the same messages: each as if it were alone; whatever a site answers, the others go on."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from nasturtium.core import ParameterLayout
from nasturtium.federated import (
    FederationError,
    LocalGrid,
    MaskTerms,
    MemoryJournal,
    PausedError,
    PlanError,
    RelayStrategy,
    RoundResult,
    SiteMasks,
    StoppedError,
    make_client_app,
    run_all,
)
from nasturtium.federated.protocol.answers import join_contents, sign_answer, split_content
from nasturtium.federated.protocol.courier import asked_digest
from nasturtium.federated.protocol.queries import ANSWER_DOMAIN
from nasturtium.federated.protocol.records import pack_bytes
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.privacy import AttemptJournal, Identity, PackedAdder, PackedCipher, smallest_threshold

COUNT = 4
TERMS = MaskTerms(roster_sha256="5a" * 32, threshold=smallest_threshold(COUNT, 1), colluders=1)
RUNS = ["01JRUNA", "01JRUNB", "01JRUNC"]


def make_identity(index: int) -> Identity:
    name = f"site-{index + 1}"
    return Identity(name, hashlib.sha512(name.encode()).digest())


@pytest.fixture
def federate(make_site, make_federation_plan, key, preset, coordinator):
    """Run some runs over the same sites, so many at once; the sites, the results of each run, the messages sent."""

    def federate(runs, *, at_once=1, masked=False, tamper=None, check=lambda: None):
        cipher = PackedCipher(key, preset)
        members = {each.public.id: each.public for each in map(make_identity, range(COUNT))}
        sites = []
        for index in range(COUNT):
            journal = AttemptJournal(None)
            masks = SiteMasks(make_identity(index), members, TERMS.roster_sha256, journal) if masked else None
            sites.append(make_site(index + 1, rows=8 + 4 * index, cipher=cipher, masks=masks, journal=journal))
        honest = make_client_app(lambda context: sites[partition_id(context)])
        sent: list[str] = []

        def answer(message: Message, context: Context) -> Message:
            if partition_id(context) == 0:
                sent.append(message.metadata.message_type)
            reply = honest(message, context)
            if tamper is None or partition_id(context) != COUNT - 1:
                return reply
            return tamper(message, reply)

        app = ClientApp()
        for kind in (app.train, app.evaluate, app.query):
            kind()(answer)
        nodes = {FIRST_NODE_ID + index: site.identity for index, site in enumerate(sites)}
        results: list[list[RoundResult]] = [[] for _ in runs]
        jobs = []
        for place, changes in enumerate(runs):
            plan = make_federation_plan(**{"masks": TERMS if masked else None} | changes)
            journal = MemoryJournal(results[place].append)
            journal.check = check
            jobs.append((RelayStrategy(plan, PackedAdder(preset, key.key_id), nodes, coordinator), journal, None))
        with LocalGrid(app, COUNT) as grid:
            errors = run_all(grid, jobs, at_once=at_once)
        return sites, results, sent, errors

    return federate


def model_of(site, run: str) -> bytes:
    model = site.release(run).model
    return ParameterLayout.of(model).flatten(model.state()).tobytes()


@pytest.mark.parametrize("masked", [False, True])
def test_runs_that_share_messages_end_as_if_they_were_alone(federate, masked):
    runs = [{"run": run, "seed": place, "rounds": 1 + place} for place, run in enumerate(RUNS)]
    alone = [federate([each], masked=masked) for each in runs]
    sites, results, sent, errors = federate(runs, at_once=3, masked=masked)
    assert errors == [None] * 3
    for place, run in enumerate(RUNS):
        assert model_of(sites[0], run) == model_of(sites[3], run) == model_of(alone[place][0][0], run)
        assert [r.report for r in results[place]] == [r.report for r in alone[place][1][0]]
        assert all(o.reason is None for r in results[place] for o in r.outcomes)
    assert len(sent) < sum(len(each[2]) for each in alone)


def test_the_next_run_begins_when_one_ends(federate):
    runs = [{"run": f"01JRUN{place}", "rounds": 1} for place in range(5)]
    sites, results, _, errors = federate(runs, at_once=2)
    assert errors == [None] * 5
    assert all(len(each) == 3 for each in results)
    assert len({model_of(sites[0], each["run"]) for each in runs}) == 1


def test_a_run_that_cannot_go_on_does_not_end_the_others(federate):
    other = '{"format": "nasturtium.preprocessing"}'
    runs = [{"run": RUNS[0]}, {"run": RUNS[1], "preprocessing": other}, {"run": RUNS[2]}]
    sites, _, _, errors = federate(runs, at_once=3)
    assert [type(error) for error in errors] == [type(None), PausedError, type(None)]
    assert "0 usable answers" in str(errors[1])
    assert model_of(sites[0], RUNS[0]) == model_of(sites[1], RUNS[2])
    with pytest.raises(PlanError):
        sites[0].release(RUNS[1])


def test_a_stop_ends_all(federate):
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) > 4:
            raise StoppedError("enough")

    with pytest.raises(StoppedError):
        federate([{"run": run, "rounds": 50} for run in RUNS], at_once=3, check=check)


def test_an_answer_to_one_question_is_none_to_another(federate):
    """The parts of an answer have an order, which the site signs."""

    def swap(message: Message, reply: Message) -> Message:
        parts = split_content(RecordDict({n: r for n, r in reply.content.items() if n != "signature"}))
        identity = make_identity(COUNT - 1)
        signed = sign_answer(
            join_contents(parts[::-1]),
            lambda said: identity.sign(ANSWER_DOMAIN, said),
            asked_digest(message.content),
        )
        return Message(signed, reply_to=message)

    _, results, _, errors = federate([{"run": run} for run in RUNS[:2]], at_once=2, tamper=swap)
    assert errors == [None, None]
    for each in results:
        assert [o.reason is None for o in each[0].outcomes] == [True, True, True, False]


def fuzz(rng: random.Random, message: Message, reply: Message) -> Message:
    """The honest answer with something of it changed, most times signed all the same."""
    content = RecordDict({n: r for n, r in reply.content.items() if n != "signature"})
    for _ in range(rng.randint(1, 3)):
        name = rng.choice([*content, "0/status", "1/update", "x", "0/", "999/x"])
        change = rng.randrange(9)
        if change == 0:
            content.pop(name, None)
        elif change == 1:
            content[name] = ConfigRecord({"a": rng.choice([1, 1.5, "x", b"x", True, [1, 2], float("nan")])})
        elif change == 2:
            content[name] = MetricRecord({"a": rng.choice([1, float("inf"), float("nan")])})
        elif change == 3:
            content[name] = pack_bytes(rng.randbytes(rng.randint(0, 300)))
        elif change == 4:
            data = rng.randbytes(8)
            content[name] = ArrayRecord(
                {"data": Array(rng.choice(["uint8", "O", "x"]), (rng.randint(-1, 9),), "x", data)}
            )
        elif change == 5 and isinstance(content.get(name), ArrayRecord) and content[name]:
            array = content[name]["data"]
            data = bytearray(array.data)
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            content[name] = pack_bytes(bytes(data))
        elif change == 6 and isinstance(content.get(name), ConfigRecord):
            record = dict(content[name])
            field = rng.choice(list(record))
            record[field] = rng.choice([-1, 2**70 % 2**63, 0.0, float("nan"), -0.5, "", "x" * 99, True])
            content[name] = ConfigRecord(record)
        elif change == 7:
            content = RecordDict({f"{k}{rng.choice(['', '/', '0'])}": r for k, r in content.items()})
        else:
            content[f"{rng.randint(0, 70)}/refusal"] = ConfigRecord({"code": rng.choice(["order", "behind", "x", 7])})
    identity = make_identity(COUNT - 1)
    try:
        if rng.random() < 0.9:
            sign_answer(content, lambda said: identity.sign(ANSWER_DOMAIN, said), asked_digest(message.content))
    except (TypeError, ValueError):
        pass  # what cannot even be signed
    return Message(content, reply_to=message)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("rounds", [25, pytest.param(1500, marks=pytest.mark.soak)])
def test_whatever_a_site_answers_the_sums_of_the_others_are_right(federate, masked, rounds):
    rng = random.Random(7)
    sites, results, _, errors = federate(
        [{"run": RUNS[0], "rounds": rounds}], masked=masked, tamper=lambda m, r: fuzz(rng, m, r)
    )
    assert errors == [None]
    assert {model_of(site, RUNS[0]) for site in sites[:3]} == {model_of(sites[0], RUNS[0])}
    for result in results[0]:
        reasons = [o.reason for o in result.outcomes]
        assert reasons[:3] == [None] * 3
        assert reasons[3] is None or (reasons[3].isprintable() and len(reasons[3]) < 600)
    assert any(result.outcomes[3].reason for result in results[0])


def test_only_some_of_many_sites_train_in_a_round_and_all_take_the_step(federate):
    sites, [results], _, _ = federate([{"run": RUNS[0], "rounds": 4, "participants": 3}])
    for result in results[:-1]:
        assert sum(outcome.took_part for outcome in result.outcomes) == 3 == result.accepted
        assert all(outcome.reason is None for outcome in result.outcomes)
    assert len({tuple(o.site for o in r.outcomes if o.took_part) for r in results[:-1]}) > 1
    assert len({model_of(site, RUNS[0]) for site in sites}) == 1
    again = federate([{"run": RUNS[0], "rounds": 4, "participants": 3}])[1][0]
    assert [[o.took_part for o in r.outcomes] for r in again] == [[o.took_part for o in r.outcomes] for r in results]


def test_replies_of_another_node_are_not_taken(federate):
    """Flower says who sent a reply; what counts is who was asked, and its signature."""

    def steal(message: Message, reply: Message) -> Message:
        identity = make_identity(0)
        content = RecordDict({n: r for n, r in reply.content.items() if n != "signature"})
        signed = sign_answer(content, lambda said: identity.sign(ANSWER_DOMAIN, said), asked_digest(message.content))
        return Message(signed, reply_to=message)

    _, [results], _, _ = federate([{"run": RUNS[0]}], tamper=steal)
    assert [o.reason for o in results[0].outcomes][3] == "an answer that site-4 has not signed for this question"
    assert replace(results[0], outcomes=()).failure is None


@pytest.mark.parametrize("masked", [False, True])
def test_flowers_own_interface_leads_to_the_same_model(
    federate, make_site, make_federation_plan, key, preset, coordinator, masked
):
    """Round by round, as a Flower strategy is driven: configure, send, aggregate."""
    alone = federate([{"run": RUNS[0]}], masked=masked)[0][0]
    cipher = PackedCipher(key, preset)
    members = {each.public.id: each.public for each in map(make_identity, range(COUNT))}
    sites = []
    for index in range(COUNT):
        journal = AttemptJournal(None)
        masks = SiteMasks(make_identity(index), members, TERMS.roster_sha256, journal) if masked else None
        sites.append(make_site(index + 1, rows=8 + 4 * index, cipher=cipher, masks=masks, journal=journal))
    nodes = {FIRST_NODE_ID + index: site.identity for index, site in enumerate(sites)}
    plan = make_federation_plan(run=RUNS[0], masks=TERMS if masked else None)
    strategy = RelayStrategy(plan, PackedAdder(preset, key.key_id), nodes, coordinator)
    arrays = ArrayRecord()
    with LocalGrid(make_client_app(lambda context: sites[partition_id(context)]), COUNT) as grid:
        for number in (1, 2):
            messages = strategy.configure_train(number, arrays, ConfigRecord(), grid)
            arrays, _ = strategy.aggregate_train(number, grid.send_and_receive(messages))
        report = ConfigRecord({"phase": "report"})
        strategy.aggregate_evaluate(3, grid.send_and_receive(strategy.configure_evaluate(3, arrays, report, grid)))
        with pytest.raises(FederationError, match="there is no open round"):
            strategy.aggregate_train(4, [])
    with pytest.raises(FederationError, match="a loop of its own"):
        strategy.start(None)
    assert {model_of(site, RUNS[0]) for site in sites} == {model_of(alone, RUNS[0])}
