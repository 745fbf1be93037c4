"""The gate of a run: no two runs together exceed a budget, whatever their order; nothing is released uncharged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import inf

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasturtium.cli.app import exit_code
from nasturtium.federated.coordinator.privacy_gate import PrivacyGate
from nasturtium.privacy import Accountant, ClientDp, GaussianRelease, calibrate_client_dp
from nasturtium.storage import BudgetSpentError, Database, Ledger, SignedHead, Spend, open_database

RUNS = ["01K0AAAAAAAAAAAAAAAAAAAAAA", "01K0BBBBBBBBBBBBBBBBBBBBBB", "01K0CCCCCCCCCCCCCCCCCCCCCC"]
DATA = "sha256:11"
DELTA = 1e-5
ROUNDS = 2
MakeGate = Callable[..., PrivacyGate]


@pytest.fixture(scope="module")
def agreed() -> ClientDp:
    """Two rounds cost an epsilon of 8; one costs 5.3."""
    return calibrate_client_dp(8.0, DELTA, rounds=ROUNDS, clients=10, clip=1.0, bits=4, dimension=100)


@pytest.fixture(scope="module")
def costs(agreed) -> Sequence[float]:
    """Of 0, 1, 2, ... rounds of one run."""
    accountant, epsilons = Accountant(), [0.0]
    for _ in range(4):  # where the tails are still below delta
        accountant.add(agreed.event())
        epsilons.append(accountant.epsilon(DELTA))
    return epsilons


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with open_database(database_url) as database:
        yield database


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


@pytest.fixture
def make_gate(ledger, agreed) -> MakeGate:
    def make(run: int = 0, *, noise: bool = True, ledger: Ledger = ledger) -> PrivacyGate:
        return PrivacyGate(ledger, DATA, RUNS[run], agreed if noise else None, DELTA)

    return make


def spends(ledger: Ledger) -> Iterator[tuple[str, float]]:
    """The mechanism of each release, and the epsilon of all until then."""
    for entry in ledger.entries(subject=DATA, kind="spend"):
        yield entry.body["mechanism"], entry.body["total"]["epsilon"]


def test_two_runs_begun_at_once_do_not_both_complete(ledger, make_gate):
    ledger.set_budget(DATA, epsilon=9.0, delta=1e-3)
    gates = make_gate(0), make_gate(1)
    gates[0].authorise(1, "train")
    before = ledger.entries()
    with pytest.raises(
        BudgetSpentError, match=r"round 1 is not begun: it needs epsilon .*, delta 1e-05; left are"
    ) as refused:
        gates[1].authorise(1, "train")
    assert exit_code(refused.value) == 7
    assert ledger.entries() == before
    gates[0].authorise(2, "train")
    assert ledger.spent(DATA).epsilon <= 8.0
    with pytest.raises(BudgetSpentError, match="round 3 is not begun"):
        gates[0].authorise(3, "train")


def test_a_plan_is_refused_by_what_all_its_rounds_cost_and_nothing_is_charged(ledger, make_gate, costs):
    make_gate().check_plan(1000)  # there is no budget
    ledger.set_budget(DATA, epsilon=costs[3] * (1 + 1e-6), delta=1e-3)
    gate = make_gate()
    gate.check_plan(3)
    with pytest.raises(
        BudgetSpentError,
        match=r"^the run needs epsilon .*, delta 1e-05; left are .* and 0.001: epsilon is what is missing",
    ) as refused:
        gate.check_plan(4)
    assert exit_code(refused.value) == 7
    assert ledger.spent(DATA).releases == 0
    gate.authorise(1, "train")
    gate.check_plan(2)
    make_gate().check_plan(2)  # what the run has charged counts, whoever asks
    with pytest.raises(BudgetSpentError, match=r"^the run needs epsilon .*, delta 0; left are"):
        gate.check_plan(3)
    with pytest.raises(BudgetSpentError, match="epsilon is what is missing"):
        make_gate(1).check_plan(2)
    for number in (2, 3):
        gate.authorise(number, "train")
    assert ledger.spent(DATA).epsilon == pytest.approx(costs[3])


@pytest.mark.parametrize(
    ("budget", "missing"),
    [
        pytest.param((100.0, 1e-6), "left are 100 and 1e-06: delta is what is missing", id="delta"),
        pytest.param((1.0, 1e-6), "left are 1 and 1e-06: epsilon and delta are what is missing", id="both"),
    ],
)
def test_what_is_missing_is_named(ledger, make_gate, budget, missing):
    ledger.set_budget(DATA, epsilon=budget[0], delta=budget[1])
    for ask in (lambda: make_gate().check_plan(ROUNDS), lambda: make_gate().authorise(1, "train")):
        with pytest.raises(BudgetSpentError, match=missing):
            ask()


def test_a_need_that_is_a_little_more_than_what_is_left_is_told_apart(ledger, make_gate, costs):
    ledger.set_budget(DATA, epsilon=costs[2] * (1 - 1e-6), delta=1e-3)
    with pytest.raises(BudgetSpentError) as refused:
        make_gate().check_plan(2)
    need, left = (part.split()[0] for part in str(refused.value).removeprefix("the run needs epsilon ").split(" are "))
    assert float(need.rstrip(",")) > float(left)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
@given(order=st.lists(st.integers(0, 2), min_size=1, max_size=8))
def test_runs_are_added_up_and_totals_never_decrease_whatever_their_order(tmp_path_factory, agreed, costs, order):
    with open_database(tmp_path_factory.mktemp("runs") / "history.db") as database:
        ledger = Ledger(database)
        gates = [PrivacyGate(ledger, DATA, run, agreed, DELTA) for run in RUNS]
        rounds = [0, 0, 0]
        for run in [run for place, run in enumerate(order) if order[:place].count(run) < len(costs) - 1]:
            rounds[run] += 1
            gates[run].authorise(rounds[run], "train")
            spent = ledger.spent(DATA)
            assert spent.epsilon == pytest.approx(sum(costs[count] for count in rounds), rel=1e-12)
            assert spent.delta == pytest.approx(DELTA * sum(count > 0 for count in rounds), rel=1e-12)
        totals = [total for _, total in spends(ledger)]
        assert all(less <= more for less, more in pairwise(totals))


def test_of_many_runs_that_ask_at_once_no_more_begin_than_the_budget_pays_for(ledger, agreed, costs):
    ledger.set_budget(DATA, epsilon=2.5 * costs[1], delta=0.1)
    gates = [PrivacyGate(ledger, DATA, f"01K0{letter * 22}", agreed, DELTA) for letter in "ABCDEFGH"]

    def begins(gate: PrivacyGate) -> bool:
        try:
            gate.authorise(1, "train")
        except BudgetSpentError:
            return False
        return True

    with ThreadPoolExecutor(len(gates)) as pool:
        assert sum(pool.map(begins, gates)) == 2
    assert ledger.spent(DATA).releases == 2


def test_a_round_is_charged_before_it_is_begun_and_the_sites_are_shown_so(ledger, make_gate):
    gate = make_gate()
    head = SignedHead.from_json(gate.authorise(1, "train"))
    [entry] = ledger.entries(kind="spend")
    assert (entry.body["round"], entry.head) == (1, head)
    gate.spend(1, "train")
    assert ledger.entries() == [entry]


def test_a_round_that_nobody_authorised_is_charged_with_the_callers_transaction(database, ledger, make_gate, costs):
    ledger.set_budget(DATA, epsilon=1.01 * costs[1], delta=DELTA)
    with database.write(durable=True) as session:
        make_gate().spend(1, "train", session)
        assert ledger.spent(DATA, session).releases == 1
        session.rollback()
    assert ledger.spent(DATA).releases == 0
    make_gate().spend(1, "train")
    with pytest.raises(BudgetSpentError):
        make_gate(1).spend(1, "train")
    assert ledger.spent(DATA).epsilon == pytest.approx(costs[1])


def test_a_run_goes_on_from_what_it_has_charged_and_a_round_that_is_run_again_is_charged_again(
    ledger, make_gate, costs
):
    make_gate(1).authorise(1, "train")
    make_gate().authorise(1, "train")
    again = make_gate()
    for number in (1, 1, 2):
        again.authorise(number, "train")
    alone = [costs[1], *(costs[1] + costs[count] for count in (1, 2, 3, 4))]
    names = ["SkellamSum", "SkellamSum", "SkellamSum, attempt 2", "SkellamSum, attempt 3", "SkellamSum"]
    assert list(spends(ledger)) == [(name, pytest.approx(total)) for name, total in zip(names, alone, strict=True)]


def test_runs_with_another_unit_of_privacy_are_added_up_and_every_entry_says_so(ledger, make_gate, costs):
    records = Accountant()
    records.add(GaussianRelease(noise_multiplier=1.0))
    record = records.statement(DELTA)
    spend = Spend(subject=DATA, run=RUNS[1], mechanism=record.mechanism, epsilon=record.epsilon, delta=DELTA)
    make_gate().authorise(1, "train")
    ledger.spend(spend)
    make_gate().authorise(2, "train")
    assert ledger.spent(DATA).epsilon == pytest.approx(record.epsilon + costs[2])
    assert ledger.spent(DATA).delta == pytest.approx(2 * DELTA)
    details = ledger.entries(run=RUNS[0])[-1].body["details"]
    assert details["composition"] == "basic: runs are added up, each in its own unit of privacy"
    assert (details["unit"], details["run"]) == ("site", {"epsilon": costs[2], "delta": DELTA})
    assert Accountant.from_details(details).epsilon(DELTA) == costs[1]


def test_a_total_that_somebody_gave_does_not_decrease(ledger, make_gate, costs):
    make_gate().authorise(1, "train")
    ledger.spend(
        Spend(subject=DATA, mechanism="other", epsilon=1.0, delta=0.0, total_epsilon=costs[1], total_delta=0.5)
    )
    make_gate().authorise(2, "train")
    assert ledger.spent(DATA).epsilon == pytest.approx(costs[2])
    assert ledger.spent(DATA).delta == 0.5


@pytest.mark.parametrize(
    ("phase", "mechanism"), [("train", "exact sum of updates"), ("evaluate", "exact counts")], ids=["train", "evaluate"]
)
def test_without_noise_any_budget_refuses_and_without_a_budget_epsilon_is_infinite(ledger, make_gate, phase, mechanism):
    make_gate(noise=False).authorise(1, phase)
    make_gate(noise=False).authorise(1, phase)
    assert list(spends(ledger)) == [(mechanism, "inf"), (f"{mechanism}, attempt 2", "inf")]
    make_gate(1).authorise(1, "train")  # with noise, which cannot help any more
    assert ledger.spent(DATA).epsilon == inf
    ledger.set_budget(DATA, epsilon=1e9, delta=0.5)
    with pytest.raises(BudgetSpentError, match="without noise, whose epsilon is unbounded"):
        make_gate(2, noise=False).authorise(1, phase)
    with pytest.raises(BudgetSpentError, match=r"left are 0 and .*: epsilon is what is missing"):
        make_gate(1).authorise(2, "train")


def test_a_round_that_only_reports_costs_nothing_and_is_never_refused(ledger, make_gate, costs):
    assert make_gate().authorise(3, "report") == ""
    ledger.set_budget(DATA, epsilon=costs[1] / 2, delta=DELTA)
    head = make_gate(noise=False).authorise(3, "report")
    assert SignedHead.from_json(head).sequence == 1
    assert ledger.spent(DATA).releases == 0
