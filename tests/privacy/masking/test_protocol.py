"""Masked rounds: exact sums whoever drops out when, and nothing for a coordinator that lies, with sites in league."""

from __future__ import annotations

import copy
import functools
import pickle
import secrets
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError
from nasturtium.privacy.errors import (
    MaskingError,
    PrivacyError,
    ReplayedUpdateError,
    SharesError,
    SignatureError,
    TooFewSitesError,
    UnknownSenderError,
    WrongRoundError,
)
from nasturtium.privacy.keys.identity_secret import Identity
from nasturtium.privacy.masking import site as masking_site
from nasturtium.privacy.masking.attempts import AttemptJournal
from nasturtium.privacy.masking.coordinator import MaskingRound
from nasturtium.privacy.masking.derivation import pairwise_key
from nasturtium.privacy.masking.messages import (
    ADVERT,
    CONFIRMATION,
    NO_SHARE,
    SHARES,
    Advert,
    SealedShares,
    agreement,
    open_message,
    reveal_kind,
    split,
    transcript_of,
)
from nasturtium.privacy.masking.plan import MaskingPlan, smallest_threshold
from nasturtium.privacy.masking.site import MaskingSite
from nasturtium.privacy.masking.stream import MaskSum
from nasturtium.privacy.packed import PackedAdder
from nasturtium.privacy.packed_secret import PackedCipher, open_rows
from nasturtium.privacy.presets import Preset, smallest_preset
from nasturtium.privacy.rlwe_secret import SecretKey

PRESET = smallest_preset(64, 8)
T = PRESET.plain_modulus
ROSTER = "ab" * 32
COUNT = 40
# Of order 1, 2, 4 and 8 on Curve25519 and its twist (https://cr.yp.to/ecdh.html), names of them that are not below the
# prime, and such names of the base point.
P = 2**255 - 19
LOW_ORDER = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P - 1,
    P,
    P + 1,
    2**255,  # the top bit is ignored: zero
    2**255 + 1,
    P + 9,
    2**255 + 9,
]


@functools.cache
def identities(count: int) -> list[Identity]:
    return sorted((Identity.generate(f"site-{i}") for i in range(count)), key=lambda identity: identity.public.id)


def make_plan(sites: int, *, colluders: int = 1, **changes) -> MaskingPlan:
    fields = {"run": "01JRUN", "round": 3, "attempt": 1, "roster_sha256": ROSTER, "modulus": T}
    fields |= {"threshold": smallest_threshold(sites, colluders), "colluders": colluders}
    return MaskingPlan(**({"layout": "1a" * 32} | fields | changes))


class Attempt:
    """All parties of an attempt, and a coordinator that is honest where no test makes it lie."""

    def __init__(self, count: int, *, journals: dict[str, AttemptJournal] | None = None, **changes) -> None:
        self.plan = make_plan(count, **changes)
        self.identities = {identity.public.id: identity for identity in identities(count)}
        self.ids = list(self.identities)
        self.members = {id: identity.public for id, identity in self.identities.items()}
        self.journals = journals if journals is not None else {id: AttemptJournal(None) for id in self.ids}
        self.sites = {id: self.site(id) for id in self.ids}
        self.round = MaskingRound(self.plan, self.members)
        self.adverts = b""
        self.delivered: dict[str, bytes] = {}
        self.masks: dict[str, np.ndarray] = {}

    def site(self, id: str, plan: MaskingPlan | None = None, *, colluders: int = 0) -> MaskingSite:
        return MaskingSite(self.identities[id], plan or self.plan, self.members, self.journals[id], colluders=colluders)

    def upload(self, *, silent: Collection[str] = (), sharing: Collection[str] = (), taking: Collection[str] = ()):
        """Up to the masks, without those that fall silent before they advertise, share, or take their mask."""
        here = [id for id in self.ids if id not in silent]
        self.adverts = self.round.collect_adverts({id: self.sites[id].advertise() for id in here})
        here = [id for id in here if id not in sharing]
        self.delivered = self.round.collect_shares({id: self.sites[id].share(self.adverts) for id in here})
        here = [id for id in self.delivered if id not in taking]
        self.masks = {id: self.sites[id].mask(self.delivered[id]).take(COUNT) for id in here}
        return self

    def remove(
        self, uploaded: Collection[str] = (), *, confirming: Collection[str] = (), revealing: Collection[str] = ()
    ) -> MaskSum:
        """What the masks of those that uploaded add up to, as the coordinator finds it."""
        survivors = self.round.fix_survivors(uploaded or self.masks)
        here = [id for id in survivors if id not in confirming]
        confirmations = self.round.collect_confirmations({id: self.sites[id].confirm(survivors) for id in here})
        here = [id for id in here if id not in revealing]
        return self.round.collect_reveals({id: self.sites[id].reveal(confirmations) for id in here})

    def total(self, ids: Iterable[str] | None = None) -> np.ndarray:
        """What the masks really add up to."""
        masks = [self.masks[id] for id in (ids or self.masks)]
        return functools.reduce(lambda a, b: (a + b) % T, masks)


def forge(attempt: Attempt, id: str, kind, body: bytes, plan: MaskingPlan | None = None) -> bytes:
    """Any message a member can sign."""
    message = kind.magic + (plan or attempt.plan).digest + bytes.fromhex(id) + body
    return message + attempt.identities[id].sign(kind.domain, message)


# Exact sums


def test_64_clients_of_which_a_fifth_drops_out_before_and_a_fifth_after_uploading_are_summed_exactly():
    attempt = Attempt(64, colluders=8)
    rng = np.random.default_rng(5)
    lost = rng.permutation(attempt.ids).tolist()
    values = 3 * PRESET.block - 7
    symbols = {id: rng.integers(0, PRESET.symbols, values).astype(np.uint16) for id in attempt.ids}
    key = SecretKey.generate()
    cipher, adder = PackedCipher(key, PRESET), PackedAdder(PRESET, key.key_id)
    attempt.upload(silent=lost[:3], sharing=lost[3:6], taking=attempt.ids)
    total = adder.start(values)
    for id in lost[13:]:
        total.add(memoryview(cipher.encrypt(symbols[id], attempt.sites[id].mask(attempt.delivered[id]))))
    mask = attempt.remove(lost[13:], confirming=lost[13:18], revealing=lost[18:26])
    expected = np.sum([symbols[id] for id in lost[13:]], axis=0)
    assert (cipher.decrypt(total.body(), values) != expected).mean() > 0.9
    total.remove(mask)
    np.testing.assert_array_equal(cipher.decrypt(total.body(), values), expected)
    assert attempt.round.excluded == {}


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whoever_drops_out_when_the_sum_is_exact_or_not_formed(data):
    count = data.draw(st.integers(3, 6))
    colluders = data.draw(st.integers(0, count - 2))
    attempt = Attempt(count, colluders=colluders)
    steps = ["silent", "sharing", "taking", "confirming", "revealing", "never"]
    left = {id: data.draw(st.sampled_from(["never", *steps])) for id in attempt.ids}
    gone = {step: [id for id, at in left.items() if at == step] for step in steps}
    answering, threshold = len(gone["never"]), attempt.plan.threshold
    survivors = answering + len(gone["confirming"]) + len(gone["revealing"])
    enough = survivors >= max(3, threshold) and answering >= threshold
    try:
        attempt.upload(silent=gone["silent"], sharing=gone["sharing"], taking=gone["taking"])
        removed = attempt.remove(confirming=gone["confirming"], revealing=gone["revealing"])
    except (TooFewSitesError, SharesError):
        assert not enough
    else:
        assert enough
        np.testing.assert_array_equal(removed.take(COUNT), attempt.total())


def test_a_single_masked_update_is_uniform_noise_to_who_decrypts_it():
    """Chi-square over 256 parts of [0, t), 255 degrees of freedom: beyond 380 once in 10^6."""
    attempt = Attempt(3)
    attempt.upload(taking=attempt.ids)
    victim = attempt.ids[1]
    mask = attempt.sites[victim].mask(attempt.delivered[victim])
    key = SecretKey.generate()
    cipher, adder = PackedCipher(key, PRESET), PackedAdder(PRESET, key.key_id)
    values = 8 * PRESET.block

    def chi_square(mask) -> float:
        total = adder.start(values)
        total.add(memoryview(cipher.encrypt(np.zeros(values, np.uint8), mask)))
        rows = np.frombuffer(total.body(), np.uint8).reshape(8, -1)
        coefficients = open_rows(key, rows, T).ravel()
        found = np.bincount((coefficients.astype(object) * 256 // T).astype(int), minlength=256)
        return float(((found - coefficients.size / 256) ** 2 / (coefficients.size / 256)).sum())

    assert chi_square(mask) < 380 < chi_square(None)


def test_sites_are_uncorrelated_until_all_are_summed():
    """Every sum of some of the updates is masked as one of them is, though most of the streams cancel in it."""
    attempt = Attempt(4)
    attempt.upload()
    removed = attempt.remove().take(COUNT)
    np.testing.assert_array_equal(attempt.total(), removed)
    for left_out in attempt.ids:
        some = attempt.total(id for id in attempt.ids if id != left_out)
        assert len(np.unique((some + T - removed) % T)) == COUNT


# A coordinator that lies


@pytest.mark.parametrize(("count", "colluders"), [(4, 0), (5, 1), (6, 2), (7, 1)])
def test_no_two_sets_of_survivors_are_ever_revealed(count, colluders):
    """The coordinator tells some honest sites of one set, some of another; sites in league confirm both."""
    succeeded = 0
    for told_all in range(count - colluders + 1):
        attempt = Attempt(count, colluders=colluders).upload()
        league, honest = attempt.ids[:colluders], attempt.ids[colluders:]
        victim = honest[-1]
        sets = [attempt.ids, [id for id in attempt.ids if id != victim]]
        told = {id: sets[index >= told_all] for index, id in enumerate(honest)}
        told[victim] = sets[0]
        said = {id: attempt.sites[id].confirm(told[id]) for id in honest}
        revealed = set()
        for survivors in sets:
            body = agreement(transcript_of(attempt.adverts), attempt.ids, survivors)
            said |= {id: forge(attempt, id, CONFIRMATION, body) for id in league}
            confirmations = b"".join(said[id] for id in sorted(said) if told.get(id, survivors) == survivors)
            for id in honest:
                try:
                    attempt.sites[id].reveal(confirmations)
                except PrivacyError:
                    continue
                revealed.add(tuple(told[id]))
        assert len(revealed) <= 1
        succeeded += len(revealed)
    assert succeeded  # where all are told the same


@pytest.mark.parametrize(
    ("sites", "threshold", "colluders"),
    [
        pytest.param(4, 2, 0, id="half-would-reveal-twice"),
        pytest.param(6, 4, 2, id="with-sites-in-league"),
        pytest.param(5, 5, 4, id="one-honest-site-is-its-own-sum"),
        pytest.param(3, 3, 2, id="two-of-three-in-league"),
    ],
)
def test_thresholds_that_do_not_protect_are_refused_by_both_sides(sites, threshold, colluders):
    attempt = Attempt(sites, threshold=threshold, colluders=colluders)
    said = {id: site.advertise() for id, site in attempt.sites.items()}
    with pytest.raises((MaskingError, TooFewSitesError), match=r"does not protect|may be in league"):
        attempt.round.collect_adverts(said)
    with pytest.raises((MaskingError, TooFewSitesError), match=r"does not protect|may be in league"):
        attempt.sites[attempt.ids[0]].share(b"".join(said.values()))


def test_the_smallest_threshold_is_the_smallest_that_protects():
    for sites in range(3, 30):
        for colluders in range(sites - 1):
            threshold = smallest_threshold(sites, colluders)
            make_plan(sites, colluders=colluders, threshold=threshold).check_dealing(sites)
            if threshold > 2:
                with pytest.raises(MaskingError, match=f"{threshold} does"):
                    make_plan(sites, colluders=colluders, threshold=threshold - 1).check_dealing(sites)


def test_a_site_refuses_a_plan_that_fears_fewer_than_it_does():
    attempt = Attempt(5, colluders=1)
    with pytest.raises(MaskingError, match="protect from 1 sites in league with the coordinator, this site asks for 2"):
        attempt.site(attempt.ids[0], colluders=2)


def test_two_sites_are_not_masked():
    attempt = Attempt(3, colluders=0)
    some = attempt.ids[:2]
    said = {id: attempt.sites[id].advertise() for id in some}
    with pytest.raises(TooFewSitesError):
        attempt.sites[some[0]].share(b"".join(said.values()))
    with pytest.raises(TooFewSitesError):
        attempt.round.collect_adverts(said)


@pytest.mark.parametrize(
    ("survivors", "message"),
    [
        pytest.param(lambda ids: ids[1:], "with this one, which took its mask", id="without-itself"),
        pytest.param(lambda ids: [*ids[:4], "ff" * 16], "some of the sites that shared", id="a-stranger"),
        pytest.param(lambda ids: ids[::-1], "order of ids", id="not-in-order"),
        pytest.param(lambda ids: [ids[0], *ids], "twice", id="one-twice"),
        pytest.param(lambda ids: ids[:3], "3 sites are left of a masked round that needs 4", id="below-the-threshold"),
        pytest.param(lambda ids: [], "with this one", id="none"),
    ],
)
def test_a_site_does_not_confirm_what_are_no_survivors(survivors, message):
    attempt = Attempt(5).upload()
    with pytest.raises((MaskingError, TooFewSitesError), match=message):
        attempt.sites[attempt.ids[0]].confirm(survivors(attempt.ids))
    with pytest.raises(MaskingError, match="attempt is over"):
        attempt.sites[attempt.ids[0]].confirm(attempt.ids)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(lambda a, said: said[:3], TooFewSitesError, id="too-few"),
        pytest.param(lambda a, said: [said[0], *said[:3]], MaskingError, id="one-twice"),
        pytest.param(lambda a, said: said[::-1], MaskingError, id="not-in-order"),
        pytest.param(lambda a, said: [*said[:4], said[4][:-1] + bytes([said[4][-1] ^ 1])], SignatureError, id="forged"),
        pytest.param(lambda a, said: [b"".join(said)[:-1]], MaskingError, id="cut-short"),
        pytest.param(lambda a, said: [*said, said[0]], MaskingError, id="too-many"),
        pytest.param(
            lambda a, said: [
                *said[:4],
                forge(a, a.ids[4], CONFIRMATION, agreement(transcript_of(a.adverts), a.ids, a.ids[:4])),
            ],
            MaskingError,
            id="of-other-survivors",
        ),
        pytest.param(
            lambda a, said: [
                *said[:4],
                forge(a, a.ids[4], CONFIRMATION, agreement(transcript_of(a.adverts), a.ids[:4], a.ids)),
            ],
            MaskingError,
            id="of-others-that-shared",
        ),
        pytest.param(
            lambda a, said: [*said[:4], forge(a, a.ids[4], CONFIRMATION, bytes(96), replace(a.plan, attempt=2))],
            WrongRoundError,
            id="of-another-attempt",
        ),
    ],
)
def test_a_site_does_not_reveal_on_what_is_no_agreement(change, error):
    attempt = Attempt(5).upload()
    said = [attempt.sites[id].confirm(attempt.ids) for id in attempt.ids]
    with pytest.raises(error):
        attempt.sites[attempt.ids[0]].reveal(b"".join(change(attempt, said)))
    with pytest.raises(MaskingError, match="attempt is over"):
        attempt.sites[attempt.ids[0]].reveal(b"".join(said))


def test_a_site_outside_the_survivors_confirms_nothing_to_the_others():
    """Whoever is not in the sum has no word in what is revealed: so survivors alone make up the threshold."""
    attempt = Attempt(5, colluders=0).upload()
    outside = attempt.ids[4]
    survivors = attempt.ids[:4]
    body = agreement(transcript_of(attempt.adverts), attempt.ids, survivors)
    said = [attempt.sites[id].confirm(survivors) for id in survivors]
    with pytest.raises(UnknownSenderError):
        attempt.sites[attempt.ids[0]].reveal(b"".join([*said[:2], forge(attempt, outside, CONFIRMATION, body)]))


def test_a_later_attempt_at_a_round_is_not_revealed_for_fewer_sites():
    """The difference of the two sums would be the update of the site that is missing in the second."""
    first = Attempt(5)
    first.upload()
    first.remove()
    second = Attempt(5, journals=first.journals, attempt=2).upload(sharing=first.ids[4:])
    survivors = second.round.fix_survivors(second.masks)
    said = {id: second.sites[id].confirm(survivors) for id in survivors}
    confirmations = second.round.collect_confirmations(said)
    for id in survivors:
        with pytest.raises(MaskingError, match="has revealed shares for other survivors"):
            second.sites[id].reveal(confirmations)


def test_an_attempt_again_has_other_masks_and_the_same_sites_are_summed():
    first = Attempt(4)
    first.upload()
    first.remove()
    second = Attempt(4, journals=first.journals, attempt=2)
    second.upload()
    np.testing.assert_array_equal(second.remove().take(COUNT), second.total())
    for id in first.ids:
        assert not (first.masks[id] == second.masks[id]).any()


def test_a_site_that_crashed_takes_no_second_mask_in_an_attempt(tmp_path):
    ids = Attempt(4).ids
    paths = {id: tmp_path / f"{id}.db" for id in ids}
    first = Attempt(4, journals={id: AttemptJournal(path) for id, path in paths.items()}).upload()
    again = Attempt(4, journals={id: AttemptJournal(path) for id, path in paths.items()})
    with pytest.raises(ReplayedUpdateError, match="has taken part in attempt 1"):
        again.upload()
    later = Attempt(4, journals={id: AttemptJournal(path) for id, path in paths.items()}, attempt=2).upload()
    np.testing.assert_array_equal(later.remove().take(COUNT), later.total())
    assert not any((first.masks[id] == later.masks[id]).any() for id in ids)


def test_different_adverts_shown_to_different_sites_agree_nothing():
    attempt = Attempt(5)
    said = {id: site.advertise() for id, site in attempt.sites.items()}
    one = b"".join(said[id] for id in attempt.ids)
    another = b"".join(said[id] for id in attempt.ids[:4])
    dealt = {id: attempt.sites[id].share(another if id == attempt.ids[1] else one) for id in attempt.ids}
    first = split(SHARES, dealt[attempt.ids[0]], 5)[0]
    second = split(SHARES, dealt[attempt.ids[1]], 5)[0]
    rest = [split(SHARES, dealt[id], 5)[0] for id in attempt.ids[2:]]
    with pytest.raises(MaskingError, match="dealt over other adverts"):
        attempt.sites[attempt.ids[0]].mask(b"".join([first, second, *rest]))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(lambda a, parts: parts[1:], MaskingError, id="without-its-own"),
        pytest.param(lambda a, parts: parts[:3], TooFewSitesError, id="too-few"),
        pytest.param(lambda a, parts: [parts[0], *parts[:4]], MaskingError, id="one-twice"),
        pytest.param(lambda a, parts: [*parts[:4], parts[3]], MaskingError, id="out-of-order"),
        pytest.param(
            lambda a, parts: [*parts[:4], split(SHARES, a.delivered[a.ids[1]], 5)[4]], MaskingError, id="for-another"
        ),
        pytest.param(lambda a, parts: [*parts, parts[4]], MaskingError, id="too-many"),
        pytest.param(lambda a, parts: [*parts[:4], parts[4][:-1]], MaskingError, id="cut-short"),
        pytest.param(lambda a, parts: [*parts[:4], bytes(len(parts[4]))], MaskingError, id="zeros"),
        pytest.param(
            lambda a, parts: [*parts[:4], parts[4][:-80] + bytes(16) + parts[4][-64:]], SignatureError, id="changed"
        ),
    ],
)
def test_a_site_takes_no_mask_over_what_was_not_dealt_to_it(change, error):
    attempt = Attempt(5)
    attempt.upload(taking=attempt.ids)
    own = attempt.ids[0]
    with pytest.raises(error):
        attempt.sites[own].mask(b"".join(change(attempt, split(SHARES, attempt.delivered[own], 5))))
    with pytest.raises(MaskingError, match="attempt is over"):
        attempt.sites[own].mask(attempt.delivered[own])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(lambda a, said: said[1:], MaskingError, id="without-its-own"),
        pytest.param(lambda a, said: [said[0], *said[:4]], MaskingError, id="one-twice"),
        pytest.param(lambda a, said: said[::-1], MaskingError, id="not-in-order"),
        pytest.param(lambda a, said: said[:3], TooFewSitesError, id="too-few"),
        pytest.param(lambda a, said: [a.site(a.ids[0]).advertise(), *said[1:]], MaskingError, id="its-own-of-before"),
        pytest.param(
            lambda a, said: [*said[:4], a.site(a.ids[4], replace(a.plan, attempt=2)).advertise()],
            WrongRoundError,
            id="of-another-attempt",
        ),
        pytest.param(
            lambda a, said: [*said[:4], forge(a, a.ids[4], ADVERT, said[0][56:-64])], MaskingError, id="copied-keys"
        ),
        pytest.param(
            lambda a, said: [*said[:4], forge(a, a.ids[4], ADVERT, said[4][56:88] * 2 + bytes(32))],
            MaskingError,
            id="one-key-for-both",
        ),
    ],
)
def test_a_site_shares_nothing_over_false_adverts(change, error):
    attempt = Attempt(5)
    said = [attempt.sites[id].advertise() for id in attempt.ids]
    with pytest.raises(error):
        attempt.sites[attempt.ids[0]].share(b"".join(change(attempt, said)))


# Sites that lie


@pytest.mark.parametrize("point", LOW_ORDER, ids=[f"point-{i}" for i in range(len(LOW_ORDER))])
@pytest.mark.parametrize("place", ["mask-key", "share-key"])
def test_keys_that_agree_on_zero_are_refused(point, place):
    attempt = Attempt(5)
    key = point.to_bytes(32, "little")
    good = X25519PrivateKey.generate().public_key().public_bytes_raw()
    said = {id: site.advertise() for id, site in attempt.sites.items()}
    body = (key + good if place == "mask-key" else good + key) + bytes(32)
    liar = attempt.ids[4]
    said[liar] = forge(attempt, liar, ADVERT, body)
    with pytest.raises(MaskingError, match="low order"):
        attempt.sites[attempt.ids[0]].share(b"".join(said.values()))
    adverts = attempt.round.collect_adverts(said)
    assert len(split(ADVERT, adverts, 5)) == 4
    assert "low order" in attempt.round.excluded[liar]


def test_a_shared_secret_of_zero_is_refused_where_it_would_be_used():
    with pytest.raises(MaskingError, match="is no secret"):
        pairwise_key(X25519PrivateKey.generate(), bytes(32), bytes(32), "ab" * 16, "cd" * 16)


@pytest.mark.parametrize("copy_of", [0, 4], ids=["anothers", "its-own"])
def test_who_says_a_key_twice_is_excluded_and_the_round_goes_on(copy_of):
    attempt = Attempt(5)
    said = {id: site.advertise() for id, site in attempt.sites.items()}
    liar = attempt.ids[4]
    said[liar] = forge(attempt, liar, ADVERT, said[attempt.ids[copy_of]][56:88] * 2 + bytes(32))
    attempt.round.collect_adverts(said)
    assert list(attempt.round.excluded) == [liar]
    assert "stands in another advert" in attempt.round.excluded[liar]


def test_a_false_share_excludes_who_reveals_it_and_the_sum_is_exact():
    attempt = Attempt(6).upload(taking=identities(6)[5].public.id)
    survivors = attempt.round.fix_survivors(attempt.masks)
    said = {id: attempt.sites[id].confirm(survivors) for id in survivors}
    confirmations = attempt.round.collect_confirmations(said)
    replies = {id: attempt.sites[id].reveal(confirmations) for id in survivors}
    liar = survivors[0]
    for dealer in range(6):
        replies[liar] = lie(attempt, liar, replies[liar], dealer, secrets.token_bytes(32).rjust(33, b"\0"))
    np.testing.assert_array_equal(attempt.round.collect_reveals(replies).take(COUNT), attempt.total())
    assert attempt.round.excluded[liar].startswith(f"{liar} reveals a false share of ")


def test_a_reveal_for_other_survivors_excludes_its_sender():
    attempt = Attempt(5).upload()
    survivors = attempt.round.fix_survivors(attempt.masks)
    said = {id: attempt.sites[id].confirm(survivors) for id in survivors}
    confirmations = attempt.round.collect_confirmations(said)
    replies = {id: attempt.sites[id].reveal(confirmations) for id in survivors}
    liar = survivors[0]
    body = agreement(transcript_of(attempt.adverts), survivors, survivors[1:]) + replies[liar][56 + 96 : -64]
    replies[liar] = forge(attempt, liar, reveal_kind(5), body)
    np.testing.assert_array_equal(attempt.round.collect_reveals(replies).take(COUNT), attempt.total())
    assert "reveals for other sites" in attempt.round.excluded[liar]


def lie(attempt: Attempt, liar: str, reply: bytes, dealer: int, share: bytes) -> bytes:
    """A reveal with another share in the place of a dealer."""
    body = bytearray(reply[56:-64])
    body[96 + 33 * dealer : 96 + 33 * (dealer + 1)] = share
    return forge(attempt, liar, reveal_kind(len(attempt.ids)), bytes(body))


def test_a_share_of_the_other_kind_is_a_false_one():
    attempt = Attempt(5).upload()
    survivors = attempt.round.fix_survivors(attempt.masks)
    confirmations = attempt.round.collect_confirmations({id: attempt.sites[id].confirm(survivors) for id in survivors})
    liar = survivors[0]
    key_share = list(attempt.sites[liar]._held[survivors[1]].values())[1]
    reply = lie(attempt, liar, attempt.sites[liar].reveal(confirmations), 1, key_share)
    replies = {id: attempt.sites[id].reveal(confirmations) for id in survivors[1:]} | {liar: reply}
    np.testing.assert_array_equal(attempt.round.collect_reveals(replies).take(COUNT), attempt.total())
    assert "false share" in attempt.round.excluded[liar]


def dishonest_dealer(attempt: Attempt, id: str, monkeypatch, change: Callable) -> None:
    """Let a site deal other shares than its secrets'."""
    honest = masking_site.generate_shares
    site, share = attempt.sites[id], attempt.sites[id].share

    def deal(adverts: bytes) -> bytes:
        with monkeypatch.context() as patched:
            patched.setattr(masking_site, "generate_shares", lambda *args: change(honest, *args))
            return share(adverts)

    monkeypatch.setattr(site, "share", deal)


@pytest.mark.parametrize("dropped", [False, True], ids=["seed", "mask-key"])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda honest, secret, t, n: honest(bytes(32), t, n), id="of-another-secret"),
        pytest.param(lambda honest, secret, t, n: [secrets.token_bytes(32).rjust(33, b"\0")] * n, id="of-none"),
        pytest.param(lambda honest, secret, t, n: [b"\xff" * 32 + b"\0"] * n, id="beyond-the-field"),
    ],
)
def test_who_deals_false_shares_is_named(monkeypatch, change, dropped):
    attempt = Attempt(5)
    liar = attempt.ids[2]
    dishonest_dealer(attempt, liar, monkeypatch, change)
    attempt.upload(taking=[liar] if dropped else [])
    with pytest.raises(SharesError, match=f"{liar} dealt shares that do not tell what it advertised"):
        attempt.remove()


def test_shares_that_do_not_open_are_not_revealed_and_enough_others_do(monkeypatch):
    attempt = Attempt(6, colluders=0)
    liar, victim = attempt.ids[0], attempt.ids[3]
    honest = masking_site.seal

    def seal(key: bytes, plain: bytes, context: bytes) -> bytes:
        if context.endswith(bytes.fromhex(liar) + bytes.fromhex(victim)):
            plain = plain[::-1]
        return honest(key, plain, context)

    monkeypatch.setattr(masking_site, "seal", seal)
    attempt.upload()
    survivors = attempt.round.fix_survivors(attempt.masks)
    confirmations = attempt.round.collect_confirmations({id: attempt.sites[id].confirm(survivors) for id in survivors})
    replies = {id: attempt.sites[id].reveal(confirmations) for id in survivors}
    assert replies[victim][56 + 96 :].startswith(NO_SHARE)
    np.testing.assert_array_equal(attempt.round.collect_reveals(replies).take(COUNT), attempt.total())
    assert attempt.round.excluded == {}


def test_who_deals_to_too_few_ends_the_attempt(monkeypatch):
    attempt = Attempt(5)
    liar = attempt.ids[1]
    honest = masking_site.seal
    monkeypatch.setattr(
        masking_site,
        "seal",
        lambda key, plain, context: honest(
            key, bytes(66) if context[-32:-16].hex() == liar != context[-16:].hex() else plain, context
        ),
    )
    attempt.upload()
    with pytest.raises(SharesError, match=f"1 true shares of the self-mask seed of {liar}, 4 are needed"):
        attempt.remove()


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(lambda a, said: said[a.ids[1]], "who is not", id="of-another-site"),
        pytest.param(lambda a, said: b"", "got 0", id="nothing"),
        pytest.param(lambda a, said: said[a.ids[0]] + b"\0", "expected", id="too-long"),
        pytest.param(lambda a, said: said[a.ids[0]][:-64] + said[a.ids[1]][-64:], "is not that of", id="forged"),
        pytest.param(
            lambda a, said: a.site(a.ids[0], replace(a.plan, round=2)).advertise(), "another attempt", id="replayed"
        ),
    ],
)
def test_a_bad_advert_excludes_its_sender_with_a_reason(reply, reason):
    attempt = Attempt(5)
    said = {id: site.advertise() for id, site in attempt.sites.items()}
    adverts = attempt.round.collect_adverts(said | {attempt.ids[0]: reply(attempt, said)})
    assert len(split(ADVERT, adverts, 5)) == 4
    assert list(attempt.round.excluded) == [attempt.ids[0]]
    assert reason in attempt.round.excluded[attempt.ids[0]]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda parts, other: parts[:4], id="not-to-all"),
        pytest.param(lambda parts, other: [parts[1], parts[0], *parts[2:]], id="not-in-order"),
        pytest.param(lambda parts, other: [*parts[:4], other[4]], id="one-of-another-site"),
        pytest.param(lambda parts, other: other, id="all-of-another-site"),
        pytest.param(lambda parts, other: [*parts, parts[0]], id="too-many"),
    ],
)
def test_who_does_not_deal_to_every_site_has_not_shared(change):
    attempt = Attempt(5)
    adverts = attempt.round.collect_adverts({id: site.advertise() for id, site in attempt.sites.items()})
    dealt = {id: split(SHARES, site.share(adverts), 5) for id, site in attempt.sites.items()}
    first, second = attempt.ids[:2]
    dealt[first] = change(dealt[first], dealt[second])
    delivered = attempt.round.collect_shares({id: b"".join(parts) for id, parts in dealt.items()})
    assert list(delivered) == attempt.ids[1:]
    assert list(attempt.round.excluded) == [first]


@pytest.mark.parametrize("silent", [0, 2], ids=["enough-others", "too-few-others"])
def test_a_site_that_confirms_something_else_is_excluded_and_its_shares_are_not_used(silent):
    attempt = Attempt(6, colluders=0).upload()
    survivors = attempt.round.fix_survivors(attempt.masks)
    said = {id: attempt.sites[id].confirm(survivors) for id in survivors}
    body = agreement(transcript_of(attempt.adverts), survivors, survivors[1:])
    said[survivors[0]] = forge(attempt, survivors[0], CONFIRMATION, body)
    confirmations = attempt.round.collect_confirmations(said)
    assert len(split(CONFIRMATION, confirmations, 6)) == 5
    assert list(attempt.round.excluded) == [survivors[0]]
    replies = {id: attempt.sites[id].reveal(confirmations) for id in survivors[: 6 - silent]}
    if silent:
        with pytest.raises(SharesError, match=r"3 true shares .* 4 are needed"):
            attempt.round.collect_reveals(replies)
    else:
        np.testing.assert_array_equal(attempt.round.collect_reveals(replies).take(COUNT), attempt.total())


def test_an_update_of_a_site_that_has_not_shared_is_not_in_a_sum():
    attempt = Attempt(5)
    attempt.upload(sharing=attempt.ids[:1])
    with pytest.raises(MaskingError, match=f"have not shared: {attempt.ids[0]}"):
        attempt.round.fix_survivors(attempt.ids)


# Order, plans, secrets


@pytest.mark.parametrize("done", range(6))
def test_a_site_takes_each_step_once_and_in_order(done):
    attempt = Attempt(4)
    site, own = attempt.sites[attempt.ids[0]], attempt.ids[0]
    takes = {
        "advertise": site.advertise,
        "share": lambda: site.share(attempt.adverts),
        "mask": lambda: site.mask(attempt.delivered[own]),
        "confirm": lambda: site.confirm(attempt.ids),
        "reveal": lambda: site.reveal(b""),
    }
    others = [attempt.sites[id] for id in attempt.ids[1:]]
    if done > 0:
        said = {id: s.advertise() for id, s in attempt.sites.items()}
        attempt.adverts = attempt.round.collect_adverts(said)
    if done > 1:
        dealt = {id: s.share(attempt.adverts) for id, s in attempt.sites.items()}
        attempt.delivered = attempt.round.collect_shares(dealt)
    if done > 2:
        for s in attempt.sites.values():
            s.mask(attempt.delivered[s.id])
    if done > 3:
        said = b"".join(s.confirm(attempt.ids) for s in (site, *others))
    if done > 4:
        site.reveal(said)
    attempt.delivered.setdefault(own, b"")
    for index, (name, take) in enumerate(takes.items()):
        if index != done:
            with pytest.raises(MaskingError, match=f"cannot {name} now"):
                take()


def test_the_coordinator_takes_each_step_once_and_in_order():
    round = Attempt(4).round
    with pytest.raises(MaskingError, match="cannot collect shares now"):
        round.collect_shares({})
    with pytest.raises(TooFewSitesError):
        round.collect_adverts({})
    with pytest.raises(MaskingError, match="cannot collect adverts now"):
        round.collect_adverts({})


@pytest.mark.parametrize(
    "change",
    [
        {"run": "01JOTHER"},
        {"round": 4},
        {"attempt": 2},
        {"roster_sha256": "cd" * 32},
        {"modulus": T + 1},
        {"threshold": 5},
        {"colluders": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_messages_under_another_plan_are_refused(change):
    attempt = Attempt(5)
    said = [attempt.sites[id].advertise() for id in attempt.ids[:4]]
    said.append(attempt.site(attempt.ids[4], replace(attempt.plan, **change)).advertise())
    with pytest.raises(WrongRoundError, match="another plan"):
        attempt.sites[attempt.ids[0]].share(b"".join(said))


@pytest.mark.parametrize(
    "change",
    [
        {"run": ""},
        {"run": "x" * 27},
        {"run": "a/b"},
        {"round": 0},
        {"attempt": 0},
        {"attempt": True},
        {"roster_sha256": "AB" * 32},
        {"modulus": 1},
        {"modulus": 2**54 + 1},
        {"threshold": 1},
        {"threshold": 1001},
        {"colluders": -1},
        {"round": 1.0},
    ],
    ids=str,
)
def test_plans_out_of_range_are_refused(change):
    with pytest.raises(ConfigError):
        make_plan(5, **change)


def test_a_stranger_and_an_impostor_are_no_sites():
    attempt = Attempt(4)
    stranger = Identity.generate("site-0")
    with pytest.raises(UnknownSenderError, match="no member"):
        MaskingSite(stranger, attempt.plan, attempt.members, AttemptJournal(None))
    members = attempt.members | {stranger.public.id: identities(4)[0].public}
    with pytest.raises(UnknownSenderError, match="no member"):
        MaskingSite(stranger, attempt.plan, members, AttemptJournal(None))


def test_no_secret_is_shown_or_copied():
    attempt = Attempt(4)
    site = attempt.sites[attempt.ids[0]]
    said = site.advertise()
    for secret in (site._seed, site._mask_key.private_bytes_raw(), site._share_key.private_bytes_raw()):
        assert secret.hex() not in repr(site)
        assert repr(secret) not in repr(site)
        assert secret not in said
    for copying in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled or copied"):
            copying(site)


def test_the_coordinators_part_loads_nothing_that_holds_a_sites_keys():
    code = """if True:
        import sys, nasturtium.privacy.masking.coordinator
        print(*(module for module in sys.modules if module.startswith("nasturtium")))"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "nasturtium.privacy.masking.coordinator" in loaded
    assert [name for name in loaded if name.endswith(("_secret", "masking_site"))] == []


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_changed_message_is_accepted(data):
    """One bit of any message of a round, anywhere: its reader refuses it."""
    messages = recorded()
    name = data.draw(st.sampled_from(list(messages)))
    message, read = messages[name]
    place = data.draw(st.integers(0, len(message) - 1))
    changed = bytearray(message)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    read(message)
    with pytest.raises(PrivacyError):
        read(bytes(changed))


@functools.cache
def recorded() -> dict[str, tuple[bytes, Callable[[bytes], object]]]:
    """One message of each kind, and how it is read."""
    attempt = Attempt(4).upload()
    plan, members, own = attempt.plan, attempt.members, attempt.sites[attempt.ids[0]]
    transcript = transcript_of(attempt.adverts)
    said = b"".join(site.confirm(attempt.ids) for site in attempt.sites.values())
    return {
        "advert": (
            split(ADVERT, attempt.adverts, 4)[0],
            lambda data: Advert.parse(plan, members, data),
        ),
        "shares": (
            split(SHARES, attempt.delivered[own.id], 4)[1],
            lambda data: SealedShares.parse(plan, members, data, transcript),
        ),
        "confirmation": (
            split(CONFIRMATION, said, 4)[0],
            lambda data: open_message(CONFIRMATION, plan, members, data),
        ),
        "reveal": (own.reveal(said), lambda data: open_message(reveal_kind(4), plan, members, data)),
    }


def test_presets_of_every_size_have_a_modulus_masks_can_have():
    for clients in (2, 64, 1000):
        for bits in (4, 8, 16):
            preset: Preset = smallest_preset(clients, bits)
            assert make_plan(5, modulus=preset.plain_modulus).modulus == preset.plain_modulus
