"""The coordinator among sites of which some misbehave: they are refused with a reason, the others go on."""

from __future__ import annotations

import gc
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, nan
from types import FunctionType, ModuleType

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from nasturtium.core import ConfigError, ParameterLayout, Tensor
from nasturtium.federated import (
    ClientUpdate,
    Closing,
    FederationError,
    LocalGrid,
    MemoryJournal,
    Quantisation,
    Refusal,
    RelayStrategy,
    RoundPlan,
    RoundResult,
    Site,
    SiteReport,
    make_client_app,
)
from nasturtium.federated.protocol.answers import join_contents, sign_answer, split_content
from nasturtium.federated.protocol.courier import asked_digest
from nasturtium.federated.protocol.queries import ANSWER_DOMAIN
from nasturtium.federated.protocol.records import pack_bytes, plan_from_content, update_from_content, update_to_content
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.privacy import (
    ApproximateCkksCipher,
    CkksSecretKey,
    EncryptedUpdate,
    Identity,
    PackedCipher,
    PlainAdder,
    PlainCipher,
    SecretKey,
    smallest_preset,
)


def make_identity(name: str) -> Identity:
    """As the sites have it."""
    return Identity(name, hashlib.sha512(name.encode()).digest())


Answer = Callable[[Message, Context], Message]
HOSTILE = "site-4"  # the last one
ENCRYPTED = ["packed", "ckks-approximate"]


@dataclass
class Federation:
    """Sites behind a grid, some with another answer than their own, and what the coordinator made of them."""

    sites: list[Site]
    strategy: RelayStrategy
    results: list[RoundResult]

    def outcome(self, number: int, site: str) -> str | None:
        """Why a site was refused in a round."""
        [reason] = [o.reason for o in self.results[number - 1].outcomes if o.site == site]
        return reason

    def model_of(self, index: int) -> bytes:
        model = self.sites[index].release().model
        return ParameterLayout.of(model).flatten(model.state()).tobytes()


@pytest.fixture
def run_federation(scheme, make_site, make_federation_plan, coordinator):
    def run(
        tamper=None, *, count=4, hostile=1, cipher=None, on_round=lambda result: None, known=None, **plan
    ) -> Federation:
        """Run with `tamper` standing between the last sites and the coordinator: from an honest answer to another."""
        ours, adder = scheme
        sites = [make_site(i, rows=8 + 4 * i, cipher=ours) for i in range(1, count)]
        sites.append(make_site(count, rows=8 + 4 * count, cipher=cipher or ours))
        honest = make_client_app(lambda context: sites[partition_id(context)])
        tampered = tamper(honest) if tamper else honest

        def answer(message: Message, context: Context) -> Message:
            return (tampered if partition_id(context) >= count - hostile else honest)(message, context)

        app = ClientApp()
        app.train()(answer)
        app.evaluate()(answer)
        nodes = {
            FIRST_NODE_ID + i: site.identity for i, site in enumerate(sites) if known is None or site.name in known
        }
        strategy = RelayStrategy(make_federation_plan(**plan), adder, nodes, coordinator)
        federation = Federation(sites, strategy, [])

        def keep(result: RoundResult) -> None:
            federation.results.append(result)
            on_round(result)

        with LocalGrid(app, count, workers=count) as grid:
            strategy.run(grid, MemoryJournal(keep))
        return federation

    return run


def plan_of(message: Message) -> RoundPlan:
    return plan_from_content(split_content(unsigned(message))[0])


def update_of(reply: Message) -> ClientUpdate:
    return update_from_content(split_content(unsigned(reply))[0])


def unsigned(message: Message) -> RecordDict:
    return RecordDict({name: each for name, each in message.content.items() if name != "signature"})


def refused(reply: Message) -> bool:
    return reply.has_error() or "0/refusal" in reply.content


def answering(message: Message, context: Context, content: RecordDict) -> Message:
    """What a site says, whatever it is, with the site's own signature."""
    identity = make_identity(f"site-{partition_id(context) + 1}")
    question = asked_digest(message.content)
    answer = join_contents([content]) if content else content
    return Message(sign_answer(answer, lambda said: identity.sign(ANSWER_DOMAIN, said), question), reply_to=message)


def changing(change: Callable[[ClientUpdate], ClientUpdate]):
    """A site whose updates are changed before they leave."""

    def tamper(honest: Answer) -> Answer:
        def answer(message: Message, context: Context) -> Message:
            reply = honest(message, context)
            if refused(reply):
                return reply
            return answering(message, context, update_to_content(change(update_of(reply))))

        return answer

    return tamper


def sending(make_content: Callable[[], RecordDict]):
    """A site that sends something else altogether."""
    return lambda honest: lambda message, context: answering(message, context, make_content())


def changed_envelope(change: Callable[[EncryptedUpdate], EncryptedUpdate]):
    """A site whose envelopes are changed where there is one."""

    def change_update(update: ClientUpdate) -> ClientUpdate:
        if not update.update:
            return update
        return replace(update, update=change(EncryptedUpdate.from_bytes(update.update)).to_bytes())

    return changing(change_update)


def changed_header(**changes: object):
    """The header is another one than was signed."""
    return changed_envelope(lambda e: EncryptedUpdate(replace(e.header, **changes), e.body, e.signature))


def flipped_bit(envelope: EncryptedUpdate) -> EncryptedUpdate:
    body = bytearray(envelope.body)
    body[len(body) // 2] ^= 1
    return EncryptedUpdate(envelope.header, bytes(body), envelope.signature)


def signed_by_another(envelope: EncryptedUpdate) -> EncryptedUpdate:
    """In the site's name, which anybody knows, with a key of somebody's own."""
    impostor = Identity.generate(HOSTILE)
    theirs = EncryptedUpdate.sign(replace(envelope.header, sender=impostor.public.id), bytes(envelope.body), impostor)
    return EncryptedUpdate(envelope.header, envelope.body, theirs.signature)


def cut_body(update: ClientUpdate) -> ClientUpdate:
    return replace(update, update=update.update[:-1])


def unsigned_answer(honest: Answer) -> Answer:
    return lambda message, context: Message(unsigned(honest(message, context)), reply_to=message)


def signed_for_another_question(honest: Answer) -> Answer:
    """Which another coordinator has asked."""

    def answer(message: Message, context: Context) -> Message:
        identity = make_identity(HOSTILE)
        signed = sign_answer(
            unsigned(honest(message, context)), lambda said: identity.sign(ANSWER_DOMAIN, said), bytes(32)
        )
        return Message(signed, reply_to=message)

    return answer


def raising(honest: Answer) -> Answer:
    def answer(message: Message, context: Context) -> Message:
        raise RuntimeError("row 7 is secret")

    return answer


def failing(reason: str | None, code: int = 2):
    return lambda honest: lambda message, context: Message(Error(code, reason), reply_to=message)


def test_without_trouble_all_are_in_the_sum_and_on_the_same_model(run_federation):
    federation = run_federation()
    assert [(r.round, r.phase) for r in federation.results] == [
        (1, "train"),
        (2, "train"),
        (3, "evaluate"),
        (4, "report"),
    ]
    assert all(outcome.reason is None for result in federation.results for outcome in result.outcomes)
    assert len({federation.model_of(i) for i in range(4)}) == 1
    assert [r.report and r.report.model_round for r in federation.results] == [None, 0, 1, 2]
    assert {r.report.rows for r in federation.results[1:]} == {20}
    assert all(outcome.bytes_up > 0 and outcome.bytes_down > 0 for outcome in federation.results[0].outcomes)


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        pytest.param(raising, "the site failed: 'RuntimeError'", id="raises"),
        pytest.param(failing(None), "the site failed: None", id="fails-without-a-word"),
        pytest.param(failing("\0\ud800"), r"the site failed: '\x00\ud800'", id="fails-with-unprintable-words"),
        pytest.param(failing("x" * 9999), f"the site failed: '{'x' * 99}", id="fails-with-many-words"),
        pytest.param(
            changing(lambda u: replace(u, update=b"garbage")), "too short for a protected vector", id="garbage"
        ),
        pytest.param(
            changing(lambda u: replace(u, update=bytes(9999))), "not a protected vector of version 1", id="zeros"
        ),
        pytest.param(
            changing(lambda u: replace(u, update=b"")), "too short for a protected vector: 0 bytes", id="nothing"
        ),
        pytest.param(changing(cut_body), "says that its body has ", id="body-cut"),
        pytest.param(
            changed_envelope(lambda e: EncryptedUpdate(e.header, bytes(e.body[:-8]), e.signature)),
            "expected a body of ",
            id="body-shorter",
        ),
        pytest.param(
            changed_envelope(flipped_bit), "a signature for 'update v1' is not that of site-4", id="bit-flipped"
        ),
        pytest.param(
            changed_envelope(signed_by_another),
            "a signature for 'update v1' is not that of site-4",
            id="signed-by-another",
        ),
        pytest.param(changed_header(sender="ab" * 16), "sender is 'abab", id="impersonates"),
        pytest.param(changed_header(run="01JOTHER"), "run is '01JOTHER', expected '01JRUN'", id="other-run"),
        pytest.param(changed_header(round=9), "round is 9, expected ", id="other-round"),
        pytest.param(changed_header(attempt=2), "attempt is 2, expected 1", id="other-attempt"),
        pytest.param(changed_header(layout="cd" * 32), "layout is 'cdcd", id="other-layout"),
        pytest.param(changed_header(preset="cd" * 8), "preset is 'cdcd", id="other-preset"),
        pytest.param(changed_header(values=2**31), f"values is {2**31}, expected ", id="other-number-of-values"),
        pytest.param(changed_header(ciphertexts=9), "ciphertexts is 9, expected ", id="other-number-of-ciphertexts"),
        pytest.param(changed_header(summands=1000), "summands is 1000, expected 1", id="weighs-more"),
        pytest.param(
            changing(lambda u: replace(u, model_tag="ab" * 32)),
            "the site's model or key is not the one most sites have",
            id="other-model",
        ),
        pytest.param(
            changing(lambda u: replace(u, seconds=nan)), "a damaged answer: expected seconds >= 0, got nan", id="nan"
        ),
        pytest.param(failing("Error: Node Unavailable", 5), "the site is not connected", id="away"),
        pytest.param(sending(RecordDict), "a damaged answer: ", id="empty-message"),
        pytest.param(sending(lambda: RecordDict({"status": ConfigRecord({"a": 1})})), "a damaged answer", id="foreign"),
        pytest.param(
            sending(lambda: RecordDict({"update": pack_bytes(bytes(10**6))})),
            "an answer of 10000",
            id="enormous",
        ),
        pytest.param(unsigned_answer, "an answer that site-4 has not signed", id="not-signed"),
        pytest.param(signed_for_another_question, "an answer that site-4 has not signed for this", id="other-question"),
    ],
)
def test_a_hostile_site_is_refused_with_a_reason_and_the_others_go_on(run_federation, tamper, reason):
    federation = run_federation(tamper)
    for number in (1, 2):
        said = federation.outcome(number, HOSTILE)
        assert said is not None
        assert said.startswith(reason)
        assert said.isprintable()
        assert len(said) < 400
        assert [federation.outcome(number, f"site-{i}") for i in (1, 2, 3)] == [None] * 3
    assert len({federation.model_of(i) for i in range(3)}) == 1
    assert federation.results[-1].report.rows == 15


@pytest.mark.parametrize(
    "tamper",
    [changed_header(run="01JOTHER"), changed_envelope(flipped_bit), changed_envelope(signed_by_another)],
    ids=["other-run", "bit-flipped", "signed-by-another"],
)
def test_a_refused_site_leaves_no_trace_in_the_model(run_federation, tamper):
    alone = run_federation(count=3)
    with_hostile = run_federation(tamper)
    assert with_hostile.outcome(1, HOSTILE) is not None
    assert alone.model_of(0) == with_hostile.model_of(0)


def test_a_site_cannot_send_what_another_has_just_sent(run_federation):
    """Every update says whose it is."""
    sent: dict[int, ClientUpdate] = {}
    overheard = {number: threading.Event() for number in range(1, 5)}

    def copy(honest: Answer) -> Answer:
        def answer(message: Message, context: Context) -> Message:
            number = plan_of(message).round
            reply = honest(message, context)
            update = update_of(reply)
            if partition_id(context) == 3:
                sent[number] = update
                overheard[number].set()
                return reply
            assert overheard[number].wait(60)
            return answering(message, context, update_to_content(replace(update, update=sent[number].update)))

        return answer

    federation = run_federation(copy, count=5, hostile=2)
    for number in (1, 2):
        assert federation.outcome(number, "site-4") is None
        assert federation.outcome(number, "site-5").startswith("sender is ")


@pytest.mark.parametrize(
    ("scheme", "strange"),
    [
        pytest.param("packed", lambda preset: PackedCipher(SecretKey.generate(), preset), id="packed"),
        pytest.param(
            "ckks-approximate",
            lambda preset: ApproximateCkksCipher(CkksSecretKey.generate(), preset),
            id="ckks-approximate",
        ),
    ],
    indirect=["scheme"],
)
def test_a_site_under_another_key_is_refused_and_cannot_follow(run_federation, preset, strange):
    federation = run_federation(cipher=strange(preset))
    assert federation.outcome(1, HOSTILE) == "the site's model or key is not the one most sites have"
    assert federation.outcome(2, HOSTILE) == Refusal.KEY.reason


@pytest.mark.parametrize("scheme", ENCRYPTED, indirect=True)
def test_a_site_without_encryption_is_refused(run_federation, preset):
    federation = run_federation(cipher=PlainCipher(preset))
    assert federation.outcome(1, HOSTILE) == "the site's model or key is not the one most sites have"
    assert federation.outcome(2, HOSTILE) == Refusal.KEY.reason


@pytest.mark.parametrize("scheme", ["packed"], indirect=True)
@pytest.mark.parametrize(
    ("strange", "reason"),
    [
        pytest.param(lambda preset: PackedCipher(SecretKey.generate(), preset), "key_id is ", id="another-key"),
        pytest.param(PlainCipher, "preset is ", id="in-the-clear"),
    ],
)
def test_an_update_under_another_key_is_refused_whatever_its_site_says_of_the_model(
    run_federation, preset, strange, reason
):
    """SEAL itself would add it, and the sum would be garbage."""
    tags: dict[int, str] = {}
    known = {number: threading.Event() for number in range(1, 5)}

    def copy_tag(honest: Answer) -> Answer:
        def answer(message: Message, context: Context) -> Message:
            number = plan_of(message).round
            reply = honest(message, context)
            if partition_id(context) == 2:
                tags[number] = update_of(reply).model_tag
                known[number].set()
            elif not refused(reply):
                assert known[number].wait(60)
                return answering(message, context, update_to_content(replace(update_of(reply), model_tag=tags[number])))
            return reply

        return answer

    federation = run_federation(copy_tag, hostile=2, cipher=strange(preset))
    assert federation.outcome(1, HOSTILE).startswith(reason)
    assert federation.outcome(1, "site-3") is None
    assert federation.outcome(2, HOSTILE) == Refusal.KEY.reason


def test_a_site_with_another_preset_does_not_take_part(run_federation):
    federation = run_federation(cipher=PlainCipher(smallest_preset(5, 4)))
    assert federation.outcome(1, HOSTILE) == Refusal.KEY.reason
    assert federation.outcome(1, "site-1") is None


@pytest.mark.parametrize(
    ("fresh", "reason"),
    [
        pytest.param(False, "the site's model or key is not the one most sites have", id="the-whole-answer"),
        pytest.param(True, "round is 1, expected 2", id="only-the-update"),
    ],
)
def test_a_replay_of_the_last_update_is_refused(run_federation, fresh, reason):
    sent: list[ClientUpdate] = []

    def replay(update: ClientUpdate) -> ClientUpdate:
        sent.append(update)
        return replace(update, update=sent[0].update) if fresh else sent[0]

    federation = run_federation(changing(replay))
    assert federation.outcome(1, HOSTILE) is None
    assert federation.outcome(2, HOSTILE) == reason
    assert len({federation.model_of(i) for i in range(3)}) == 1


def test_what_one_site_says_of_the_result_is_not_believed(run_federation):
    def lie(update: ClientUpdate) -> ClientUpdate:
        return replace(update, report=SiteReport(model_round=2, rows=10**9, correct=10**9, loss=0.5))

    for result in run_federation(changing(lie)).results[1:]:
        assert result.report.rows == 20


def test_where_no_majority_agrees_nothing_is_reported(run_federation):
    def lie(update: ClientUpdate) -> ClientUpdate:
        return replace(update, report=SiteReport(model_round=2, rows=10**9, correct=0, loss=0.0))

    assert {result.report for result in run_federation(changing(lie), hostile=2).results} == {None}


@pytest.mark.parametrize("scheme", ["packed"], indirect=True)
def test_a_site_that_never_answers_in_time_is_left_out(run_federation):
    release = threading.Event()

    def silent(honest: Answer) -> Answer:
        def answer(message: Message, context: Context) -> Message:
            release.wait()
            return honest(message, context)

        return answer

    def let_go_at_the_end(result: RoundResult) -> None:
        if result.phase == "report":
            release.set()

    try:
        federation = run_federation(
            silent, on_round=let_go_at_the_end, rounds=1, closing=Closing(deadline=0.5, min_replies=99)
        )
    finally:
        release.set()
    assert [federation.outcome(n, HOSTILE) for n in (1, 2, 3)] == ["no answer in time"] * 3
    assert len({federation.model_of(i) for i in range(3)}) == 1


@pytest.mark.parametrize("scheme", ["packed"], indirect=True)
def test_a_late_site_catches_up(run_federation):
    release = threading.Event()

    def late(honest: Answer) -> Answer:
        def answer(message: Message, context: Context) -> Message:
            if plan_of(message).round == 1:
                release.wait()
            return honest(message, context)

        return answer

    try:
        federation = run_federation(
            late, on_round=lambda result: release.set(), closing=Closing(deadline=2.0, min_replies=99)
        )
    finally:
        release.set()
    assert [federation.outcome(n, HOSTILE) for n in (1, 2, 3)] == ["no answer in time", None, None]
    assert len({federation.model_of(i) for i in range(4)}) == 1


def test_too_few_usable_answers_end_the_run_with_all_reasons(run_federation):
    with pytest.raises(FederationError) as caught:
        run_federation(raising, count=3)
    assert caught.value.message == (
        "round 1 has 2 usable answers, expected at least 3: site-3: the site failed: 'RuntimeError'"
    )


def test_a_sum_needs_as_many_sites_as_the_plan_says(run_federation):
    with pytest.raises(FederationError, match="has 3 usable answers, expected at least 4"):
        run_federation(raising, min_sites=4)


def test_without_sites_there_is_no_round(run_federation):
    with pytest.raises(FederationError, match="no site is connected"):
        run_federation(known=())


def test_a_node_that_is_not_known_is_not_asked(run_federation):
    known = {"site-1", "site-2", "site-3"}
    federation = run_federation(known=known)
    assert {outcome.site for result in federation.results for outcome in result.outcomes} == known


def test_more_updates_than_a_sum_is_exact_for_are_refused(make_scheme, make_site, make_federation_plan, coordinator):
    small = smallest_preset(3, 8)
    cipher, adder = make_scheme("packed", small)
    sites = [make_site(i, cipher=cipher) for i in range(1, 5)]
    plan = make_federation_plan(quantisation=Quantisation(preset=small.name, bound=0.05))
    nodes = {FIRST_NODE_ID + i: site.identity for i, site in enumerate(sites)}
    results: list[RoundResult] = []
    with LocalGrid(make_client_app(lambda context: sites[partition_id(context)]), 4) as grid:
        RelayStrategy(plan, adder, nodes, coordinator).run(grid, MemoryJournal(results.append))
    for result in results[:2]:
        [refused] = [outcome.reason for outcome in result.outcomes if outcome.reason]
        assert refused.startswith("the sum is full")


def test_a_strategy_wants_an_adder_of_the_plans_preset(make_federation_plan, coordinator):
    with pytest.raises(ConfigError, match="expected an adder of "):
        RelayStrategy(make_federation_plan(), PlainAdder(smallest_preset(5, 4)), {}, coordinator)


@pytest.mark.parametrize(
    "changes",
    [
        {"rounds": 0},
        {"min_sites": 1},
        {"min_sites": 2},
        {"attempts": 0},
        {"retry_wait": -1.0},
        {"patience": nan},
        {"participants": 2},
    ],
    ids=lambda changes: str(changes),
)
def test_a_plan_that_cannot_be_is_refused(make_federation_plan, changes):
    with pytest.raises(ConfigError, match="expected "):
        make_federation_plan(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"bound": 0.0}, {"bound": -1.0}, {"bound": nan}, {"bound": inf}, {"rule": "mine"}, {"preset": "mine"}],
    ids=lambda changes: str(changes),
)
def test_a_quantisation_that_cannot_be_is_refused(preset, changes):
    with pytest.raises(ConfigError, match=r"expected a finite bound > 0|no name of a preset"):
        Quantisation(**{"preset": preset.name, "bound": 0.1} | changes)


def reachable(start: object) -> list[object]:
    """All objects that can be reached from one, but for code."""
    found: dict[int, object] = {}
    todo = [start]
    while todo:
        one = todo.pop()
        if id(one) in found or isinstance(one, type | ModuleType | FunctionType):
            continue
        found[id(one)] = one
        todo += gc.get_referents(one)
    return list(found.values())


@pytest.mark.parametrize("scheme", ENCRYPTED, indirect=True)
def test_the_coordinator_holds_neither_weights_nor_a_secret(run_federation, scheme, key, ckks_key):
    federation = run_federation()
    objects = reachable(federation.strategy)
    assert any(one is scheme[1] for one in objects)
    secret = SecretKey, CkksSecretKey, PackedCipher, ApproximateCkksCipher
    assert not [one for one in objects if isinstance(one, (np.ndarray, Tensor, Site, *secret))]
    weights = federation.model_of(0)
    for one in objects:
        if isinstance(one, bytes | bytearray):
            assert key.to_bytes() not in one
            assert ckks_key.to_bytes() not in one
            assert weights not in one
