"""Presets: each is exact in the worst case, the smallest is the smallest, and a name is one preset."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import ConfigError
from nasturtium.privacy.presets import DEGREE, MODULUS, Preset, _candidates, smallest_preset


def worst_error(preset: Preset) -> Fraction:
    """Of a sum of K updates whose masks are removed, term by term."""
    error = Fraction(preset.clients) * 21  # SEAL's
    error += Fraction(preset.clients, 2)  # scaling each message
    error += preset.clients * 2 ** (preset.dropped_bits - 1) if preset.dropped_bits else 0
    return error + Fraction(1, 2)  # scaling the removed mask


def is_exact(clients: int, levels: int, packing: int, dropped_bits: int, noise_bound: int = 0) -> bool:
    try:
        Preset(clients=clients, levels=levels, packing=packing, dropped_bits=dropped_bits, noise_bound=noise_bound)
    except ConfigError:
        return False
    return True


@st.composite
def presets(draw: st.DrawFn) -> Preset:
    clients = draw(st.integers(2, 1000))
    smallest = smallest_preset(clients, draw(st.integers(1, 16)), noise_bound=draw(st.sampled_from([0, 1, 40, 1000])))
    return Preset(
        clients=clients,
        levels=draw(st.integers(2, smallest.levels)),
        packing=draw(st.integers(1, smallest.packing)),
        dropped_bits=draw(st.integers(0, smallest.dropped_bits)),
        noise_bound=draw(st.integers(0, smallest.noise_bound)),
    )


@pytest.mark.parametrize("bits", range(1, 17))
def test_the_smallest_preset_is_exact_in_the_worst_case_for_any_number_of_clients(bits):
    for clients in range(2, 1001):
        preset = smallest_preset(clients, bits)
        assert (preset.clients, preset.levels) == (clients, max(2, 2**bits - 1))
        assert preset.base == clients * (preset.levels - 1) + 1
        assert worst_error(preset) < Fraction(MODULUS, 2 * preset.plain_modulus), preset


@given(preset=presets())
def test_what_a_preset_accepts_is_exact(preset):
    assert worst_error(preset) < Fraction(MODULUS, 2 * preset.plain_modulus)
    assert preset.clients * (preset.symbols - 1) < preset.base <= 2**31 - 19
    assert preset.word_bits + preset.dropped_bits == 54


@given(preset=presets(), more=st.sampled_from(["packing", "dropped_bits"]))
def test_a_preset_is_refused_just_where_its_sums_could_be_wrong(preset, more):
    fields = {name: getattr(preset, name) for name in ("clients", "levels", "packing", "dropped_bits", "noise_bound")}
    while fields[more] <= 40:
        fields[more] += 1
        base = fields["clients"] * (fields["levels"] - 1 + 2 * fields["noise_bound"]) + 1
        error = fields["clients"] * (43 + (2 ** fields["dropped_bits"] if fields["dropped_bits"] else 0)) + 1
        exact = error * base ** fields["packing"] < MODULUS and fields["dropped_bits"] <= 40
        assert is_exact(**fields) == exact
        if not exact:
            return


@pytest.mark.parametrize(
    ("part", "clients", "levels", "packing", "dropped_bits"),
    [
        pytest.param("fresh", 10, 255, 4, 1, id="errors-of-seal"),
        pytest.param("message", 7, 398, 4, 0, id="scaled-messages"),
        pytest.param("message", 64, 264, 3, 4, id="scaled-messages-of-many"),
        pytest.param("dropped", 10, 15, 6, 8, id="dropped-bits"),
        pytest.param("mask", 2, 29_581, 3, 0, id="removed-mask"),
        pytest.param("mask", 3, 9058, 3, 8, id="removed-mask-and-dropped-bits"),
    ],
)
def test_no_part_of_the_worst_error_is_forgotten(part, clients, levels, packing, dropped_bits):
    """Each of these would be accepted without it, and is refused."""
    twice = {
        "fresh": 42 * clients,
        "message": clients,
        "dropped": clients * 2**dropped_bits if dropped_bits else 0,
        "mask": 1,
    }
    t = (clients * (levels - 1) + 1) ** packing
    assert (sum(twice.values()) - twice[part]) * t < MODULUS <= sum(twice.values()) * t
    with pytest.raises(ConfigError, match="could be wrong: twice the worst error"):
        Preset(clients=clients, levels=levels, packing=packing, dropped_bits=dropped_bits)


@pytest.mark.parametrize("minimise", ["traffic", "upload"])
@pytest.mark.parametrize(
    ("clients", "bits", "noise_bound"),
    [(2, 1, 0), (2, 8, 0), (10, 4, 0), (10, 8, 0), (10, 8, 100), (64, 16, 0), (100, 2, 5), (1000, 4, 0), (1000, 16, 0)],
)
def test_no_exact_preset_has_fewer_bytes(clients, bits, noise_bound, minimise):
    def cost(packing: int, dropped_bits: int) -> Fraction:
        """Bits per number, of a ciphertext with its seed, and of a sum."""
        sent = Fraction(64 * 8, DEGREE) + 54 - dropped_bits
        return (sent + (2 * 54 if minimise == "traffic" else 0)) / packing

    levels = max(2, 2**bits - 1)
    every = [
        cost(packing, dropped)
        for packing, dropped in product(range(1, 55), range(41))
        if is_exact(clients, levels, packing, dropped, noise_bound)
    ]
    preset = smallest_preset(clients, bits, noise_bound=noise_bound, minimise=minimise)
    assert cost(preset.packing, preset.dropped_bits) == min(every)
    assert preset.noise_bound == noise_bound


@pytest.mark.parametrize(
    ("clients", "bits", "name", "up", "down"),
    [
        pytest.param(10, 8, "rlwe2048-k10-l255-p4-d0", 1.70, 3.38, id="8-bit"),
        pytest.param(10, 4, "rlwe2048-k10-l15-p6-d7", 0.985, 2.25, id="4-bit"),
        pytest.param(10, 16, "rlwe2048-k10-l65535-p2-d12", 2.65, 6.75, id="16-bit"),
    ],
)
def test_bytes_per_number(clients, bits, name, up, down):
    preset = smallest_preset(clients, bits)
    assert preset.name == name
    values = 12_000 * DEGREE
    assert preset.update_bytes(values) / values <= up
    assert preset.sum_bytes(values) / values <= down


@pytest.mark.parametrize(
    ("values", "ciphertexts", "update", "total"),
    [(1, 1, 13_888, 27_648), (8192, 1, 13_888, 27_648), (8193, 2, 27_776, 55_296), (0, 0, 0, 0)],
)
def test_lengths_follow_from_the_number_of_values(values, ciphertexts, update, total):
    preset = Preset(clients=10, levels=255, packing=4)
    assert preset.ciphertexts(values) == ciphertexts
    assert preset.update_bytes(values) == update
    assert preset.sum_bytes(values) == total


@given(first=presets(), second=presets())
def test_a_name_is_one_preset(first, second):
    assert Preset.named(first.name) == first
    assert (first.name == second.name) == (first == second)
    assert (first.identifier("packed") == second.identifier("packed")) == (first == second)
    assert first.identifier("packed") != first.identifier("plain")
    assert len(bytes.fromhex(first.identifier("packed"))) == 8


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("rlwe2048", id="short"),
        pytest.param("rlwe4096-k10-l255-p4-d0", id="another-degree"),
        pytest.param("rlwe2048-k10-l255-p4", id="no-dropped-bits"),
        pytest.param("rlwe2048-k010-l255-p4-d0", id="leading-zero"),
        pytest.param("rlwe2048-k10-l255-p4-d00", id="two-zeros"),
        pytest.param("rlwe2048-k10-l255-p4-d0-t0", id="noise-of-zero"),
        pytest.param("rlwe2048-k\u0661\u0660-l255-p4-d0", id="other-digits"),
        pytest.param("rlwe2048-k10-l255-p4-d0\n", id="newline"),
        pytest.param(" rlwe2048-k10-l255-p4-d0", id="space"),
        pytest.param("rlwe2048-k10-l255-p4-d-1", id="negative"),
        pytest.param("rlwe2048-k10-l255-p5-d0", id="not-exact"),
        pytest.param("rlwe2048-k1-l255-p4-d0", id="one-client"),
        pytest.param("rlwe2048-k10-l255-p4-d0" * 1000, id="long"),
    ],
)
def test_a_bad_name_is_refused(name):
    with pytest.raises(ConfigError, match=r"preset|sums under") as refused:
        Preset.named(name)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "change",
    [
        {"clients": 1},
        {"clients": 1001},
        {"clients": 10.0},
        {"clients": True},
        {"clients": "9" * 10_000},
        {"levels": 1},
        {"levels": 65_537},
        {"packing": 0},
        {"packing": 5},
        {"dropped_bits": -1},
        {"dropped_bits": 41},
        {"noise_bound": -1},
        {"noise_bound": 2**24 + 1},
    ],
    ids=str,
)
def test_a_preset_out_of_range_is_refused(change):
    with pytest.raises(ConfigError) as refused:
        Preset(**({"clients": 10, "levels": 255, "packing": 4} | change))
    assert len(str(refused.value)) < 300


def test_a_sum_that_reaches_the_prime_of_its_tags_is_refused():
    noise_bound = (2**31 - 3 - 1000) // 2000
    assert 2**31 - 19 - 2000 < Preset(clients=1000, levels=2, packing=1, noise_bound=noise_bound).base <= 2**31 - 19
    with pytest.raises(ConfigError, match="expected less than 2"):
        Preset(clients=1000, levels=2, packing=1, noise_bound=noise_bound + 1)
    with pytest.raises(ConfigError, match="no exact preset for 1000 clients of 1 bits with noise"):
        smallest_preset(1000, 1, noise_bound=noise_bound + 1)


@pytest.mark.parametrize(
    ("clients", "bits", "noise_bound", "message"),
    [
        (1, 8, 0, "2 to 1000 clients, got 1"),
        (1001, 8, 0, "2 to 1000 clients, got 1001"),
        (10, 0, 0, "1 to 16 bits, got 0"),
        (10, 17, 0, "1 to 16 bits, got 17"),
        (10, 8, -1, "noise_bound"),
        (10, 8, -127, "noise_bound"),
        (2, 1, -1, "no exact preset"),
        (10, 8, 2**24 + 1, "noise_bound"),
        (1000, 8, 2**24, "no exact preset"),
    ],
)
def test_what_no_preset_fits_is_refused(clients, bits, noise_bound, message):
    with pytest.raises(ConfigError, match=message):
        smallest_preset(clients, bits, noise_bound=noise_bound)


def test_the_modulus_is_a_prime_of_54_bits_that_has_roots_of_unity_of_order_2n():
    assert MODULUS.bit_length() == 54
    assert MODULUS % (2 * DEGREE) == 1
    odd, twos = MODULUS - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    # Miller and Rabin with the bases that decide below 3e24 (Sorenson and Webster 2015)
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41):
        powers = [pow(base, odd * 2**times, MODULUS) for times in range(twos)]
        assert powers[0] == 1 or MODULUS - 1 in powers


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("values", [1, 1000, 6200, 8193, 20_000, 10**6])
def test_for_a_known_number_of_values_no_preset_has_fewer_bytes(bits, values):
    chosen = smallest_preset(10, bits, values=values)

    def traffic(preset: Preset) -> int:
        return preset.update_bytes(values) + preset.sum_bytes(values)

    assert traffic(chosen) <= traffic(smallest_preset(10, bits))
    assert traffic(chosen) == min(traffic(each) for each in _candidates(10, 2**bits - 1, 0))


def test_few_values_are_sent_with_fewer_bits_instead_of_more_packing():
    few, many = smallest_preset(4, 4, values=6200), smallest_preset(4, 4)
    assert few.packing < many.packing
    assert few.update_bytes(6200) < 0.7 * many.update_bytes(6200)
