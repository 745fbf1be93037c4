"""A hundred thousand damaged envelopes: none enters a sum, none is opened, and none does anything but be refused."""

from __future__ import annotations

import hashlib
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from nasturtium.privacy import (
    Aggregator,
    EncryptedSum,
    Identity,
    MalformedUpdateError,
    PrivacyError,
    SignatureError,
    Sitting,
    TooFewSitesError,
    TooManyClientsError,
    UnknownSenderError,
    WrongKeyError,
    WrongLayoutError,
    WrongPresetError,
    WrongRoundError,
    WrongRunError,
    open_sum,
    protect,
)

VALUES = 10
SITTING = Sitting(run="01JRUN", round=3, attempt=2, layout="ab" * 32, values=VALUES)
ELSEWHERE = Sitting(run="01JOTHER", round=2, attempt=1, layout="cd" * 32, values=VALUES)
# Offsets and lengths of the header's fields, as the docstring of `envelope` has them.
FIELDS = {
    "magic": (0, 4),
    "version": (4, 2),
    "kind": (6, 1),
    "flags": (7, 1),
    "preset": (8, 8),
    "key": (16, 16),
    "run": (32, 26),
    "round": (58, 4),
    "attempt": (62, 4),
    "sender": (66, 16),
    "layout": (82, 32),
    "values": (114, 8),
    "summands": (122, 4),
    "ciphertexts": (126, 4),
    "body": (130, 8),
}
HEADER_BYTES, SIGNATURE_BYTES = 138, 64
WHOLE = [*FIELDS.values(), (HEADER_BYTES, None), (-SIGNATURE_BYTES, None)]  # with the body, and the signature
INTEGERS = ["version", "kind", "flags", "round", "attempt", "values", "summands", "ciphertexts", "body"]
DOMAINS = ["update v1", "sum v1", "identity v1", "update v2", "update v1 "]
STRANGER = Identity("stranger", bytes([77]) * 64)
HEADER_ERRORS = {
    MalformedUpdateError,
    UnknownSenderError,
    WrongKeyError,
    WrongLayoutError,
    WrongPresetError,
    WrongRoundError,
    WrongRunError,
}


@dataclass(frozen=True)
class Target:
    """What is damaged.

    Attributes:
        right: what would be accepted; the first of them is damaged.
        others: valid envelopes of other places, senders and kinds, whose parts are put into it.
        signer: who signed it.
        domain: for what.
    """

    right: tuple[bytes, ...]
    others: tuple[bytes, ...]
    signer: Identity
    domain: str

    @property
    def good(self) -> bytes:
        return self.right[0]


def flip_bits(target: Target, rng: np.random.Generator) -> bytes:
    mutant = bytearray(target.good)
    for place in rng.integers(8 * len(mutant), size=rng.integers(1, 4)):
        mutant[place // 8] ^= 1 << (place % 8)
    return bytes(mutant)


def flip_a_bit_of_the_header(target: Target, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(8 * HEADER_BYTES))
    mutant = bytearray(target.good)
    mutant[place // 8] ^= 1 << (place % 8)
    return bytes(mutant)


def overwrite(target: Target, rng: np.random.Generator) -> bytes:
    start, length = int(rng.integers(len(target.good))), int(rng.integers(1, 40))
    piece = rng.bytes(length) if rng.integers(2) else bytes([rng.choice([0, 0x7F, 0x80, 0xFF])]) * length
    return (target.good[:start] + piece + target.good[start + length :])[: len(target.good)]


def truncate(target: Target, rng: np.random.Generator) -> bytes:
    kept = int(rng.integers(len(target.good)))
    return target.good[:kept] if rng.integers(2) else target.good[len(target.good) - kept :]


def extend(target: Target, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(len(target.good) + 1))
    return target.good[:place] + rng.bytes(int(rng.integers(1, 300))) + target.good[place:]


def remove(target: Target, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(target.good)))
    return target.good[:start] + target.good[start + int(rng.integers(1, 80)) :]


def repeat(target: Target, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(target.good)))
    end = int(rng.integers(start, len(target.good))) + 1
    return target.good[:end] + target.good[start:end] * int(rng.integers(1, 4)) + target.good[end:]


def swap_fields(target: Target, rng: np.random.Generator) -> bytes:
    """Some whole fields of another valid envelope."""
    other = target.others[int(rng.integers(len(target.others)))]
    mutant = target.good
    for index in rng.choice(len(WHOLE), size=int(rng.integers(1, 5)), replace=False):
        mutant = put_field(mutant, index, other)
    return mutant


def put_field(data: bytes, index: int, other: bytes) -> bytes:
    start, length = WHOLE[index]
    if length is not None:
        return data[:start] + other[start : start + length] + data[start + length :]
    if start > 0:
        return data[:start] + other[start:-SIGNATURE_BYTES] + data[-SIGNATURE_BYTES:]
    return data[:start] + other[start:]


def splice(target: Target, rng: np.random.Generator) -> bytes:
    """The beginning of one and the end of another."""
    other = target.others[int(rng.integers(len(target.others)))]
    place = int(rng.integers(len(target.good)))
    pair = (target.good, other) if rng.integers(2) else (other, target.good)
    return pair[0][:place] + pair[1][place + int(rng.integers(-4, 5)) if rng.integers(2) else place :]


def put_integers(target: Target, rng: np.random.Generator) -> bytes:
    """Header integers at an extreme, or one off."""
    mutant = target.good
    for name in rng.choice(INTEGERS, size=int(rng.integers(1, 3)), replace=False):
        start, length = FIELDS[name]
        top = 2 ** (8 * length)
        value = int.from_bytes(mutant[start : start + length])
        values = [0, 1, 2, 3, value - 1, value + 1, top - 1, top // 2, top // 2 - 1, 2**31, 2**31 + 1, 2**36, 2**36 + 1]
        chosen = values[int(rng.integers(len(values)))] % top
        mutant = mutant[:start] + chosen.to_bytes(length) + mutant[start + length :]
    return mutant


def put_integers_and_sign(target: Target, rng: np.random.Generator) -> bytes:
    """As a member could: the signature is right, and what it is of is not."""
    return signed(put_integers(target, rng), target.signer, target.domain)


def flip_the_header_and_sign(target: Target, rng: np.random.Generator) -> bytes:
    return signed(flip_a_bit_of_the_header(target, rng), target.signer, target.domain)


def signed(data: bytes, signer: Identity, domain: str) -> bytes:
    return data[:-SIGNATURE_BYTES] + signer.sign(domain, hashlib.sha256(data[:-SIGNATURE_BYTES]).digest())


def random_bytes(target: Target, rng: np.random.Generator) -> bytes:
    data = rng.bytes(int(rng.integers(2 * len(target.good))))
    return data if rng.integers(2) else target.good[:8] + data


def random_signature(target: Target, rng: np.random.Generator) -> bytes:
    return target.good[:-SIGNATURE_BYTES] + rng.bytes(SIGNATURE_BYTES)


def foreign_signature(target: Target, rng: np.random.Generator) -> bytes:
    """Of the right bytes, for another purpose or by a stranger."""
    domain = DOMAINS[int(rng.integers(len(DOMAINS)))]
    return signed(target.good, STRANGER if domain == target.domain or rng.integers(2) else target.signer, domain)


CHEAP = [
    flip_bits,
    flip_a_bit_of_the_header,
    overwrite,
    truncate,
    extend,
    remove,
    repeat,
    swap_fields,
    splice,
    put_integers,
    random_bytes,
]
SIGNED = [put_integers_and_sign, flip_the_header_and_sign, foreign_signature, random_signature]


def mutants(target: Target, count: int, rng: np.random.Generator) -> Iterator[bytes]:
    """One in twelve is a forgery that takes a signature to make."""
    made = 0
    while made < count:
        kinds: list[Callable[[Target, np.random.Generator], bytes]] = SIGNED if made % 12 == 0 else CHEAP
        mutant = kinds[int(rng.integers(len(kinds)))](target, rng)
        if mutant not in target.right:
            made += 1
            yield mutant


def refusals(mutants: Iterator[bytes], accept: Callable[[bytes], object]) -> Counter[type[PrivacyError]]:
    """How often each error refused; an accepted mutant and any other exception fail, and so does a slow refusal."""
    refused: Counter[type[PrivacyError]] = Counter()
    slowest = 0.0
    for mutant in mutants:
        started = time.process_time()
        try:
            accept(mutant)
        except PrivacyError as exc:
            refused[type(exc)] += 1
        else:
            pytest.fail(f"accepted: {mutant.hex()}")
        slowest = max(slowest, time.process_time() - started)
    assert slowest < 2.0
    return refused


@pytest.fixture
def updates(scheme, sites):
    """An aggregator's target: the third site's update, beside others' and that of its own elsewhere."""
    cipher, _ = scheme
    symbols = np.arange(VALUES, dtype=np.uint8)
    good = protect(cipher, SITTING, symbols, signer=sites[2]).to_bytes()
    others = [protect(cipher, SITTING, symbols, signer=site).to_bytes() for site in (sites[0], sites[3])]
    others += [protect(cipher, ELSEWHERE, symbols, signer=site).to_bytes() for site in sites[2:4]]
    header = SITTING.header(cipher, sites[2].public.id)
    others.append(EncryptedSum.sign(header, good[HEADER_BYTES:-SIGNATURE_BYTES], sites[2]).to_bytes())
    return Target((good,), tuple(others), sites[2], "update v1")


@pytest.fixture
def aggregator(scheme, sites, coordinator):
    """With two updates in its sum."""
    cipher, adder = scheme
    members = {site.public.id: site.public for site in sites}
    aggregator = Aggregator(adder, SITTING, members=members, signer=coordinator)
    for site in sites[:2]:
        update = protect(cipher, SITTING, np.arange(VALUES, dtype=np.uint8), signer=site)
        aggregator.add(update.to_bytes(), sender=site.public.id)
    return aggregator


@pytest.mark.parametrize(("scheme", "count"), [("plain", 90_000), ("packed", 10_000)], indirect=["scheme"])
def test_no_damaged_update_enters_the_sum(scheme, sites, aggregator, updates, coordinator, count):
    sender = sites[2].public.id
    refused = refusals(
        mutants(updates, count, np.random.default_rng(1)), lambda mutant: aggregator.add(mutant, sender=sender)
    )
    assert refused.total() == count
    assert set(refused) == HEADER_ERRORS | {SignatureError}
    assert refused[SignatureError] > count / 10  # a good part of them comes so far
    aggregator.add(updates.good, sender=sender)
    opened = open_sum(scheme[0], SITTING, aggregator.finish().to_bytes(), coordinator=coordinator.public)
    assert (opened.sums.tolist(), len(opened.senders)) == (list(range(0, 3 * VALUES, 3)), 3)


@pytest.fixture
def sums(scheme, sites, coordinator, aggregator, updates):
    """A site's target: the sum of three updates, beside such of other rounds and of another coordinator."""
    _, adder = scheme
    aggregator.add(updates.good, sender=sites[2].public.id)
    good = aggregator.finish()
    others = [
        EncryptedSum.sign(ELSEWHERE.header(adder, coordinator.public.id, summands=4), good.body, coordinator),
        EncryptedSum.sign(replace(good.header, round=2), b"\xff" * len(good.body), coordinator),
        EncryptedSum.sign(replace(good.header, sender=STRANGER.public.id), good.body, STRANGER),
    ]
    others = [*(other.to_bytes() for other in others), updates.good]
    return Target((good.to_bytes(),), tuple(others), coordinator, "sum v1")


@pytest.mark.parametrize(("scheme", "count"), [("plain", 90_000), ("packed", 10_000)], indirect=["scheme"])
def test_no_damaged_sum_is_opened(scheme, sums, coordinator, count):
    def accept(mutant: bytes) -> None:
        open_sum(scheme[0], SITTING, mutant, coordinator=coordinator.public)

    refused = refusals(mutants(sums, count, np.random.default_rng(2)), accept)
    assert refused.total() == count
    assert set(refused) - {PrivacyError} == HEADER_ERRORS | {SignatureError, TooFewSitesError, TooManyClientsError}
    assert refused[SignatureError] > count / 10
    assert refused[PrivacyError] < count / 100  # what says that it is of four, and the coordinator signed it
    for right in sums.right:
        accept(right)


def test_refusing_takes_no_memory(scheme, sites, aggregator, updates):
    """Whatever lengths a header gives."""
    sender = sites[2].public.id
    tracemalloc.start()
    try:
        refusals(
            mutants(updates, 2_000, np.random.default_rng(3)), lambda mutant: aggregator.add(mutant, sender=sender)
        )
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 200_000
    assert peak < 200_000 + 20 * len(updates.good)
