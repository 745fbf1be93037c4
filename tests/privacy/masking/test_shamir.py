"""Shamir's shares: any t tell the secret, fewer tell nothing, and what is no share is refused."""

from __future__ import annotations

import itertools
import secrets
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError
from nasturtium.privacy.errors import SharesError
from nasturtium.privacy.masking.shamir import PRIME, generate_shares, reconstruct

SECRET = bytes(range(100, 132))
secrets_ = st.one_of(st.binary(min_size=32, max_size=32), st.sampled_from([bytes(32), b"\xff" * 32, bytes(31) + b"\1"]))


def is_prime(n: int) -> bool:
    """Miller and Rabin's test to forty random bases: wrong once in 4^40."""
    if any(n % small == 0 for small in (2, 3, 5, 7, 11, 13)):
        return False
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(40):
        power = pow(secrets.randbelow(n - 3) + 2, odd, n)
        if power in (1, n - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % n
            if power == n - 1:
                break
        else:
            return False
    return True


def test_the_field_is_the_smallest_that_holds_every_secret():
    assert [n for n in range(2**256, PRIME + 1) if is_prime(n)] == [PRIME]


@settings(max_examples=80, deadline=None)
@given(secrets_, st.integers(1, 12), st.data())
def test_any_threshold_of_shares_tells_the_secret(secret, count, data):
    threshold = data.draw(st.integers(1, count))
    shares = list(enumerate(generate_shares(secret, threshold, count), 1))
    chosen = data.draw(st.permutations(shares))[: data.draw(st.integers(threshold, count))]
    assert reconstruct(chosen, threshold) == secret


def test_many_sites_share():
    shares = list(enumerate(generate_shares(SECRET, 201, 300), 1))
    assert reconstruct(shares[-201:], 201) == SECRET


def test_fewer_shares_fit_every_secret(monkeypatch):
    """Perfect secrecy: for each secret there are coefficients that give the same t - 1 shares."""
    threshold, known = 3, (2, 5)
    shares = dict(enumerate(generate_shares(SECRET, threshold, 5), 1))
    other = bytes(32)
    points = [(0, int.from_bytes(other, "big")), *((i, int.from_bytes(shares[i], "big")) for i in known)]
    coefficients = interpolate(points)
    drawn = iter(coefficients[:0:-1])
    monkeypatch.setattr(secrets, "randbelow", lambda _: next(drawn))
    again = dict(enumerate(generate_shares(other, threshold, 5), 1))
    assert all(again[i] == shares[i] for i in known)
    assert again[1] != shares[1]


def interpolate(points: list[tuple[int, int]]) -> list[int]:
    """The coefficients, lowest first, of the polynomial of degree two through three points."""
    total = [0, 0, 0]
    for i, (x, y) in enumerate(points):
        (a, _), (b, _) = points[:i] + points[i + 1 :]
        factor = y * pow((x - a) * (x - b), -1, PRIME)
        for power, coefficient in enumerate((a * b, -(a + b), 1)):
            total[power] = (total[power] + factor * coefficient) % PRIME
    return total


def test_shares_are_drawn_anew():
    assert generate_shares(SECRET, 2, 3) != generate_shares(SECRET, 2, 3)


def test_a_false_share_gives_another_secret_or_none():
    shares = list(enumerate(generate_shares(SECRET, 3, 5), 1))
    false = [(1, (int.from_bytes(shares[0][1], "big") ^ 1).to_bytes(33, "big")), *shares[1:3]]
    with suppress(SharesError):  # once in 2^247 it is beyond 32 bytes
        assert reconstruct(false, 3) != SECRET


def test_shares_of_a_number_beyond_32_bytes_are_refused():
    with pytest.raises(SharesError, match="tell no secret"):
        reconstruct([(1, (2**256).to_bytes(33, "big"))], 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda shares: shares[:2], "2 shares of a secret that 3 tell", id="too-few"),
        pytest.param(lambda shares: [*shares[:2], shares[0]], "two shares of one index", id="twice"),
        pytest.param(lambda shares: [*shares[:2], (0, shares[2][1])], "index is from 1", id="index-0"),
        pytest.param(lambda shares: [*shares[:2], (1001, shares[2][1])], "index is from 1", id="index-too-large"),
        pytest.param(lambda shares: [*shares[:2], (3, bytes(32))], "share of index 3 is none", id="short"),
        pytest.param(lambda shares: [*shares[:2], (3, PRIME.to_bytes(33, "big"))], "index 3 is none", id="no-residue"),
    ],
)
def test_what_are_no_shares_is_refused(change, message):
    shares = list(enumerate(generate_shares(SECRET, 3, 4), 1))
    with pytest.raises(SharesError, match=message) as caught:
        reconstruct(change(shares), 3)
    assert all(share.hex() not in str(caught.value) for _, share in shares)


@pytest.mark.parametrize(
    ("secret", "threshold", "count"),
    [
        pytest.param(bytes(31), 2, 3, id="short-secret"),
        pytest.param(SECRET, 0, 3, id="no-threshold"),
        pytest.param(SECRET, 4, 3, id="threshold-above-shares"),
        pytest.param(SECRET, 2, 1001, id="too-many"),
    ],
)
def test_what_cannot_be_shared_is_refused(secret, threshold, count):
    with pytest.raises(ConfigError):
        generate_shares(secret, threshold, count)


def test_all_subsets_agree():
    shares = list(enumerate(generate_shares(SECRET, 3, 6), 1))
    assert {reconstruct(subset, 3) for subset in itertools.combinations(shares, 3)} == {SECRET}
