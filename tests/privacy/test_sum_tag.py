"""Tags add up with what they are of, and with nothing else: who has only ciphertexts makes no other sum that opens."""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nasturtium.privacy import (
    EncryptedSum,
    EncryptedUpdate,
    OpenedSum,
    PackedAdder,
    PackedCipher,
    Preset,
    PrivacyError,
    Sitting,
    open_sum,
    protect,
    smallest_preset,
)
from nasturtium.privacy.packed import scale
from nasturtium.privacy.packing import pack_digits, pack_words, unpack_words
from nasturtium.privacy.presets import DEGREE, MAX_BASE, MODULUS, MODULUS_BITS
from nasturtium.privacy.sitting import write_senders
from nasturtium.privacy.sum_tag import TAGS, SumTag, tag_symbols

PRIME = 2**31 - 19
KEY = bytes(range(32))
PRESETS = [
    pytest.param(smallest_preset(3, 1), id="two-levels"),
    pytest.param(smallest_preset(10, 4), id="4-bits"),
    pytest.param(smallest_preset(10, 8), id="8-bits"),
    pytest.param(smallest_preset(1000, 8), id="1000-sites"),
    pytest.param(smallest_preset(1000, 16), id="1000-sites-16-bits"),
    pytest.param(Preset(clients=10, levels=15, packing=3, dropped_bits=10, noise_bound=471), id="noise"),
    pytest.param(Preset(clients=1000, levels=2, packing=1, noise_bound=1_000_000), id="wide"),
]
KNOWN = [1846032749, 1952339823, 1068399814, 2055749716]  # of the symbols 0 to 199
SIZES = st.sampled_from([1, 2, 100, 16_383, 16_384, 16_385, 40_000])  # about the blocks of the arithmetic


def sender(number: int) -> str:
    return f"{number:032x}"


def add_up(preset: Preset, updates: list[np.ndarray], tag: SumTag) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The sums of updates and of their tags, as a ciphertext would hold them, and whose they are."""
    senders = [sender(number) for number in range(len(updates))]
    tags = [tag.make(update, name) for update, name in zip(updates, senders, strict=True)]
    return sum_of(updates), sum_of(tags), senders


def sum_of(parts: list[np.ndarray]) -> np.ndarray:
    return np.sum([part.astype(np.int64) for part in parts], axis=0).astype(np.uint32)


@given(data=st.data(), size=SIZES, seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=15)
@pytest.mark.parametrize("preset", PRESETS)
def test_the_tags_of_updates_add_up_to_that_of_their_sum(preset, data, size, seed):
    rng = np.random.default_rng(seed)
    count = data.draw(st.integers(1, min(preset.clients, 5)))
    dtype = data.draw(st.sampled_from([np.min_scalar_type(preset.symbols - 1), np.uint32, np.uint64]))
    updates = [rng.integers(0, preset.symbols, size, dtype) for _ in range(count)]
    tag = SumTag(KEY, b"context", preset)
    sums, tags, senders = add_up(preset, updates, tag)
    assert tags.shape == (tag_symbols(preset),)
    tag.check(sums, tags, senders)
    tag.check(sums, tags, reversed(senders))


@pytest.mark.parametrize("preset", PRESETS)
def test_as_many_updates_as_a_preset_takes_add_up_at_their_largest(preset):
    """No digit of a tag leaves its range, whatever there is of it."""
    tag = SumTag(KEY, b"context", preset)
    largest = np.full(3, preset.symbols - 1, np.uint32)
    sums, tags, senders = add_up(preset, [largest] * preset.clients, tag)
    assert tags.max() <= preset.base - 1
    tag.check(sums, tags, senders)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_tag_is_symbols_of_the_preset(preset):
    made = SumTag(KEY, b"context", preset).make(np.zeros(5, np.uint8), sender(1))
    assert made.dtype.kind == "u"
    assert made.max() < preset.symbols
    assert preset.symbols ** (tag_symbols(preset) // TAGS) >= PRIME << 256


def numbers_in(tag: np.ndarray, preset: Preset) -> list[int]:
    """The numbers a tag's digits stand for."""
    rows = tag.reshape(TAGS, -1).tolist()
    return [sum(digit * preset.symbols**place for place, digit in enumerate(row)) for row in rows]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_tag_is_hidden_in_all_its_digits(preset):
    """Digits that depended on the update alone would tell of it where they are summed: they do not carry."""
    tag, symbols = SumTag(KEY, b"context", preset), np.ones(5, np.uint8)
    many = [tag.make(symbols, sender(1)) for _ in range(64)]
    numbers = [numbers_in(made, preset) for made in many]
    assert len({tuple(number % PRIME for number in row) for row in numbers}) == 1
    high = [number // PRIME for row in numbers for number in row]
    assert len(set(high)) == 64 * TAGS
    assert max(high) < 1 << 256
    assert max(high) > 1 << 250
    lowest = np.stack(many).reshape(64, TAGS, -1)[:, :, 0]
    assert len(np.unique(lowest)) > min(preset.symbols, 100) / 2


def derive(purpose: bytes, length: int, context: bytes) -> bytes:
    info = b"nasturtium sum tag v1\0" + hashlib.sha256(context).digest() + purpose
    return HKDF(SHA256(), length, salt=None, info=info).derive(KEY)


def reference(symbols: list[int], name: str, context: bytes, block: int = 1 << 14) -> list[int]:
    """The tag's numbers by whole numbers only."""
    stream = BlockCipher(algorithms.AES(derive(b"coefficients", 32, context)), modes.CTR(bytes(16))).encryptor()
    pads = np.frombuffer(derive(b"sender" + bytes.fromhex(name), 8 * TAGS, context), "<u8")
    totals = [int(pad) for pad in pads]
    for start in range(0, len(symbols), block):
        part = symbols[start : start + block]
        halves = np.frombuffer(stream.update(bytes(4 * TAGS * len(part))), "<u2").reshape(2 * TAGS, len(part))
        for tag in range(TAGS):
            for place, symbol in enumerate(part):
                coefficient = int(halves[tag, place]) + (int(halves[TAGS + tag, place]) >> 1 << 16)
                totals[tag] += coefficient * symbol
    return [total % PRIME for total in totals]


@pytest.mark.parametrize("size", [1, 100, 17_000])
@pytest.mark.parametrize("largest", [255, 65_535, 2_000_001, MAX_BASE - 1])
def test_a_tag_is_exact_where_the_numbers_are_largest(size, largest):
    """Against whole numbers; the products are summed as floating-point ones."""
    preset = Preset(clients=1000, levels=2, packing=1, noise_bound=1_000_000)
    symbols = np.full(size, largest, np.min_scalar_type(largest))
    symbols[:: max(2, size // 3)] = 1
    made = SumTag(KEY, b"context", preset).make(symbols, sender(7))
    assert [number % PRIME for number in numbers_in(made, preset)] == reference(symbols.tolist(), sender(7), b"context")


def test_the_tag_of_a_known_update_is_known():
    """By `reference`: what any version of this software computes."""
    preset = smallest_preset(10, 8)
    made = SumTag(KEY, b"context", preset).make(np.arange(200, dtype=np.uint8), sender(1))
    assert [number % PRIME for number in numbers_in(made, preset)] == KNOWN


@given(data=st.data(), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=15)
@pytest.mark.parametrize("preset", PRESETS)
def test_no_other_sums_than_those_of_the_updates_have_their_tags(preset, data, seed):
    """Any changes to any sums within the range of a digit."""
    tag = SumTag(KEY, b"context", preset)
    updates = list(np.random.default_rng(seed).integers(0, preset.symbols, (3, 50), np.uint32))
    sums, tags, senders = add_up(preset, updates, tag)
    forged = sums.copy()
    for place in data.draw(st.lists(st.integers(0, 49), min_size=1, max_size=50)):
        forged[place] = data.draw(st.integers(0, preset.base - 1))
    assume((forged != sums).any())
    with pytest.raises(PrivacyError, match=r"^the sum cannot be opened$"):
        tag.check(forged, tags, senders)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_sum_does_not_reach_the_prime_of_its_tags(preset):
    """A change by the prime would not be seen."""
    assert preset.base <= MAX_BASE <= PRIME


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda names: names[:-1], id="one-left-out"),
        pytest.param(lambda names: [*names, sender(9)], id="one-more"),
        pytest.param(lambda names: [*names[:-1], sender(9)], id="another"),
        pytest.param(lambda names: [names[0], *names[:-1]], id="one-twice"),
        pytest.param(lambda names: [], id="nobody"),
    ],
)
def test_sums_of_other_senders_have_other_tags(change):
    preset = smallest_preset(10, 8)
    tag = SumTag(KEY, b"context", preset)
    sums, tags, senders = add_up(preset, [np.arange(9, dtype=np.uint8)] * 3, tag)
    with pytest.raises(PrivacyError, match=r"^the sum cannot be opened$"):
        tag.check(sums, tags, change(senders))


VALUES = 9000  # more than a ciphertext has
SITTING = Sitting(run="01JRUN", round=3, attempt=2, layout="ab" * 32, values=VALUES)


@pytest.mark.parametrize(
    "changes",
    [{"run": "01JOTHER"}, {"round": 2}, {"attempt": 1}, {"layout": "cd" * 32}, {"run": "01JRUN3", "round": 1}],
    ids=str,
)
def test_every_attempt_has_tags_of_its_own(changes):
    preset = smallest_preset(10, 8)
    symbols = np.ones(VALUES, np.uint8)
    ours, theirs = (sitting.tag(KEY, preset) for sitting in (SITTING, replace(SITTING, **changes)))
    second = theirs.make(symbols, sender(1))
    with pytest.raises(PrivacyError):
        ours.check(symbols.astype(np.uint32), second, [sender(1)])


def test_another_key_or_preset_has_other_tags():
    preset = smallest_preset(10, 8)
    symbols = np.ones(VALUES, np.uint8)
    tags = [
        [number % PRIME for number in numbers_in(SITTING.tag(key, preset).make(symbols, sender(1)), preset)]
        for key, preset in ((KEY, preset), (bytes(32), preset), (KEY, smallest_preset(11, 8)))
    ]
    assert tags[0] != tags[1]
    assert tags[0] != tags[2]


@pytest.mark.parametrize("copying", [pickle.dumps, copy.deepcopy], ids=["pickle", "copy"])
def test_the_key_of_a_tag_is_neither_shown_nor_copied(copying):
    tag = SumTag(KEY, b"context", smallest_preset(10, 8))
    assert KEY.hex() not in repr(tag)
    assert repr(KEY)[2:-1] not in repr(tag)
    with pytest.raises(TypeError, match="not pickled"):
        copying(tag)


@pytest.fixture(scope="module")
def cipher(key, preset) -> PackedCipher:
    return PackedCipher(key, preset)


@pytest.fixture(scope="module")
def symbols(preset) -> list[np.ndarray]:
    """What four sites have to say."""
    return list(np.random.default_rng(4).integers(0, preset.symbols, (4, VALUES), np.uint32))


@pytest.fixture(scope="module")
def updates(cipher, symbols, sites) -> dict[str, EncryptedUpdate]:
    """By sender, in the order of ids."""
    made = {
        site.public.id: protect(cipher, SITTING, vector, signer=site)
        for site, vector in zip(sites, symbols, strict=False)
    }
    return dict(sorted(made.items()))


@pytest.fixture(scope="module")
def submit(cipher, coordinator) -> Callable[..., OpenedSum]:
    """Sign the numbers of a sum as the coordinator, and have a site open it."""

    def open_numbers(
        numbers: np.ndarray, senders: list[str], sitting: Sitting = SITTING, cipher: PackedCipher = cipher
    ) -> OpenedSum:
        words = pack_words((numbers % np.uint64(MODULUS)).reshape(-1, DEGREE), MODULUS_BITS)
        header = sitting.header(cipher, coordinator.public.id, summands=len(senders))
        total = EncryptedSum.sign(header, write_senders(senders) + words.tobytes(), coordinator)
        return open_sum(cipher, sitting, total.to_bytes(), coordinator=coordinator.public)

    return open_numbers


def numbers_of(cipher: PackedCipher, updates: list[EncryptedUpdate]) -> np.ndarray:
    """c0 and c1 of the sum of updates, each as often as it stands there: shape (ciphertexts, 2, 2048) uint64."""
    total = PackedAdder(cipher.preset, cipher.key_id).start(SITTING.symbols(cipher))
    for update in updates:
        total.add(memoryview(update.body))
    return unpack_words(np.frombuffer(total.body(), np.uint8).reshape(-1, DEGREE * 54 // 8), DEGREE, 54).reshape(
        -1, 2, DEGREE
    )


@pytest.fixture(scope="module")
def numbers(cipher, updates) -> np.ndarray:
    """The true sum of the first three."""
    return numbers_of(cipher, list(updates.values())[:3])


def test_the_sum_of_whole_updates_opens(submit, numbers, updates, symbols, sites):
    senders = list(updates)[:3]
    opened = submit(numbers, senders)
    named = {site.public.id: vector for site, vector in zip(sites, symbols, strict=False)}
    assert opened.senders == tuple(senders)
    np.testing.assert_array_equal(opened.sums, sum_of([named[name] for name in senders]))


def times_x(numbers: np.ndarray, power: int) -> np.ndarray:
    """Times x^power modulo x^2048 + 1."""
    turned = np.roll(numbers, power, axis=-1)
    turned[..., :power] = (MODULUS - turned[..., :power]) % MODULUS
    return turned


def plus(preset: Preset, position: int, coefficient: int) -> Callable[[np.ndarray], np.ndarray]:
    """Add a number to what a coefficient of the first ciphertext holds."""

    def change(numbers: np.ndarray) -> np.ndarray:
        changed = numbers.copy()
        changed[0, 0, position] += scale(np.array([coefficient % preset.plain_modulus], np.uint64), preset)[0]
        return changed

    return change


PRESET = smallest_preset(4, 8)
CHANGES = [
    pytest.param(plus(PRESET, 0, 1), id="one-more"),
    pytest.param(plus(PRESET, 5, -1), id="one-less"),
    pytest.param(plus(PRESET, 2047, PRESET.base**3), id="one-more-in-the-highest-digit"),
    pytest.param(plus(PRESET, 9, PRESET.base - 1), id="one-from-one-digit-to-the-next"),
    pytest.param(lambda numbers: 2 * numbers, id="doubled"),
    pytest.param(lambda numbers: MODULUS - numbers, id="negated"),
    pytest.param(lambda numbers: numbers * np.uint64(0), id="nothing"),
    pytest.param(lambda numbers: times_x(numbers, 1), id="moved-on-by-one"),
    pytest.param(lambda numbers: times_x(numbers, 1024), id="moved-on-by-half"),
    pytest.param(lambda numbers: (numbers + times_x(numbers, 1)) % MODULUS, id="plus-moved"),
    pytest.param(lambda numbers: numbers[::-1], id="ciphertexts-swapped"),
    pytest.param(lambda numbers: numbers[[0, 0]], id="one-ciphertext-for-another"),
    pytest.param(lambda numbers: numbers[:, ::-1], id="polynomials-swapped"),
    pytest.param(lambda numbers: np.where([[[True], [False]]], numbers, 0).astype(np.uint64), id="without-the-key"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_sum_that_was_changed_is_not_opened(submit, numbers, updates, preset, change):
    """By whoever has the ciphertexts and not the key; the refusal says nothing of what was found."""
    assert preset == PRESET
    with pytest.raises(PrivacyError, match=r"^the sum cannot be opened$") as refused:
        submit(change(numbers), list(updates)[:3])
    assert type(refused.value) is PrivacyError


@given(coefficients=st.dictionaries(st.integers(0, 2047), st.integers(1, PRESET.plain_modulus - 1), min_size=1))
@settings(deadline=None, max_examples=20)
def test_nothing_can_be_added_to_a_sum(submit, numbers, updates, preset, coefficients):
    changed = numbers.copy()
    for position, number in coefficients.items():
        changed = plus(preset, position, number)(changed)
    with pytest.raises(PrivacyError, match=r"^the sum cannot be opened$"):
        submit(changed, list(updates)[:3])


@pytest.mark.parametrize(
    ("summed", "named"),
    [
        pytest.param("A", "ABC", id="one-as-three"),
        pytest.param("AAA", "ABC", id="one-three-times"),
        pytest.param("AAB", "ABC", id="one-twice-for-another"),
        pytest.param("AB", "ABC", id="two-as-three"),
        pytest.param("ABCD", "ABC", id="four-as-three"),
        pytest.param("ABC", "ABCD", id="three-as-four"),
        pytest.param("ABC", "ABD", id="another-for-one"),
        pytest.param("", "ABC", id="nobody-as-three"),
    ],
)
def test_a_sum_is_of_the_whole_updates_of_the_sites_it_names(cipher, submit, updates, summed, named):
    by_letter = dict(zip("ABCD", updates, strict=True))
    numbers = numbers_of(cipher, [updates[by_letter[letter]] for letter in summed])
    with pytest.raises(PrivacyError, match=r"^the sum cannot be opened$"):
        submit(numbers, [by_letter[letter] for letter in named])


@pytest.mark.parametrize("changes", [{"run": "01JOTHER"}, {"round": 2}, {"attempt": 1}], ids=str)
@pytest.mark.parametrize("replayed", [1, 3])
def test_updates_of_another_run_round_or_attempt_do_not_count(
    cipher, submit, updates, sites, symbols, changes, replayed
):
    elsewhere = replace(SITTING, **changes)
    named = list(updates)[:3]
    by_id = {site.public.id: (site, vector) for site, vector in zip(sites, symbols, strict=False)}
    old = [protect(cipher, elsewhere, by_id[name][1], signer=by_id[name][0]) for name in named[:replayed]]
    numbers = numbers_of(cipher, [*old, *(updates[name] for name in named[replayed:])])
    with pytest.raises(PrivacyError, match=r"^the sum cannot be opened$"):
        submit(numbers, named)
    if replayed == 3:
        assert submit(numbers, named, elsewhere).senders == tuple(named)


def test_two_updates_of_a_site_in_one_attempt_would_stand_for_more(key, submit, sites, symbols):
    """Their pads are the same, so a multiple of their difference has a tag, too: a site answers an attempt once."""
    cipher = PackedCipher(key, smallest_preset(10, 8))
    updates = [protect(cipher, SITTING, vector, signer=site) for site, vector in zip(sites, symbols, strict=False)]
    opened = 0
    for place in range(100, 120):
        other = symbols[0].copy()
        other[place] ^= 1
        second = protect(cipher, SITTING, other, signer=sites[0])
        numbers = numbers_of(cipher, [*updates, updates[0]]) + MODULUS - numbers_of(cipher, [second])
        try:
            sums = submit(numbers, [site.public.id for site in sites[:4]], cipher=cipher).sums
        except PrivacyError:  # a digit of the tags has left its range
            continue
        opened += 1
        np.testing.assert_array_equal(sums, sum_of(symbols).astype(np.int64) + symbols[0] - other.astype(np.int64))
    assert opened


def test_one_update_with_what_the_coordinator_knows_is_not_opened(cipher, submit, updates, preset):
    """Two sites that are said to have sent nothing, so that the report would be of the one alone."""
    senders = list(updates)[:3]
    numbers = numbers_of(cipher, [updates[senders[0]]])
    known = np.full(VALUES, 2 * ((preset.levels - 1) // 2), np.uint32)
    coefficients = pack_digits(known, preset)
    numbers[: len(coefficients), 0] += scale(coefficients, preset)
    with pytest.raises(PrivacyError, match=r"^the sum cannot be opened$"):
        submit(numbers, senders)


def test_the_key_is_not_opened_as_a_sum(submit, numbers, updates, preset):
    """c0 = 0 and c1 = q / t decrypts to the key itself."""
    forged = np.zeros_like(numbers)
    forged[0, 1, 0] = round(MODULUS / preset.plain_modulus)
    with pytest.raises(PrivacyError, match=r"^the sum cannot be opened$"):
        submit(forged, list(updates)[:3])


def test_a_change_too_small_to_matter_opens_as_the_same(submit, numbers, updates):
    """Which is why a site that refused one sum refuses all that come after it: each would tell a coefficient more."""
    senders = list(updates)[:3]
    changed = numbers.copy()
    changed[0, 0, 3] = (int(changed[0, 0, 3]) + 1) % MODULUS
    np.testing.assert_array_equal(submit(changed, senders).sums, submit(numbers, senders).sums)


def test_what_lies_beyond_the_symbols_does_not_count(submit, numbers, updates, preset):
    senders = list(updates)[:3]
    assert len(numbers) == 2
    changed = numbers.copy()
    changed[1, 0, 2047] += scale(np.array([preset.base**3], np.uint64), preset)[0]
    np.testing.assert_array_equal(submit(changed, senders).sums, submit(numbers, senders).sums)
