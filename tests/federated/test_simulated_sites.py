"""The sites of a simulation: made when they are asked for, the same in every process."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from nasturtium.federated import SimulationConfig, SimulationSetup
from nasturtium.federated.simulation.sites import PublicIdentities, SimulatedParties, SimulatedSites, site_name
from nasturtium.privacy import Identity, smallest_preset

CLIENTS = 20


def make_parties(**changes: object) -> SimulatedParties:
    config = SimulationConfig(**{"data": "digits", "clients": CLIENTS} | changes)
    preset = smallest_preset(CLIENTS, 8)
    return SimulatedParties.make(SimulationSetup.load(config), preset, Identity.generate("coordinator").public)


@pytest.fixture(scope="module")
def parties():
    return make_parties()


def test_sites_are_made_when_they_are_asked_for_and_once(parties):
    sites = SimulatedSites(parties)
    assert len(sites) == CLIENTS
    assert sites._sites == {}
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: sites[i % 4], range(64)))
    assert len({id(site) for site in made}) == len(sites._sites) == 4
    assert [site.name for site in made[:4]] == ["site-1", "site-2", "site-3", "site-4"]


def test_a_site_has_the_rows_of_its_share_without_a_copy(parties):
    seen = []
    for index, share in enumerate(SimulationSetup.load(parties.config).shares):
        site = SimulatedSites(parties)[index]
        train, validation = site._train, site._validation
        assert train.data is validation.data is parties.pool
        assert len(train) + len(validation) == len(share)
        assert min(len(train), len(validation)) >= 1
        seen += [*train.indices, *validation.indices]
        together = parties.pool.take(np.sort(np.concatenate([train.indices, validation.indices])))
        assert together.fingerprint == share.fingerprint
    assert sorted(seen) == list(range(len(parties.pool)))


@pytest.mark.parametrize("scheme", ["plain", "packed", "ckks-approximate"])
def test_another_process_makes_the_same_parties(scheme):
    parties = make_parties(scheme=scheme)
    there = pickle.loads(pickle.dumps(parties))  # as a process of the simulation gets them
    for index in (0, CLIENTS - 1):
        here, again = SimulatedSites(parties)[index], SimulatedSites(there)[index]
        assert (here.name, here.identity) == (again.name, again.identity)
        np.testing.assert_array_equal(here._train.indices, again._train.indices)
    assert parties.make_cipher().key_id == there.make_cipher().key_id == parties.make_adder().key_id
    assert parties.make_cipher().derive_key(b"a") == there.make_cipher().derive_key(b"a")


def test_keys_are_fresh_for_every_simulation_and_not_shown():
    one, two = make_parties(), make_parties()
    assert one.key != two.key
    assert one.identity(0).public != two.identity(0).public
    assert "key" not in repr(one).replace("signing_key", "").replace("sealing_key", "")


def test_identities_are_worked_out_when_they_are_asked_for(parties):
    known = PublicIdentities(parties, 2)
    assert (len(known), list(known), known._known) == (CLIENTS, list(range(2, CLIENTS + 2)), {})
    assert known[5].name == site_name(3) == "site-4"
    assert known[5] == SimulatedSites(parties)[3].identity
    assert len(known._known) == 1
    assert 1 not in known
    assert CLIENTS + 2 not in known
    with pytest.raises(KeyError):
        known[1]


def test_sites_that_mask_know_the_same_roster():
    sites = SimulatedSites(make_parties(masked=True, clients=5))
    assert len({site._masks._roster_sha256 for site in (sites[0], sites[4])}) == 1
    assert sites[0]._masks._members is sites[4]._masks._members
