"""Budgets in files: what was authorised is not forgotten, by no crash and no process; what is damaged is not used."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError
from nasturtium.privacy.dp import budget_file
from nasturtium.privacy.dp.accountant import Accountant, Budget
from nasturtium.privacy.dp.events import DiscreteGaussianSum, Event, ExactRelease, GaussianRelease
from nasturtium.privacy.errors import BudgetExhaustedError, KeyFileError

EVENT = DiscreteGaussianSum(sigma=12.0, sites=9, l2=10.0, dimension=100, tail_delta=0.0)
OTHER = DiscreteGaussianSum(sigma=13.0, sites=9, l2=10.0, dimension=100, tail_delta=1e-30)
DELTA = 1e-5


def cost(count: int, event: Event = EVENT) -> float:
    accountant = Accountant()
    accountant.add(event, count)
    return accountant.epsilon(DELTA)


ENOUGH_FOR_THREE = cost(3) * 1.001


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "budget.json"


def open_budget(path: Path) -> Budget:
    return Budget.open(path, ENOUGH_FOR_THREE, DELTA)


def test_a_budget_goes_on_where_it_was_closed(path):
    for count in (1, 2, 3):
        _, total = open_budget(path).authorise([(EVENT, 1)])
        assert total.epsilon == pytest.approx(cost(count))
    before = path.read_bytes()
    with pytest.raises(BudgetExhaustedError, match="not made"):
        open_budget(path).authorise([(EVENT, 1)])
    assert path.read_bytes() == before
    assert open_budget(path).spent().epsilon == cost(3)


def test_a_file_says_all_that_an_accountant_knows(path):
    budget = Budget.open(path, math.inf, DELTA)
    releases = [(EVENT, 2), (OTHER, 1), (ExactRelease(what="a count"), 1)]
    alone, total = budget.authorise(releases)
    assert alone == total == budget.spent() == Budget.open(path, math.inf, DELTA).spent()
    accountant = Accountant()
    for event, count in releases:
        accountant.add(event, count)
    assert Budget.open(path, math.inf, DELTA).spent() == accountant.statement(DELTA)


def test_another_unit_of_privacy_is_refused_and_nothing_charged(path):
    open_budget(path).authorise([(EVENT, 1)])
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="no common epsilon"):
        open_budget(path).authorise([(GaussianRelease(noise_multiplier=9.0), 1)])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("epsilon", "delta"),
    [
        pytest.param(2 * ENOUGH_FOR_THREE, DELTA, id="larger-epsilon"),
        pytest.param(math.inf, DELTA, id="no-bound"),
        pytest.param(ENOUGH_FOR_THREE / 2, DELTA, id="smaller-epsilon"),
        pytest.param(ENOUGH_FOR_THREE, 10 * DELTA, id="larger-delta"),
    ],
)
def test_the_figures_of_a_file_change_only_where_it_is_said(path, epsilon, delta):
    budget = open_budget(path)
    budget.authorise([(EVENT, 3)])
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"got .* at") as refused:
        Budget.open(path, epsilon, delta)
    assert "change=True" in str(refused.value.hint)
    assert path.read_bytes() == before
    Budget.open(path, epsilon, delta, change=True)
    assert Budget.open(path, epsilon, delta).spent().details == budget.spent().details
    assert budget.spent().delta == delta  # who had it open goes by the new figures, too
    with pytest.raises(ConfigError):
        open_budget(path)


def test_a_larger_budget_that_was_agreed_pays_for_more(path):
    budget = open_budget(path)
    budget.authorise([(EVENT, 3)])
    Budget.open(path, cost(4), DELTA, change=True)
    budget.authorise([(EVENT, 1)])
    with pytest.raises(BudgetExhaustedError):
        budget.authorise([(EVENT, 1)])


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 1e-5), (math.nan, 1e-5), (1.0, 0.0), (1.0, 1.0)])
def test_figures_out_of_range_make_no_file(path, epsilon, delta):
    with pytest.raises(ConfigError, match="budget"):
        Budget.open(path, epsilon, delta)
    assert not path.exists()


SCRIPT = """
import os, sys
from pathlib import Path
from nasturtium.privacy.dp.accountant import Budget
from nasturtium.privacy.errors import BudgetExhaustedError
from nasturtium.privacy.dp.events import DiscreteGaussianSum
event = DiscreteGaussianSum(sigma=12.0, sites=9, l2=10.0, dimension=100, tail_delta=0.0)
budget = Budget.open(Path(sys.argv[1]), float(sys.argv[2]), 1e-5)
"""


def run(code: str, path: Path) -> int:
    words = [sys.executable, "-c", SCRIPT + code, str(path), repr(ENOUGH_FOR_THREE)]
    return subprocess.run(words, check=False).returncode


def test_a_killed_process_has_charged_what_it_was_told_it_may_release(path):
    assert run("budget.authorise([(event, 2)]); os.kill(os.getpid(), 9)", path) == -signal.SIGKILL
    assert open_budget(path).spent().epsilon == pytest.approx(cost(2))


@pytest.mark.parametrize(
    ("step", "charged"),
    [
        pytest.param("os.fsync", 1, id="before-it-is-on-the-disk"),
        pytest.param("Path.replace", 1, id="before-it-has-its-name"),
        pytest.param("os.close", 2, id="after-it-has-its-name"),
    ],
)
def test_a_process_that_died_while_it_wrote_leaves_the_old_state_or_the_new_one_and_no_lock(path, step, charged):
    open_budget(path).authorise([(EVENT, 1)])
    code = f"{step} = lambda *args: os.kill(os.getpid(), 9); budget.authorise([(event, 1)])"
    assert run(code, path) == -signal.SIGKILL
    assert open_budget(path).spent().epsilon == pytest.approx(cost(charged))
    open_budget(path).authorise([(EVENT, 3 - charged)])
    with pytest.raises(BudgetExhaustedError):
        open_budget(path).authorise([(EVENT, 1)])


def test_what_is_authorised_is_on_the_disk_first(path, monkeypatch):
    budget = open_budget(path)
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    budget.authorise([(EVENT, 1)])
    assert synced == [path.stat().st_ino, path.parent.stat().st_ino]


def test_of_several_processes_no_more_release_than_the_budget_pays_for(path):
    code = (
        "print('ready', flush=True); input()\n"
        "for _ in range(2):\n"
        "    try: budget.authorise([(event, 1)]); print('released')\n"
        "    except BudgetExhaustedError: print('refused')\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        sites = []
        for _ in range(3):
            words = [sys.executable, "-c", SCRIPT + code, str(path), repr(ENOUGH_FOR_THREE)]
            sites.append(stack.enter_context(subprocess.Popen(words, **pipes)))
            stack.callback(sites[-1].kill)
        for site in sites:
            assert site.stdout.readline() == "ready\n"
        for site in sites:
            site.stdin.write("go\n")
            site.stdin.flush()
        said = "".join(site.communicate(timeout=60)[0] for site in sites)
    assert (said.count("released"), said.count("refused")) == (3, 3)
    assert open_budget(path).spent().details["events"][0]["count"] == 3


@pytest.mark.parametrize("kind", ["in-memory", "in-a-file", "opened-by-each"])
def test_of_several_threads_no_more_release_than_the_budget_pays_for(path, kind):
    budget = Budget(ENOUGH_FOR_THREE, DELTA) if kind == "in-memory" else open_budget(path)

    def releases(_: int) -> bool:
        try:
            (open_budget(path) if kind == "opened-by-each" else budget).authorise([(EVENT, 1)])
        except BudgetExhaustedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(releases, range(8))) == 3
    assert budget.spent().details["events"][0]["count"] == 3


def test_a_lock_that_is_held_for_long_is_an_error(path, monkeypatch):
    budget = open_budget(path)
    monkeypatch.setattr(budget_file, "_WAIT_S", 0.01)
    with budget_file.BudgetFile(path).taking_turns(), pytest.raises(KeyFileError, match="cannot lock"):
        budget.authorise([(EVENT, 1)])
    budget.authorise([(EVENT, 1)])


def test_a_digit_that_no_float_holds_is_damage_too(path):
    open_budget(path).authorise([(EVENT, 1)])
    text = path.read_text()
    [figure] = re.findall(r'"delta":([0-9.e-]+)', text)[:1]
    longer = f"{float(figure):.25e}"
    assert float(longer) == float(figure)
    path.write_text(text.replace(f'"delta":{figure}', f'"delta":{longer}', 1))
    with pytest.raises(KeyFileError):
        open_budget(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_a_damaged_file_is_refused_and_not_begun_anew(path, data):
    path.unlink(missing_ok=True)
    budget = open_budget(path)
    budget.authorise([(EVENT, 1), (OTHER, 1)])
    whole = path.read_bytes()
    if data.draw(st.booleans(), "cut"):
        damaged = whole[: data.draw(st.integers(0, len(whole) - 2))]  # but for the newline
    else:
        place, bit = data.draw(st.integers(0, len(whole) - 2)), data.draw(st.integers(0, 7))
        damaged = whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
    path.write_bytes(damaged)
    for use in (lambda: open_budget(path), lambda: budget.authorise([(EVENT, 1)]), budget.spent):
        with pytest.raises(KeyFileError):
            use()
    assert path.read_bytes() == damaged


def rewrite(path: Path, **changes: object) -> None:
    """What somebody would write who knows of the hash."""
    document = json.loads(path.read_text()) | changes
    document["sha256"] = budget_file._sha256(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"epsilon": -1.0}, id="epsilon"),
        pytest.param({"epsilon": "8"}, id="epsilon-as-text"),
        pytest.param({"delta": None}, id="no-delta"),
        pytest.param({"events": None}, id="no-events"),
        pytest.param({"events": ["ab"]}, id="events-of-text"),
        pytest.param({"events": [{"event": "Unheard", "count": 1}]}, id="unknown-event"),
        pytest.param({"events": [{"event": "ExactRelease", "what": "x", "count": 0}]}, id="count"),
        pytest.param({"version": 2}, id="newer-version"),
        pytest.param({"format": "nasturtium.key-file"}, id="other-format"),
        pytest.param({"more": 1}, id="more-fields"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(path, changes):
    open_budget(path)
    rewrite(path, **changes)
    with pytest.raises(KeyFileError, match="no privacy budget that this version can read"):
        Budget.open(path, ENOUGH_FOR_THREE, DELTA, change=True)


def test_a_number_without_a_canonical_form_is_refused(path):
    open_budget(path)
    path.write_text(path.read_text().replace("1e-05", "1e999"))
    with pytest.raises(KeyFileError, match="no privacy budget"):
        open_budget(path)


def test_a_file_that_is_taken_away_is_not_made_again_while_it_is_in_use(path):
    budget = open_budget(path)
    path.unlink()
    with pytest.raises(KeyFileError, match="cannot read"):
        budget.authorise([(EVENT, 1)])
    assert not path.exists()


def test_more_kinds_of_releases_than_can_be_read_back_are_refused(path, monkeypatch):
    monkeypatch.setattr(budget_file, "MAX_BUDGET_BYTES", 600)
    budget = open_budget(path)
    budget.authorise([(EVENT, 1)])
    others = [(DiscreteGaussianSum(sigma=50.0 + n, sites=9, l2=1.0, dimension=1, tail_delta=0.0), 1) for n in range(5)]
    with pytest.raises(KeyFileError, match="too many kinds"):
        budget.authorise(others)
    assert open_budget(path).spent().epsilon == cost(1)


def test_the_files_are_their_owners(path):
    before = os.umask(0)
    try:
        open_budget(path).authorise([(EVENT, 1)])
    finally:
        os.umask(before)
    assert {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {
        "budget.json": 0o600,
        "budget.json.lock": 0o600,
    }
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="its mode is 640"):
        open_budget(path)


def test_links_pipes_and_folders_are_refused(path, tmp_path):
    path.symlink_to(tmp_path / "elsewhere")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for place in (path, pipe, tmp_path, tmp_path / "no" / "folder"):
        with pytest.raises(KeyFileError):
            open_budget(place)
    assert not (tmp_path / "elsewhere").exists()
