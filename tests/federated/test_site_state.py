"""What a site keeps of a run: whole or as it was before, checked when it is read, and never taken for another."""

from __future__ import annotations

import hashlib
import json
import os
import stat

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasturtium.core import FormatError, ParameterLayout
from nasturtium.federated import PlanError, Site, SiteStates
from nasturtium.federated.errors import SiteStateError
from nasturtium.federated.site.state import session_from_bytes, session_to_bytes
from nasturtium.privacy import AttemptJournal, PackedCipher, ReplayedUpdateError
from nasturtium.storage import Ledger, open_database

RUN = "01JRUN"


@pytest.fixture
def site(make_site, make_plan):
    site = make_site()
    site.follow(make_plan())
    return site


@pytest.fixture
def session(site):
    return site._find(RUN)


@pytest.fixture
def prepare(site):
    """How the site takes a plan's preprocessing."""
    return site._agreements.prepare


def same(one, two) -> bool:
    arrays = [
        {"vector": each.vector, "ranges": each.ranges} | each.server | each.own | each.pending for each in (one, two)
    ]
    facts = [
        (each.agreed.run, each.round, each.attempt, each.meaning, each.report, each.chain, each.finished)
        for each in (one, two)
    ]
    equal = [np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0]]
    return facts[0] == facts[1] and arrays[0].keys() == arrays[1].keys() and all(equal)


@pytest.mark.parametrize("strategy", ['{"name":"fedavg"}', '{"name":"fedadam"}', '{"name":"scaffold"}'])
def test_a_session_comes_back_as_it_was(make_site, make_plan, tmp_path, strategy):
    site = make_site()
    site.follow(make_plan(strategy=strategy))
    session = site._find(RUN)
    states = SiteStates(tmp_path / "states")
    states.save(session)
    found = states.load(RUN, site._agreements.prepare)
    assert same(found, session)
    assert found.symbols.sha256 == session.symbols.sha256
    assert states.runs() == [RUN]
    [path] = (tmp_path / "states").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    states.forget(RUN)
    states.forget(RUN)
    assert states.load(RUN, site._agreements.prepare) is None


def test_of_candidates_only_the_newest_are_kept(make_site, make_plan, tmp_path, monkeypatch):
    monkeypatch.setattr("nasturtium.federated.site.state.MOST_CANDIDATES", 2)
    site, states = make_site(), SiteStates(tmp_path)
    prepare = site._agreements.prepare
    for run, search in (("01JMODEL", ""), ("01JA", "01JS"), ("01JB", "01JS"), ("01JA", "01JS"), ("01JC", "01JS")):
        if site._find(run) is None:
            site.follow(make_plan(run=run, search=search))
        states.save(site._find(run))
    assert states.runs() == ["01JA", "01JC", "01JMODEL"]  # 01JA was saved after 01JB
    assert states.load("01JB", prepare) is None
    assert states.load("01JA", prepare).agreed.search == "01JS"


def test_what_is_for_another_site_holds_nothing_of_this_ones_own(session, prepare):
    session.own = {"secret": np.ones(3, np.float32)}
    session.pending = {"secret": np.ones(3, np.float32)}
    kept = session_from_bytes(session_to_bytes(session), prepare)
    assert set(kept.own) == set(kept.pending) == {"secret"}
    given = session_from_bytes(session_to_bytes(session, shared_only=True), prepare)
    assert given.own == given.pending == {}
    np.testing.assert_array_equal(given.vector, session.vector)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7), cut=st.booleans())
def test_damage_is_found_wherever_it_is(session, place, bit, cut, prepare):
    data = session_to_bytes(session)
    place %= len(data)
    changed = data[:place] if cut else data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]
    with pytest.raises(FormatError):
        session_from_bytes(changed, prepare)


def rehash(data: bytes, change) -> bytes:
    """A well-formed state with another header."""
    size = int.from_bytes(data[8:12], "big")
    header = json.loads(data[12 : 12 + size])
    change(header)
    told = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    whole = data[:8] + len(told).to_bytes(4, "big") + told + data[12 + size : -32]
    return whole + hashlib.sha256(whole).digest()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda h: h.update(round="1"), id="round"),
        pytest.param(lambda h: h.update(attempt=True), id="attempt"),
        pytest.param(lambda h: h.update(chain="xyz"), id="chain"),
        pytest.param(lambda h: h.pop("report"), id="field-less"),
        pytest.param(lambda h: h.update(more=1), id="field-more"),
        pytest.param(lambda h: h.update(version=9), id="version"),
        pytest.param(lambda h: h["plan"].update(round="1"), id="plan"),
        pytest.param(lambda h: h["plan"].update(phase="sleep"), id="phase"),
        pytest.param(lambda h: h["plan"].pop("seed"), id="plan-less"),
        pytest.param(lambda h: h["plan"]["training"].update(epochs=1.0), id="training"),
        pytest.param(lambda h: h["arrays"][0].__setitem__(2, [2**39, 2**39]), id="huge"),
        pytest.param(lambda h: h["arrays"][0].__setitem__(2, [-1]), id="negative"),
        pytest.param(lambda h: h["arrays"][0].__setitem__(1, "|O8"), id="objects"),
        pytest.param(lambda h: h["arrays"][0].__setitem__(0, "other"), id="name"),
        pytest.param(lambda h: h["arrays"].append(h["arrays"][0]), id="twice"),
        pytest.param(lambda h: h.update(arrays={}), id="no-list"),
        pytest.param(lambda h: h.update(report={"model_round": 1, "rows": -1, "correct": 0, "loss": 0.0}), id="report"),
    ],
)
def test_a_state_that_cannot_be_is_refused_before_anything_is_allocated(session, change, prepare):
    data = rehash(session_to_bytes(session), change)
    with pytest.raises((FormatError, PlanError, ValueError)):
        session_from_bytes(data, prepare)


def test_a_state_for_other_data_is_refused(session):
    def refuse(*args):
        raise PlanError("the plan's task is not that of the data")

    with pytest.raises(PlanError):
        session_from_bytes(session_to_bytes(session), refuse)


def test_a_damaged_file_is_as_good_as_none(session, tmp_path, caplog, prepare):
    states = SiteStates(tmp_path)
    states.save(session)
    (tmp_path / f"{RUN}.state").write_bytes(b"NSTSTATE garbage")
    assert states.load(RUN, prepare) is None
    assert "another site's will be asked for" in caplog.text


@pytest.mark.parametrize("run", ["", "../evil", "a/b", "x" * 27, "a.b"])
def test_a_run_that_is_none_names_no_file(tmp_path, session, run, prepare):
    with pytest.raises(SiteStateError, match="expected the ULID of a run"):
        SiteStates(tmp_path).load(run, prepare)


def test_nothing_is_kept_without_a_folder(session, prepare):
    states = SiteStates(None)
    states.save(session)
    assert states.load(RUN, prepare) is None
    assert states.runs() == []
    assert not states.kept


def model_of(site: Site) -> bytes:
    model = site.release().model
    return ParameterLayout.of(model).flatten(model.state()).tobytes()


@pytest.fixture
def at_home(make_site, key, preset, tmp_path):
    """A site with a disk; each call is a start of its process."""

    def start() -> Site:
        return make_site(
            cipher=PackedCipher(key, preset),
            journal=AttemptJournal(tmp_path / "attempts"),
            states=SiteStates(tmp_path / "states"),
        )

    return start


def test_a_restarted_site_goes_on_and_answers_no_attempt_twice(at_home, make_plan):
    first = at_home()
    first.follow(make_plan())
    again = at_home()
    with pytest.raises(PlanError, match="has done attempt 1 at round 1"):
        again.follow(make_plan())
    assert again.follow(make_plan(attempt=2)).update
    assert model_of(again) == model_of(first)


def test_a_site_that_died_after_its_step_does_not_take_it_again(at_home, make_plan, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*args):
        raise Killed

    site = at_home()
    with monkeypatch.context() as patch:
        patch.setattr(Site, "_work", die)
        with pytest.raises(Killed):
            site.follow(make_plan())
    back = at_home()
    with pytest.raises(PlanError, match="has done attempt 1 at round 1"):
        back.follow(make_plan())
    assert back.follow(make_plan(attempt=2)).update


def test_a_site_whose_states_are_lost_still_answers_no_attempt_twice(at_home, make_plan, tmp_path):
    at_home().follow(make_plan())
    for path in (tmp_path / "states").iterdir():
        path.unlink()
    with pytest.raises(ReplayedUpdateError):
        at_home().follow(make_plan())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said_so(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SiteStateError):
        SiteStates(tmp_path / "states")


def test_a_disk_that_is_full_keeps_the_old_state_and_no_answer_leaves(at_home, make_plan, monkeypatch):
    site = at_home()
    site.follow(make_plan())
    kept = site._states.load(RUN, site._agreements.prepare)

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SiteStateError, match="No space left"):
            site.follow(make_plan(attempt=2))
    assert same(site._states.load(RUN, site._agreements.prepare), kept)
    assert site.follow(make_plan(attempt=3)).update
    assert [path.name for path in site._states._folder.iterdir()] == [f"{RUN}.state"]


def test_the_newest_head_of_the_ledger_is_kept(at_home, make_plan, tmp_path):
    with open_database(tmp_path / "coordinator.db") as database:
        ledger = Ledger(database)
        ledger.append("config", {"round": 1})
        at_home().follow(make_plan(ledger_head=ledger.head().to_json()))
        assert at_home().ledger_head == ledger.head()
    (tmp_path / "states" / "ledger-head.json").write_text("{}")
    with pytest.raises(SiteStateError, match="cannot be read"):
        at_home()


def test_sessions_of_many_runs_are_kept_and_finished_ones_let_go_first(make_site, make_plan, monkeypatch):
    monkeypatch.setattr("nasturtium.federated.site.site.MAX_SESSIONS", 3)
    site = make_site()
    runs = [f"01JRUN{index}" for index in range(4)]
    for run in runs[:3]:
        site.follow(make_plan(run=run))
    site._find(runs[1]).finished = True
    site.follow(make_plan(run=runs[3]))
    assert list(site._sessions) == [runs[0], runs[2], runs[3]]
    for run in (runs[0], runs[2]):
        assert site.follow(make_plan(run=run, attempt=2)).update
    with pytest.raises(PlanError):
        site.release(runs[1])
    assert site.release(runs[0]).metadata == {"run": runs[0]}
