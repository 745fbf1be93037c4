"""The coordinator's sum: what belongs into it is added exactly, what does not leaves it as it was."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from nasturtium.core import ConfigError
from nasturtium.privacy import (
    Adder,
    Aggregator,
    Cipher,
    EncryptedSum,
    EncryptedUpdate,
    Identity,
    MalformedUpdateError,
    PackedAdder,
    PackedCipher,
    PlainAdder,
    PlainCipher,
    Preset,
    PrivacyError,
    ReplayedUpdateError,
    SignatureError,
    Sitting,
    TooFewSitesError,
    TooManyClientsError,
    UnknownSenderError,
    UpdateRejectedError,
    WrongKeyError,
    WrongLayoutError,
    WrongPresetError,
    WrongRoundError,
    WrongRunError,
    open_sum,
    protect,
    smallest_preset,
)
from nasturtium.privacy.packing import unpack_words
from nasturtium.privacy.presets import DEGREE, MODULUS, MODULUS_BITS, SEED_BYTES
from nasturtium.privacy.rlwe import Scratch, make_context, seal, seeded_bytes
from nasturtium.privacy.sitting import ID_BYTES

VALUES = 7
SITTING = Sitting(run="01JRUN", round=3, attempt=2, layout="ab" * 32, values=VALUES)
STRANGER = Identity("stranger", bytes([77]) * 64)
OTHER_PRESET = smallest_preset(5, 8)


def draw_updates(preset: Preset, count: int, values: int) -> list[np.ndarray]:
    """Symbols over their whole range, every third at an end of it."""
    rng = np.random.default_rng(count * values)
    updates = rng.integers(0, preset.symbols, (count, values), np.uint32)
    updates[:, ::3] = rng.choice([0, preset.symbols - 1], updates[:, ::3].shape)
    return list(updates)


@pytest.fixture
def members(sites):
    return {site.public.id: site.public for site in sites}


@pytest.fixture
def make_aggregator(members, coordinator):
    def make(adder: Adder, sitting: Sitting = SITTING) -> Aggregator:
        return Aggregator(adder, sitting, members=members, signer=coordinator)

    return make


def ones(cipher: Cipher, site: Identity, sitting: Sitting = SITTING) -> EncryptedUpdate:
    return protect(cipher, sitting, np.ones(sitting.values, np.uint8), signer=site)


def add(aggregator: Aggregator, update: EncryptedUpdate, site: Identity) -> None:
    aggregator.add(update.to_bytes(), sender=site.public.id)


def opened(cipher: Cipher, total: EncryptedSum) -> np.ndarray:
    """The sums without a look at their tags."""
    body = EncryptedSum.from_bytes(total.to_bytes()).body[ID_BYTES * total.header.summands :]
    return cipher.decrypt(body, replace(SITTING, values=total.header.values).symbols(cipher))[: total.header.values]


@pytest.mark.parametrize("values", [1, VALUES, 9001])
@pytest.mark.parametrize("clients", [3, 4])
def test_the_sum_is_exact_signed_and_says_what_it_is(scheme, make_aggregator, sites, coordinator, values, clients):
    cipher, adder = scheme
    sitting = replace(SITTING, values=values)
    aggregator = make_aggregator(adder, sitting)
    updates = draw_updates(adder.preset, clients, values)
    for site, symbols in zip(sites, updates, strict=False):
        add(aggregator, protect(cipher, sitting, symbols, signer=site), site)
    assert aggregator.senders == tuple(site.public.id for site in sites[:clients])
    assert aggregator.summands == clients
    total = aggregator.finish()
    np.testing.assert_array_equal(opened(cipher, total), sum(updates))
    total.verify(coordinator.public)
    assert total.header == sitting.header(cipher, coordinator.public.id, summands=clients)
    assert len(total.body) == ID_BYTES * clients + adder.sum_bytes(sitting.symbols(adder))
    assert bytes(total.body[: ID_BYTES * clients]).hex() == "".join(sorted(aggregator.senders))


def test_the_order_of_the_updates_does_not_matter(scheme, make_aggregator, sites):
    cipher, adder = scheme
    updates = [(ones(cipher, site), site) for site in sites[:4]]
    bodies: list[bytes] = []
    for order in (updates, updates[::-1]):
        aggregator = make_aggregator(adder)
        for update, site in order:
            add(aggregator, update, site)
        bodies.append(bytes(aggregator.finish().body))
    assert bodies[0] == bodies[1]


def changed(**fields: object) -> Callable[[EncryptedUpdate, Identity], bytes]:
    """The site itself signs an update with other fields."""

    def change(update: EncryptedUpdate, site: Identity) -> bytes:
        return EncryptedUpdate.sign(replace(update.header, **fields), update.body, site).to_bytes()

    return change


def with_body(change: Callable[[bytes], bytes]) -> Callable[[EncryptedUpdate, Identity], bytes]:
    return lambda update, site: EncryptedUpdate.sign(update.header, change(bytes(update.body)), site).to_bytes()


def signed(domain: str, by: Identity | None = None) -> Callable[[EncryptedUpdate, Identity], bytes]:
    """The same bytes, signed for another domain or by somebody else."""

    def change(update: EncryptedUpdate, site: Identity) -> bytes:
        digest = hashlib.sha256(update.to_bytes()[:-64]).digest()
        return replace(update, signature=(by or site).sign(domain, digest)).to_bytes()

    return change


def with_larger_s(update: EncryptedUpdate, site: Identity) -> bytes:
    """The other form of an Ed25519 signature, S + L, which careless verifiers accept (RFC 8032, 5.1.7)."""
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(update.signature[32:], "little") + order
    return replace(update, signature=update.signature[:32] + s.to_bytes(32, "little")).to_bytes()


REFUSALS = [
    pytest.param(changed(run="01JOTHER"), WrongRunError, "run is '01JOTHER', expected '01JRUN'", id="run"),
    pytest.param(changed(round=2), WrongRoundError, "round is 2, expected 3", id="round-before"),
    pytest.param(changed(round=4), WrongRoundError, "round is 4, expected 3", id="round-to-come"),
    pytest.param(changed(attempt=1), WrongRoundError, "attempt is 1, expected 2", id="attempt-before"),
    pytest.param(changed(attempt=3), WrongRoundError, "attempt is 3, expected 2", id="attempt-to-come"),
    pytest.param(changed(preset="cd" * 8), WrongPresetError, "preset is 'cdcd", id="preset"),
    pytest.param(changed(key_id="ef" * 16), WrongKeyError, "key_id is 'efef", id="key"),
    pytest.param(changed(layout="cd" * 32), WrongLayoutError, "layout is 'cdcd", id="layout"),
    pytest.param(changed(values=VALUES - 1), WrongLayoutError, "values is 6, expected 7", id="fewer-values"),
    pytest.param(changed(values=2**31), WrongLayoutError, "values is 2147483648, expected 7", id="more-values"),
    pytest.param(changed(masked=True), WrongPresetError, "masked is True, expected False", id="masked"),
    pytest.param(changed(tagged=False), WrongPresetError, "tagged is False, expected True", id="without-tag"),
    pytest.param(changed(summands=2), MalformedUpdateError, "summands is 2, expected 1", id="summands"),
    pytest.param(changed(ciphertexts=9), MalformedUpdateError, "ciphertexts is 9, expected", id="ciphertexts"),
    pytest.param(with_body(lambda body: body[:-1]), MalformedUpdateError, "expected a body of", id="shorter-body"),
    pytest.param(with_body(lambda body: body + b"\0"), MalformedUpdateError, "expected a body of", id="longer-body"),
    pytest.param(with_body(lambda body: b""), MalformedUpdateError, "expected a body of", id="no-body"),
    pytest.param(with_body(lambda body: bytes(10**6)), MalformedUpdateError, "got 1000000", id="huge-body"),
    pytest.param(lambda update, site: b"", MalformedUpdateError, "too short", id="nothing"),
    pytest.param(lambda update, site: b"garbage" * 99, MalformedUpdateError, "not a protected vector", id="garbage"),
    pytest.param(
        lambda update, site: EncryptedSum.sign(update.header, update.body, site).to_bytes(),
        MalformedUpdateError,
        "expected an update v1, got an envelope of kind 2",
        id="a-sum",
    ),
    pytest.param(signed("update v1", STRANGER), SignatureError, "is not that of site-3", id="stranger's-signature"),
    pytest.param(signed("sum v1"), SignatureError, "'update v1' is not that of site-3", id="signature-of-a-sum"),
    pytest.param(signed("identity v1"), SignatureError, "is not that of site-3", id="signature-of-an-identity"),
    pytest.param(with_larger_s, SignatureError, "is not that of site-3", id="signature-in-another-form"),
    pytest.param(
        lambda update, site: replace(update, signature=bytes(64)).to_bytes(),
        SignatureError,
        "is not that of site-3",
        id="no-signature",
    ),
]


@pytest.mark.parametrize(("change", "error", "reason"), REFUSALS)
def test_what_does_not_belong_is_refused_by_its_class_and_the_sum_unchanged(
    scheme, make_aggregator, sites, change, error, reason
):
    """And who sent it may still send what is right."""
    cipher, adder = scheme
    aggregator = make_aggregator(adder)
    for site in sites[:2]:
        add(aggregator, ones(cipher, site), site)
    third = ones(cipher, sites[2])
    with pytest.raises(UpdateRejectedError, match=reason) as refused:
        aggregator.add(change(third, sites[2]), sender=sites[2].public.id)
    assert type(refused.value) is error
    assert aggregator.senders == tuple(site.public.id for site in sites[:2])
    add(aggregator, third, sites[2])
    np.testing.assert_array_equal(opened(cipher, aggregator.finish()), np.full(VALUES, 3))


def test_nobody_sends_in_the_name_of_another(scheme, make_aggregator, sites):
    cipher, adder = scheme
    aggregator = make_aggregator(adder)
    mine, theirs = sites[:2]
    with pytest.raises(UnknownSenderError, match=f"sender is '{theirs.public.id}', expected '{mine.public.id}'"):
        aggregator.add(ones(cipher, theirs).to_bytes(), sender=mine.public.id)
    for name in (STRANGER.public.id, "", "site-1", "x" * 10**6):
        with pytest.raises(UnknownSenderError, match="who is not a member") as refused:
            aggregator.add(ones(cipher, STRANGER).to_bytes(), sender=name)
        assert len(str(refused.value)) < 200
    assert aggregator.summands == 0


def test_a_second_update_of_a_site_is_refused(scheme, make_aggregator, sites):
    """The same bytes, and a fresh update that is signed as it should be."""
    cipher, adder = scheme
    aggregator = make_aggregator(adder)
    first = ones(cipher, sites[0])
    add(aggregator, first, sites[0])
    for again in (first, ones(cipher, sites[0])):
        with pytest.raises(ReplayedUpdateError, match="a second update from site-1 in round 3"):
            add(aggregator, again, sites[0])
    for site in sites[1:3]:
        add(aggregator, ones(cipher, site), site)
    np.testing.assert_array_equal(opened(cipher, aggregator.finish()), np.full(VALUES, 3))


def test_a_full_sum_takes_no_more(scheme, make_aggregator, sites):
    cipher, adder = scheme
    aggregator = make_aggregator(adder)
    for site in sites[:4]:
        add(aggregator, ones(cipher, site), site)
    with pytest.raises(TooManyClientsError, match=f"the sum is full: {adder.preset.name} is exact for 4 updates"):
        add(aggregator, ones(cipher, sites[4]), sites[4])
    np.testing.assert_array_equal(opened(cipher, aggregator.finish()), np.full(VALUES, 4))


def test_a_scheme_takes_nothing_of_another(key, preset, make_aggregator, sites):
    """Nor of another preset of its own, whose updates may have the same length."""
    ciphers: list[Cipher] = [PlainCipher(preset), PackedCipher(key, preset), PackedCipher(key, OTHER_PRESET)]
    adders: list[Adder] = [PlainAdder(preset), PackedAdder(preset, key.key_id), PackedAdder(OTHER_PRESET, key.key_id)]
    for theirs, cipher in enumerate(ciphers):
        for ours, adder in enumerate(adders):
            if theirs != ours:
                with pytest.raises(WrongPresetError):
                    add(make_aggregator(adder), ones(cipher, sites[0]), sites[0])


def test_what_is_wrong_in_many_ways_is_said_to_be_the_first(scheme, make_aggregator, sites):
    cipher, adder = scheme
    wrong: dict[str, object] = {
        "run": "01JOTHER",
        "round": 2,
        "preset": "cd" * 8,
        "key_id": "ef" * 16,
        "layout": "cd" * 32,
        "summands": 2,
    }
    for name in list(wrong):
        data = changed(**wrong)(ones(cipher, sites[0]), sites[0])
        with pytest.raises(UpdateRejectedError, match=f"^{name} is "):
            make_aggregator(adder).add(data, sender=sites[0].public.id)
        del wrong[name]


class WatchedMember:
    """Notes when a signature is checked, for which the body is read."""

    def __init__(self, public, log: list[str]) -> None:
        self.id, self.name = public.id, public.name
        self._public, self._log = public, log

    def verify(self, domain: str, message: bytes, signature: bytes) -> None:
        self._log.append("signature")
        self._public.verify(domain, message, signature)


class WatchedAdder(PlainAdder):
    """Notes when a body is given to the scheme."""

    def __init__(self, preset: Preset, log: list[str]) -> None:
        super().__init__(preset)
        self._log = log

    def start(self, values: int):
        total, log = super().start(values), self._log

        class Watched:
            def add(self, body: memoryview) -> None:
                log.append("body")
                total.add(body)

        return Watched()


@pytest.mark.parametrize(("change", "error", "reason"), REFUSALS)
def test_header_and_lengths_are_checked_before_the_signature_and_that_before_the_body(
    preset, sites, coordinator, change, error, reason
):
    log: list[str] = []
    members = {site.public.id: WatchedMember(site.public, log) for site in sites}
    aggregator = Aggregator(WatchedAdder(preset, log), SITTING, members=members, signer=coordinator)
    update = ones(PlainCipher(preset), sites[2])
    with pytest.raises(error):
        aggregator.add(change(update, sites[2]), sender=sites[2].public.id)
    assert log == (["signature"] if error is SignatureError else [])
    log.clear()
    add(aggregator, update, sites[2])
    assert log == ["signature", "body"]
    with pytest.raises(ReplayedUpdateError):
        add(aggregator, update, sites[2])
    for site in (sites[0], sites[1], sites[3]):
        add(aggregator, ones(PlainCipher(preset), site), site)
    log.clear()
    with pytest.raises(TooManyClientsError):
        add(aggregator, ones(PlainCipher(preset), sites[4]), sites[4])
    assert log == []


def as_seal(body: bytes | memoryview, preset: Preset):
    """The ciphertext of an update of one, as SEAL's own object."""
    seed, words = bytes(body[:SEED_BYTES]), np.frombuffer(body, np.uint8, offset=SEED_BYTES)
    c0 = unpack_words(words.reshape(1, -1), DEGREE, preset.word_bits)[0] << np.uint64(preset.dropped_bits)
    t = preset.plain_modulus
    with Scratch() as scratch:
        return scratch.load(seal.Ciphertext(), seeded_bytes(c0 % np.uint64(MODULUS), seed, t), plain_modulus=t)


def test_another_key_is_refused_by_its_id_where_seal_itself_would_add(key, other_key, preset, make_aggregator, sites):
    ours, theirs = PackedCipher(key, preset), PackedCipher(other_key, preset)
    updates = [ones(ours, sites[0]), ones(theirs, sites[1])]
    total = seal.Ciphertext()
    evaluator = seal.Evaluator(make_context(preset.plain_modulus))
    evaluator.add(*(as_seal(update.body, preset) for update in updates), total)  # no complaint

    arithmetic = PackedAdder(preset, key.key_id).start(SITTING.symbols(ours))
    for update in updates:
        arithmetic.add(memoryview(update.body))  # nor here: numbers are numbers
    assert (ours.decrypt(arithmetic.body(), VALUES) != 2).any()

    aggregator = make_aggregator(PackedAdder(preset, key.key_id))
    add(aggregator, updates[0], sites[0])
    with pytest.raises(WrongKeyError, match=f"key_id is '{other_key.key_id}', expected '{key.key_id}'"):
        add(aggregator, updates[1], sites[1])


def test_a_member_that_encrypts_garbage_breaks_the_sum_but_not_the_aggregator(key, preset, make_aggregator, sites):
    """Numbers beyond q, as many as there can be: the sum is theirs modulo q."""
    cipher, adder = PackedCipher(key, preset), PackedAdder(preset, key.key_id)
    aggregator = make_aggregator(adder)
    for site in sites[:4]:
        body = b"\xff" * adder.update_bytes(SITTING.symbols(adder))
        add(aggregator, EncryptedUpdate.sign(SITTING.header(adder, site.public.id), body, site), site)
    total = aggregator.finish()
    numbers = np.frombuffer(total.body, np.uint8, offset=4 * ID_BYTES)
    c0 = unpack_words(numbers.reshape(2, -1), DEGREE, MODULUS_BITS)[0]
    largest = (2**preset.word_bits - 1) << preset.dropped_bits
    assert set(c0.tolist()) == {4 * largest % MODULUS}
    assert opened(cipher, total).shape == (VALUES,)


def test_a_symbol_out_of_range_is_seen_where_there_is_no_encryption(preset, make_aggregator, sites):
    aggregator = make_aggregator(PlainAdder(preset))
    body = b"\xff" * PlainAdder(preset).update_bytes(VALUES)
    update = EncryptedUpdate.sign(SITTING.header(PlainAdder(preset), sites[0].public.id), body, sites[0])
    with pytest.raises(MalformedUpdateError, match="a symbol is beyond the 255"):
        add(aggregator, update, sites[0])
    for site in sites[:3]:
        add(aggregator, ones(PlainCipher(preset), site), site)
    np.testing.assert_array_equal(opened(PlainCipher(preset), aggregator.finish()), np.full(VALUES, 3))


@pytest.mark.parametrize(("updates", "needed"), [(0, 3), (1, 3), (2, 3), (3, 4)])
def test_too_small_a_sum_is_not_formed_but_may_grow(scheme, make_aggregator, sites, updates, needed):
    cipher, adder = scheme
    aggregator = make_aggregator(adder)
    for site in sites[:updates]:
        add(aggregator, ones(cipher, site), site)
    with pytest.raises(TooFewSitesError, match=f"has {updates} accepted updates, expected at least {needed}"):
        aggregator.finish(min_summands=needed)
    for site in sites[updates:needed]:
        add(aggregator, ones(cipher, site), site)
    assert aggregator.finish(min_summands=needed).header.summands == needed


@pytest.mark.parametrize("needed", [2, 0, -1])
def test_a_sum_of_fewer_than_three_cannot_be_asked_for(scheme, make_aggregator, needed):
    with pytest.raises(ConfigError, match=f"min_summands >= 3, got {needed}"):
        make_aggregator(scheme[1]).finish(min_summands=needed)


def test_a_sum_is_given_out_once(scheme, make_aggregator, sites):
    """The difference of two sums of one attempt would be an update."""
    cipher, adder = scheme
    aggregator = make_aggregator(adder)
    for site in sites[:3]:
        add(aggregator, ones(cipher, site), site)
    aggregator.finish()
    with pytest.raises(WrongRoundError, match="round 3 is closed: an update from site-4 is late"):
        add(aggregator, ones(cipher, sites[3]), sites[3])
    with pytest.raises(PrivacyError, match="no further sum"):
        aggregator.finish()


def test_a_sum_that_has_an_update_in_part_is_not_given_out(key, preset, make_aggregator, sites, monkeypatch):
    cipher = PackedCipher(key, preset)
    aggregator = make_aggregator(PackedAdder(preset, key.key_id))
    for site in sites[:3]:
        add(aggregator, ones(cipher, site), site)

    def fail(seeds: bytes) -> np.ndarray:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("nasturtium.privacy.packed.expand_seeds", fail)
        with pytest.raises(MemoryError):
            add(aggregator, ones(cipher, sites[3]), sites[3])
    with pytest.raises(WrongRoundError, match="is closed"):
        add(aggregator, ones(cipher, sites[3]), sites[3])
    with pytest.raises(PrivacyError, match="could not be formed"):
        aggregator.finish()


def test_a_member_goes_by_the_id_of_its_own_keys(preset, sites, coordinator):
    members = {sites[0].public.id: sites[0].public, sites[1].public.id: STRANGER.public}
    with pytest.raises(ConfigError, match=f"stranger is among the members as '{sites[1].public.id}'"):
        Aggregator(PlainAdder(preset), SITTING, members=members, signer=coordinator)


def test_who_may_send_is_fixed_when_the_sum_is_begun(preset, sites, coordinator):
    members = {site.public.id: site.public for site in sites}
    aggregator = Aggregator(PlainAdder(preset), SITTING, members=members, signer=coordinator)
    members[STRANGER.public.id] = STRANGER.public
    with pytest.raises(UnknownSenderError):
        add(aggregator, ones(PlainCipher(preset), STRANGER), STRANGER)


@pytest.mark.parametrize("changes", [{"run": "no-ulid"}, {"round": 0}, {"layout": "ab"}], ids=str)
def test_a_sitting_that_nothing_can_belong_to_is_no_fault_of_a_site(preset, make_aggregator, changes):
    with pytest.raises(MalformedUpdateError, match=next(iter(changes))):
        make_aggregator(PlainAdder(preset), replace(SITTING, **changes))


class Counting:
    """Masks 1, 2, 3, ... of one site, or of several together."""

    def __init__(self, preset: Preset, sites: int = 1) -> None:
        self._next = 1
        self._modulus, self._sites = preset.plain_modulus, sites

    def take(self, count: int) -> np.ndarray:
        start, self._next = self._next, self._next + count
        numbers = [number * self._sites * 0x9E3779B97F4A7C15 % self._modulus for number in range(start, self._next)]
        return np.array(numbers, np.uint64)


def test_masks_are_taken_out_of_a_sum_that_has_them_and_of_no_other(key, preset, make_aggregator, sites, coordinator):
    cipher, adder = PackedCipher(key, preset), PackedAdder(preset, key.key_id)
    masked = replace(SITTING, masked=True)
    updates = [
        (protect(cipher, masked, np.ones(VALUES, np.uint8), signer=site, mask=Counting(preset)), site)
        for site in sites[:3]
    ]
    with pytest.raises(WrongPresetError, match="masked is True, expected False"):
        add(make_aggregator(adder), updates[0][0], sites[0])
    aggregator = make_aggregator(adder, masked)
    with pytest.raises(WrongPresetError, match="masked is False, expected True"):
        add(aggregator, ones(cipher, sites[0]), sites[0])
    for update, site in updates:
        add(aggregator, update, site)
    with pytest.raises(ConfigError, match="expected the masks of this sum to remove"):
        aggregator.finish()
    total = aggregator.finish(masks=Counting(preset, sites=3))
    sums = open_sum(cipher, masked, total.to_bytes(), coordinator=coordinator.public).sums
    assert sums.tolist() == [3] * VALUES
    with pytest.raises(PrivacyError, match="no further sum"):
        aggregator.finish(masks=Counting(preset, sites=3))

    plain = make_aggregator(adder)
    for site in sites[:3]:
        add(plain, ones(cipher, site), site)
    with pytest.raises(ConfigError, match="expected no masks of this sum"):
        plain.finish(masks=Counting(preset))
    assert plain.finish().header.summands == 3


def test_a_sum_from_which_other_masks_were_taken_is_not_opened(key, preset, make_aggregator, sites, coordinator):
    cipher, adder = PackedCipher(key, preset), PackedAdder(preset, key.key_id)
    masked = replace(SITTING, masked=True)
    aggregator = make_aggregator(adder, masked)
    for site in sites[:3]:
        add(aggregator, protect(cipher, masked, np.ones(VALUES, np.uint8), signer=site, mask=Counting(preset)), site)
    total = aggregator.finish(masks=Counting(preset, sites=2))
    with pytest.raises(PrivacyError, match=r"^the sum cannot be opened$"):
        open_sum(cipher, masked, total.to_bytes(), coordinator=coordinator.public)


def test_what_a_sum_was_made_of_is_let_go_with_it(scheme, make_aggregator, sites):
    """At ten million parameters it is the larger part of the coordinator's memory."""
    cipher, adder = scheme
    aggregator = make_aggregator(adder)
    for site in sites[:3]:
        add(aggregator, ones(cipher, site), site)
    held = weakref.ref(aggregator._sum)
    assert held() is not None
    aggregator.finish()
    assert held() is None


@pytest.mark.parametrize("values", [VALUES, 9001])
def test_the_coordinator_adds_noise_to_sums_without_tags_only(scheme, make_aggregator, sites, coordinator, values):
    cipher, adder = scheme
    tagged = replace(SITTING, values=values)
    untagged = replace(tagged, tagged=False)
    noise = np.random.default_rng(1).integers(-3, 4, values).astype(np.int32)
    symbols = np.full(values, 7, np.uint8)
    for sitting in (tagged, untagged):
        aggregator = make_aggregator(adder, sitting)
        for site in sites[:3]:
            add(aggregator, protect(cipher, sitting, symbols, signer=site), site)
        with pytest.raises(ConfigError, match=f"expected noise of shape .{values},. for a sum without tags"):
            aggregator.finish(noise=noise if sitting.tagged else noise[:-1])
    total = aggregator.finish(noise=noise)
    sums = open_sum(cipher, untagged, total.to_bytes(), coordinator=coordinator.public).sums
    np.testing.assert_array_equal(sums, 21 + noise)
    with pytest.raises(WrongPresetError, match="tagged is False, expected True"):
        open_sum(cipher, tagged, total.to_bytes(), coordinator=coordinator.public)


def test_masked_updates_have_tags():
    with pytest.raises(ConfigError, match="masked updates are tagged"):
        replace(SITTING, masked=True, tagged=False)
