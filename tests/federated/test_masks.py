"""Masked runs: the same bits as without masks, whoever drops out or lies, or no sum at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from nasturtium.core import ModelSpec, ParameterLayout, build, derive_rng, load_model
from nasturtium.core.nn import layer_spec
from nasturtium.federated import (
    ClientUpdate,
    FederationError,
    LocalGrid,
    MaskRequest,
    MaskTerms,
    MemoryJournal,
    PlanError,
    Quantisation,
    Refusal,
    RelayStrategy,
    RoundResult,
    SimulationConfig,
    SimulationSetup,
    Site,
    SiteMasks,
    make_client_app,
    simulate,
)
from nasturtium.federated.protocol.answers import join_contents, sign_answer, split_content
from nasturtium.federated.protocol.courier import asked_digest
from nasturtium.federated.protocol.queries import ANSWER_DOMAIN
from nasturtium.federated.protocol.records import (
    answer_from_content,
    answer_to_content,
    request_from_content,
    update_from_content,
    update_to_content,
)
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.federated.site.client import CLIENT_APP_RAISED
from nasturtium.federated.updates.symbols import UpdateSymbols
from nasturtium.privacy import (
    AttemptJournal,
    EncryptedUpdate,
    Identity,
    MaskingError,
    ReplayedUpdateError,
    smallest_preset,
    smallest_threshold,
)
from nasturtium.storage import History, open_database

COUNT = 6
COLLUDERS = 1
TERMS = MaskTerms(roster_sha256="5a" * 32, threshold=smallest_threshold(COUNT, COLLUDERS), colluders=COLLUDERS)
PRESET = smallest_preset(COUNT, 8)
QUANTISATION = Quantisation(preset=PRESET.name, bound=0.05)


def make_identity(name: str) -> Identity:
    """As the sites have it."""
    return Identity(name, hashlib.sha512(name.encode()).digest())


STEPS = ["advertise", "share", "upload", "confirm", "reveal"]
Tamper = Callable[[Message, Message], Message]  # from a question and the honest answer to another answer

assert COUNT - TERMS.threshold == 2  # how many may drop out


@dataclass
class Federation:
    """Sites, and what became of their run."""

    sites: list[Site]
    results: list[RoundResult] = field(default_factory=list)

    def reason(self, index: int, number: int = 1) -> str | None:
        """Why a site was not in a sum."""
        [reason] = [o.reason for o in self.results[number - 1].outcomes if o.site == self.sites[index].name]
        return reason

    def model(self, index: int = 0) -> bytes:
        model = self.sites[index].release().model
        return ParameterLayout.of(model).flatten(model.state()).tobytes()


@pytest.fixture
def make_masked(make_scheme, make_site):
    """A site; without a journal it has no roster and makes no masks."""
    cipher, _ = make_scheme("packed", PRESET)
    members = {identity.id: identity for identity in (make_identity(f"site-{i + 1}").public for i in range(COUNT))}

    def make(index: int = 0, journal: AttemptJournal | None = None) -> Site:
        masks = None
        if journal is not None:
            masks = SiteMasks(make_identity(f"site-{index + 1}"), members, TERMS.roster_sha256, journal)
        return make_site(index + 1, rows=8 + 4 * index, measured=5 + index, cipher=cipher, masks=masks, journal=journal)

    return make


@pytest.fixture
def run(make_masked, make_scheme, make_federation_plan, coordinator):
    def run(
        tampered: Mapping[tuple[int, str], Tamper] | None = None,
        *,
        masked: bool = True,
        without_roster: tuple[int, ...] = (),
        on_round: Callable[[RoundResult], None] = lambda result: None,
        **plan: object,
    ) -> Federation:
        """Run with some sites' answers at some steps, of all rounds, tampered with."""
        sites = [
            make_masked(index, AttemptJournal(None) if masked and index not in without_roster else None)
            for index in range(COUNT)
        ]
        honest = make_client_app(lambda context: sites[partition_id(context)])

        def answer(message: Message, context: Context) -> Message:
            query = message.metadata.message_type.startswith("query")
            step = request_from_content(content_of(message)).step if query else "upload"
            tamper = (tampered or {}).get((partition_id(context), step))
            reply = honest(message, context)
            return reply if tamper is None or refused(reply) else tamper(message, reply)

        app = ClientApp()
        app.train()(answer)
        app.evaluate()(answer)
        app.query()(answer)
        nodes = {FIRST_NODE_ID + index: site.identity for index, site in enumerate(sites)}
        fields = {"masks": TERMS if masked else None, "quantisation": QUANTISATION} | plan
        _, adder = make_scheme("packed", PRESET)
        federation = Federation(sites)

        def keep(result: RoundResult) -> None:
            federation.results.append(result)
            on_round(result)

        with LocalGrid(app, COUNT, workers=2) as grid:
            RelayStrategy(make_federation_plan(**fields), adder, nodes, coordinator).run(grid, MemoryJournal(keep))
        return federation

    return run


def drop(message: Message, reply: Message) -> Message:
    """The site broke before it answered."""
    return Message(Error(CLIENT_APP_RAISED, "Crash"), reply_to=message)


def dropping(indices: tuple[int, ...], step: str) -> dict[tuple[int, str], Tamper]:
    """Sites that break at a step, and do nothing more in the round."""
    return {(index, each): drop for index in indices for each in STEPS[STEPS.index(step) :]}


def content_of(message: Message) -> RecordDict:
    """The one question of a message, or the answer to it."""
    return split_content(RecordDict({n: each for n, each in message.content.items() if n != "signature"}))[0]


def refused(reply: Message) -> bool:
    return reply.has_error() or "0/refusal" in reply.content


def saying(message: Message, content: RecordDict) -> Message:
    """Another answer, with the signature of the site that was asked."""
    identity = make_identity(f"site-{message.metadata.dst_node_id - FIRST_NODE_ID + 1}")
    question = asked_digest(message.content)
    signed = sign_answer(join_contents([content]), lambda said: identity.sign(ANSWER_DOMAIN, said), question)
    return Message(signed, reply_to=message)


def answering(data: bytes) -> Tamper:
    return lambda message, reply: saying(message, answer_to_content(data))


def changing(change: Callable[[bytes], bytes]) -> Tamper:
    return lambda message, reply: saying(message, answer_to_content(change(answer_from_content(content_of(reply)))))


def flip(data: bytes) -> bytes:
    return data[:60] + bytes([data[60] ^ 1]) + data[61:]


def test_a_masked_run_gives_the_same_bits_as_one_without_masks(run):
    masked, plain = run(), run(masked=False)
    assert [result.report for result in masked.results] == [result.report for result in plain.results]
    assert {masked.model(index) for index in range(COUNT)} == {plain.model()}
    assert all(outcome.reason is None for result in masked.results for outcome in result.outcomes)


@pytest.mark.parametrize("step", ["advertise", "share", "upload"])
@pytest.mark.parametrize("indices", [(5,), (0, 3)], ids=["one", "two"])
def test_who_drops_out_before_its_update_is_in_is_not_in_the_sum(run, step, indices):
    masked = run(dropping(indices, step))
    plain = run(dropping(indices, "upload"), masked=False)
    assert masked.model(1) == plain.model(1)
    assert [result.report for result in masked.results] == [result.report for result in plain.results]
    for index in indices:
        assert "the site failed: 'Crash'" in masked.reason(index)
    assert masked.reason(1) is None


@pytest.mark.parametrize("step", ["confirm", "reveal"])
@pytest.mark.parametrize("indices", [(5,), (0, 3)], ids=["one", "two"])
def test_who_drops_out_after_its_update_is_in_stays_in_the_sum(run, step, indices):
    masked, plain = run(dropping(indices, step)), run(masked=False)
    assert {masked.model(index) for index in range(COUNT)} == {plain.model()}
    assert masked.reason(indices[0]) is None


def test_some_may_drop_out_before_and_others_after(run):
    masked = run(dropping((2,), "upload") | dropping((4,), "reveal"))
    plain = run(dropping((2,), "upload"), masked=False)
    assert masked.model() == plain.model()


@pytest.mark.parametrize("step", STEPS)
def test_who_dropped_out_of_a_round_is_back_in_the_next(run, step):
    """It has taken the step of every sum, whether it was in it or not."""
    dropped: list[str] = []

    def once(message: Message, reply: Message) -> Message:
        dropped.append(step)
        return reply if len(dropped) > 1 else drop(message, reply)

    masked = run({(4, step): once}, rounds=3)
    assert (masked.reason(4) is None) == (step in {"confirm", "reveal"})
    assert masked.reason(4, 2) is masked.reason(4, 3) is None
    assert {masked.model(index) for index in range(COUNT)} == {masked.model()}


@pytest.mark.parametrize("step", STEPS)
def test_where_too_few_are_left_the_run_ends_with_the_reason(run, step):
    results: list[RoundResult] = []
    with pytest.raises(FederationError) as ended:
        run(dropping((0, 1, 2), step), on_round=results.append)
    expected = {
        "advertise": "round 1 has no masks: 3 sites are left of a masked round that needs 4",
        "share": "round 1 has no masks: 3 sites are left of a masked round that needs 4",
        "upload": "the sum of round 1 cannot be given out: 3 sites are left of a masked round that needs 4",
        "confirm": "the sum of round 1 cannot be given out: 3 sites are left of a masked round that needs 4",
        "reveal": "the sum of round 1 cannot be given out: 3 true shares of the self-mask seed of",
    }
    assert expected[step] in str(ended.value)
    assert len(results) == 1


NO_UPDATE = ClientUpdate(update=b"", model_tag="", report=None, seconds=0.0)
HOSTILE = [
    pytest.param(answering(b""), id="nothing"),
    pytest.param(answering(b"garbage" * 99), id="garbage"),
    pytest.param(answering(bytes(10**6)), id="a-megabyte-of-zeros"),
    pytest.param(changing(lambda data: data[:-1]), id="cut"),
    pytest.param(changing(lambda data: data + b"\0"), id="longer"),
    pytest.param(changing(flip), id="one-bit"),
    pytest.param(changing(lambda data: data * 2), id="twice"),
    pytest.param(lambda message, reply: saying(message, update_to_content(NO_UPDATE)), id="an-update"),
]


@pytest.mark.parametrize("tamper", HOSTILE)
@pytest.mark.parametrize("step", ["advertise", "share", "confirm", "reveal"])
def test_a_hostile_answer_at_any_step_is_a_drop_out(run, step, tamper):
    masked = run({(2, step): tamper}, rounds=1)
    before = step in {"advertise", "share"}
    plain = run(dropping((2,), "upload") if before else {}, masked=False, rounds=1)
    assert masked.model() == plain.model()
    assert (masked.reason(2) is None) != before
    assert masked.reason(1) is None


def test_the_answer_of_another_site_or_of_the_round_before_is_refused(run):
    """Each is signed for one site and one attempt."""
    said: dict[tuple[str, int], list[bytes]] = {}

    def record(index: int) -> Tamper:
        def keep(message: Message, reply: Message) -> Message:
            step = request_from_content(content_of(message)).step
            said.setdefault((step, index), []).append(answer_from_content(content_of(reply)))
            return reply

        return keep

    def old(message: Message, reply: Message) -> Message:
        answers = said.setdefault(("confirm", 2), [])
        answers.append(answer_from_content(content_of(reply)))
        return saying(message, answer_to_content(answers[0]))

    def of_another(message: Message, reply: Message) -> Message:
        return saying(message, answer_to_content(said["advertise", 0][-1]))

    masked = run({(0, "advertise"): record(0), (1, "advertise"): lambda m, r: of_another(m, r), (2, "confirm"): old})
    assert masked.reason(1) is not None
    assert masked.reason(2) is None
    assert masked.model(0) == masked.model(3)
    assert len(said["confirm", 2]) > 1


def test_an_update_without_its_mask_spoils_the_sum_and_shows_nothing(run, make_scheme):
    """It says that it is masked; what is taken out of the sum then stands in it."""
    cipher, _ = make_scheme("packed", PRESET)

    def unmasked(message: Message, reply: Message) -> Message:
        update = update_from_content(content_of(reply))
        if not update.update:
            return reply
        header = EncryptedUpdate.from_bytes(update.update).header
        body = cipher.encrypt(np.full(PRESET.block, 1, np.uint8))
        forged = EncryptedUpdate.sign(header, body, make_identity("site-3")).to_bytes()
        return saying(message, update_to_content(replace(update, update=forged)))

    results: list[RoundResult] = []
    with pytest.raises(FederationError, match=r"round 2 has 0 usable answers.*the site failed: 'sum'"):
        run({(2, "upload"): unmasked}, on_round=results.append)
    assert results[0].outcomes[2].reason is None  # nobody could tell


def test_a_site_without_a_roster_takes_no_part_in_masked_rounds(run):
    masked = run(without_roster=(4,))
    assert masked.reason(4) == Refusal.MASKS.reason
    assert masked.model() == run(dropping((4,), "upload"), masked=False).model()


def test_a_site_that_masks_follows_no_plan_without_masks(run, make_masked, make_plan):
    site = make_masked(0, AttemptJournal(None))
    with pytest.raises(PlanError, match="site-1 masks all of its updates, and the plan has none"):
        site.follow(make_plan(quantisation=QUANTISATION))
    with pytest.raises(FederationError, match=r"round 1 has 0 usable answers.*masks"):
        run(masks=None)


@pytest.fixture
def masked_plan(make_plan):
    return make_plan(quantisation=QUANTISATION, masks=TERMS)


@pytest.fixture
def request_of(masked_plan):
    """A question about the masks of the plan."""
    symbols = UpdateSymbols(build(ModelSpec.from_json(masked_plan.spec), derive_rng(0, "layout")), PRESET.levels)

    def make(step: str, payload: bytes = b"", **changes: object) -> MaskRequest:
        fields = {"run": "01JRUN", "round": 1, "attempt": 1, "step": step, "terms": TERMS, "payload": payload}
        fields |= {"layout": masked_plan.layout_sha256(symbols.sha256)}
        return MaskRequest(**fields | changes)

    return make


@pytest.fixture
def deal(request_of):
    def deal(sites: list[Site]) -> dict[Site, bytes]:
        """What a coordinator passes on to each site before the plan."""
        ordered = sorted(sites, key=lambda site: site.identity.id)
        adverts = b"".join(site.answer(request_of("advertise")) for site in ordered)
        dealt = [site.answer(request_of("share", adverts)) for site in ordered]
        size = len(dealt[0]) // len(ordered)
        return {
            site: b"".join(shares[size * place : size * (place + 1)] for shares in dealt)
            for place, site in enumerate(ordered)
        }

    return deal


@pytest.mark.parametrize(
    ("terms", "error", "reason"),
    [
        pytest.param({"roster_sha256": "00" * 32}, PlanError, "knows the roster 5a5a5a5a5a5a5a5a", id="roster"),
        pytest.param({"threshold": 3}, MaskingError, "a threshold of 3 does not protect 6 sites", id="threshold"),
        pytest.param({"colluders": 0}, MaskingError, "protect from 0 sites in league", id="fewer-colluders"),
    ],
)
def test_a_site_holds_the_terms_of_masks_against_what_it_knows(make_masked, request_of, terms, error, reason):
    sites = [make_masked(index, AttemptJournal(None)) for index in range(COUNT)]
    changed = replace(TERMS, **terms)

    def begin() -> None:
        adverts = sorted((site.identity.id, site.answer(request_of("advertise", terms=changed))) for site in sites)
        sites[0].answer(request_of("share", b"".join(advert for _, advert in adverts), terms=changed))

    with pytest.raises(error, match=reason):
        begin()


def test_a_step_of_an_attempt_that_was_not_begun_is_not_taken(make_masked, masked_plan, request_of):
    site = make_masked(0, AttemptJournal(None))
    steps = [lambda step=step: site.answer(request_of(step)) for step in ("share", "confirm", "reveal")]
    steps.append(lambda: site.follow(masked_plan))
    for step in steps:
        with pytest.raises(PlanError, match="site-1 has not advertised for attempt 1 at round 1"):
            step()
    site.answer(request_of("advertise"))
    for other in (
        {"attempt": 2},
        {"round": 2},
        {"run": "01JOTHER"},
        {"layout": "cd" * 32},
        {"terms": replace(TERMS, threshold=5)},
    ):
        with pytest.raises(PlanError, match="site-1 has not advertised"):
            site.answer(request_of("share", **other))


@pytest.mark.parametrize("payload", [b"x", bytes(17), bytes(15)])
def test_ids_that_are_none_are_not_confirmed(make_masked, request_of, payload):
    site = make_masked(0, AttemptJournal(None))
    site.answer(request_of("advertise"))
    with pytest.raises(MaskingError, match="expected ids of 16 bytes"):
        site.answer(request_of("confirm", payload))


def test_a_site_masks_an_attempt_once_also_after_it_was_started_anew(make_masked, masked_plan, deal, tmp_path):
    """The journal is on its disk: two updates under one mask would show their difference."""
    path = tmp_path / "site-1.journal"
    others = [make_masked(index, AttemptJournal(None)) for index in range(1, COUNT)]

    def follow() -> bytes:
        site = make_masked(0, AttemptJournal(path))
        shares = deal([site, *others])[site]
        return site.follow(replace(masked_plan, shares=shares)).update

    assert EncryptedUpdate.from_bytes(follow()).header.masked
    with pytest.raises(ReplayedUpdateError, match="attempt 1 at round 1 of run 01JRUN"):
        follow()


def test_a_masked_update_is_noise_to_who_has_the_key(make_masked, masked_plan, deal, make_scheme):
    cipher, _ = make_scheme("packed", PRESET)
    sites = [make_masked(index, AttemptJournal(None)) for index in range(COUNT)]
    shares = deal(sites)
    opened = []
    for site in sites[:2]:
        body = EncryptedUpdate.from_bytes(site.follow(replace(masked_plan, shares=shares[site])).update).body
        adder = make_scheme("packed", PRESET)[1].start(PRESET.block)
        adder.add(memoryview(body))
        opened.append(cipher.decrypt(adder.body(), PRESET.block))
    for digits in opened:
        low = digits[: 2048 * (PRESET.packing - 1)]  # the highest digit is not quite uniform
        assert low.max() > PRESET.symbols  # beyond what one site could have said
        assert abs(low.mean() / (PRESET.base / 2) - 1) < 0.05


LINEAR = ModelSpec((1, 8, 8), (layer_spec("flatten"), layer_spec("linear", out_features=10)))


def test_a_simulation_with_masks_is_in_the_history_and_releases_the_same_bits(tmp_path):
    released: list[bytes] = []
    with open_database(tmp_path / "history.db") as database:
        for masked in (True, False):
            config = SimulationConfig(data="digits", clients=5, rounds=2, seed=1, epochs=1, masked=masked)
            result = simulate(SimulationSetup.load(config, spec=LINEAR), database)
            model = load_model(result.model).model
            released.append(ParameterLayout.of(model).flatten(model.state()).tobytes())
            found = History(database).federated(result.run.uid)
            assert found.run.config["masked"] is masked
            assert found.run.state == "completed"
            assert [each.participants for each in result.rounds] == [5, 5]
    assert released[0] == released[1]


def test_a_simulation_masks_under_an_encryption_only():
    with pytest.raises(Exception, match="masks go under the packed encryption, got the scheme plain"):
        SimulationConfig(data="digits", masked=True, scheme="plain")
