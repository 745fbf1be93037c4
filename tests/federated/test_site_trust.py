"""What a site still believes of a coordinator that signs sums of its own making: nothing, and then nothing any more."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from nasturtium.core import Metrics, ModelSpec, ParameterLayout, build, derive_rng
from nasturtium.federated import ClientUpdate, PlanError, RoundPlan, Site
from nasturtium.federated.updates.symbols import Contribution, UpdateSymbols
from nasturtium.privacy import (
    Aggregator,
    AttemptJournal,
    EncryptedSum,
    EncryptedUpdate,
    PackedAdder,
    PackedCipher,
    Preset,
    PrivacyError,
    SecretKey,
    Sitting,
    protect,
)
from nasturtium.privacy.packed import scale
from nasturtium.privacy.packing import pack_digits, pack_words, unpack_words
from nasturtium.privacy.presets import DEGREE, MODULUS, MODULUS_BITS

Numbers = np.ndarray  # c0 and c1 of every ciphertext: shape (ciphertexts, 2, 2048) uint64
Change = Callable[[Numbers], Numbers]


@pytest.fixture
def sites(make_site, make_scheme, preset) -> list[Site]:
    cipher, _ = make_scheme("packed", preset)
    return [make_site(index, rows=8 + 4 * index, measured=5 + index, cipher=cipher) for index in (1, 2, 3)]


def sitting_of(answer: ClientUpdate) -> Sitting:
    header = EncryptedUpdate.from_bytes(answer.update).header
    return Sitting(
        run=header.run, round=header.round, attempt=header.attempt, layout=header.layout, values=header.values
    )


@pytest.fixture
def ask(coordinator, preset, key):
    """Send a plan to sites and add up what they answer."""

    def run(plan: RoundPlan, sites: list[Site]) -> EncryptedSum:
        answers = {site: site.follow(plan) for site in sites}
        sitting = sitting_of(next(iter(answers.values())))
        members = {site.identity.id: site.identity for site in sites}
        total = Aggregator(PackedAdder(preset, key.key_id), sitting, members=members, signer=coordinator)
        for site, answer in answers.items():
            total.add(answer.update, sender=site.identity.id)
        return total.finish()

    return run


@pytest.fixture
def forge(coordinator):
    """Change the numbers of a sum and sign it anew."""

    def make(total: EncryptedSum, change: Change) -> bytes:
        named = 16 * total.header.summands
        rows = np.frombuffer(bytes(total.body[named:]), np.uint8).reshape(-1, DEGREE * MODULUS_BITS // 8)
        numbers = change(unpack_words(rows, DEGREE, MODULUS_BITS).reshape(-1, 2, DEGREE)) % np.uint64(MODULUS)
        words = pack_words(numbers.reshape(-1, DEGREE), MODULUS_BITS).tobytes()
        return EncryptedSum.sign(total.header, bytes(total.body[:named]) + words, coordinator).to_bytes()

    return make


@pytest.fixture(scope="session")
def preset() -> Preset:
    """With so much room that the sites' own errors never decide whether a forged sum decrypts to the true one."""
    return Preset(clients=5, levels=255, packing=4)


def the_key(preset) -> Change:
    """A sum that decrypts to the key: c0 = 0, c1 = q / t."""

    def change(numbers: Numbers) -> Numbers:
        forged = np.zeros_like(numbers)
        forged[0, 1, 0] = round(MODULUS / preset.plain_modulus)
        return forged

    return change


def is_one(preset, place: int) -> Change:
    """A sum that decrypts to another one exactly where a coefficient of the key is 1."""

    def change(numbers: Numbers) -> Numbers:
        half = MODULUS // (2 * preset.plain_modulus)
        changed = numbers.copy()
        changed[0, 1, 0] += np.uint64(half // 2)
        changed[0, 0, place] += np.uint64(half - half // 4)
        return changed

    return change


def vector_of(site: Site) -> np.ndarray:
    model = site.release().model
    return ParameterLayout.of(model).flatten(model.state())


def test_one_update_is_not_reported_on_by_way_of_a_forged_sum(sites, make_plan, ask, coordinator, preset, key):
    """A coordinator that adds to one update what sites say that have nothing to say would read its counts."""
    plan = make_plan()
    answers = [site.follow(plan) for site in sites]
    alone = PackedAdder(preset, key.key_id).start(sitting_of(answers[1]).symbols(sites[0]._ciphers.find("", "packed")))
    alone.add(memoryview(EncryptedUpdate.from_bytes(answers[1].update).body))
    silent = UpdateSymbols(build(ModelSpec.from_json(plan.spec), derive_rng(0, "layout")), preset.levels)
    nothing = Contribution(np.zeros(silent.layout.size), 0.0, Metrics(0.0, 0, 0))
    known = silent.encode(nothing, silent.first_ranges(plan.quantisation.bound), np.random.default_rng(0))
    coefficients = pack_digits(2 * known.astype(np.uint32), preset)
    numbers = unpack_words(
        np.frombuffer(alone.body(), np.uint8).reshape(-1, DEGREE * MODULUS_BITS // 8), DEGREE, MODULUS_BITS
    )
    numbers[0] = (numbers[0] + scale(coefficients, preset)[0]) % np.uint64(MODULUS)
    senders = b"".join(sorted(bytes.fromhex(site.identity.id) for site in sites))
    header = sitting_of(answers[0]).header(sites[0]._ciphers.find("", "packed"), coordinator.public.id, summands=3)
    body = senders + pack_words(numbers, MODULUS_BITS).tobytes()
    forged = EncryptedSum.sign(header, body, coordinator).to_bytes()
    for site in sites:
        before = vector_of(site)
        for phase in ("report", "evaluate", "train"):
            with pytest.raises((PrivacyError, PlanError)):
                site.follow(make_plan(2, phase=phase, total=forged))
        np.testing.assert_array_equal(vector_of(site), before)


def test_a_forged_sum_is_refused_in_the_same_words_whatever_is_in_it(
    make_site, make_scheme, make_plan, ask, forge, preset
):
    cipher, _ = make_scheme("packed", preset)
    told: list[tuple[type, str]] = []
    for change in (the_key(preset), lambda n: 2 * n, lambda n: n[:, ::-1], lambda n: np.zeros_like(n)):
        sites = [make_site(index, cipher=cipher) for index in (1, 2, 3)]
        total = ask(make_plan(), sites)
        with pytest.raises(PrivacyError) as refused:
            sites[0].follow(make_plan(2, total=forge(total, change)))
        told.append((type(refused.value), str(refused.value)))
    assert set(told) == {(PrivacyError, "the sum cannot be opened")}


def test_a_site_tells_at_most_once_whether_a_forged_sum_is_like_a_true_one(sites, make_plan, ask, forge, preset, key):
    """Each word of it would be a coefficient of the key. New runs do not bring it back."""
    told: list[int] = []
    for number in range(40):
        run = f"01JRUN{number}"
        try:
            answer = ask(make_plan(run=run), sites)
        except PlanError:
            break
        try:
            sites[0].follow(make_plan(2, run=run, phase="report", total=forge(answer, is_one(preset, number))))
        except PrivacyError:
            told.append(number)
    zeros, unit = np.zeros((1, DEGREE), np.uint64), np.zeros((1, DEGREE), np.uint64)
    unit[0, 0] = round(MODULUS / preset.plain_modulus)
    [coefficients] = key.decrypt(zeros, unit, preset.plain_modulus)
    assert told == np.flatnonzero(coefficients == 1).tolist()[:1]  # the attack works, and then has ended
    for plan in (make_plan(run="01JNEW"), make_plan(run="01JNEWER", phase="evaluate"), make_plan(attempt=9)):
        with pytest.raises(PlanError, match="follows no plan under this key any more"):
            sites[0].follow(plan)


def test_a_site_that_is_started_anew_remembers_that_it_refused_a_sum(
    make_site, make_scheme, make_plan, ask, forge, preset, tmp_path
):
    """Its journal does; with a new key it goes on."""
    cipher, _ = make_scheme("packed", preset)
    path = tmp_path / "journal"

    def start(cipher=cipher) -> Site:
        return make_site(1, cipher=cipher, journal=AttemptJournal(path))

    sites = [start(), make_site(2, cipher=cipher), make_site(3, cipher=cipher)]
    total = ask(make_plan(), sites)
    with pytest.raises(PrivacyError, match=r"^the sum cannot be opened$"):
        sites[0].follow(make_plan(2, total=forge(total, the_key(preset))))
    for plan in (make_plan(run="01JNEW"), make_plan(2, total=total.to_bytes())):
        with pytest.raises(PlanError, match="follows no plan under this key any more"):
            start().follow(plan)
    assert start(PackedCipher(SecretKey.generate(), preset)).follow(make_plan(run="01JNEW")).update


def test_a_site_does_not_answer_again_in_a_run_that_it_left(sites, make_plan, ask):
    """All multiples of the difference of two answers to one attempt have a tag."""
    total = ask(make_plan(), sites)
    ask(make_plan(2, total=total.to_bytes()), sites)
    ask(make_plan(run="01JOTHER"), sites)
    for plan in (make_plan(), make_plan(seed=6), make_plan(phase="evaluate"), make_plan(attempt=9)):
        with pytest.raises(PlanError, match=r"has done attempt 1 at round 2|than run 01JRUN began with"):
            sites[0].follow(plan)
        ask(make_plan(run=f"01JRUN{plan.attempt}{plan.seed}{plan.phase}"), sites)
    with pytest.raises(PlanError, match="has done attempt 1 at round 2"):
        sites[0].follow(make_plan(2, total=total.to_bytes()))


def test_values_of_a_site_that_cannot_be_are_not_the_coordinators_fault(sites, make_plan, coordinator, preset, key):
    """A member can say anything under the encryption: the round is lost, and the coordinator still believed."""
    plan = make_plan()
    answers = [site.follow(plan) for site in sites]
    cipher, sitting = sites[0]._ciphers.find("", "packed"), sitting_of(answers[0])
    liar = sites[2]
    lie = np.full(sitting.values, preset.symbols - 1, np.uint8)
    false = protect(cipher, sitting, lie, signer=liar._identity).to_bytes()
    members = {site.identity.id: site.identity for site in sites}
    total = Aggregator(PackedAdder(preset, key.key_id), sitting, members=members, signer=coordinator)
    for site, update in zip(sites, (answers[0].update, answers[1].update, false), strict=True):
        total.add(update, sender=site.identity.id)
    forged = total.finish().to_bytes()
    with pytest.raises(PrivacyError, match="a site has sent false values"):
        sites[0].follow(make_plan(2, total=forged))
    assert sites[0].follow(make_plan(run="01JOTHER")).update


def test_sites_with_the_same_sums_have_the_same_tags_and_others_do_not(sites, make_plan, ask, forge):
    """Also where the sums are of the same numbers: the coordinator chose which of two to send, and would learn less."""
    total = ask(make_plan(), sites)
    other = forge(total, lambda numbers: numbers + np.eye(1, DEGREE, 5, dtype=np.uint64))  # opens as the same
    tags = [
        site.follow(make_plan(2, phase="report", total=data)).model_tag
        for site, data in zip(sites, (total.to_bytes(), total.to_bytes(), other), strict=True)
    ]
    assert tags[0] == tags[1] != tags[2]
    np.testing.assert_array_equal(vector_of(sites[0]), vector_of(sites[2]))


def test_a_tag_is_no_hash_that_could_be_guessed(sites, make_plan, ask):
    """A coordinator that knows the model and all sums cannot compute it: it has no key."""
    total = ask(make_plan(), sites).to_bytes()
    tag = sites[0].follow(make_plan(2, phase="report", total=total)).model_tag
    run, vector = b"01JRUN".ljust(32, b"\0"), vector_of(sites[0]).tobytes()
    chain = hashlib.sha256(total).digest()
    guesses = [vector, run + vector, chain + vector, run + chain + vector]
    assert tag not in {hashlib.sha256(guess).hexdigest() for guess in guesses}
    assert len(bytes.fromhex(tag)) == 32
