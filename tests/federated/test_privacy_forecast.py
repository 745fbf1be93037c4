"""The forecast of the ledger is that of the gate: a new run gets as many rounds as it says, and one more is refused."""

from __future__ import annotations

import pytest

from nasturtium.federated.coordinator.privacy_gate import PrivacyGate
from nasturtium.privacy import ClientDp, calibrate_client_dp
from nasturtium.storage import BudgetSpentError, Ledger, open_database

RUNS = ("01K0AAAAAAAAAAAAAAAAAAAAAA", "01K0BBBBBBBBBBBBBBBBBBBBBB")
DATA = "1f" * 32
DELTA = 1e-5


@pytest.fixture(scope="module")
def private() -> ClientDp:
    return calibrate_client_dp(8.0, DELTA, rounds=2, clients=10, clip=1.0, bits=4, dimension=100)


@pytest.mark.parametrize(
    ("epsilon", "delta", "rounds"),
    [
        pytest.param(100.0, DELTA, 0, id="delta-is-spent"),
        pytest.param(100.0, DELTA / 2, 0, id="delta-is-overspent"),
        pytest.param(13.0, 2 * DELTA, 0, id="less-than-a-first-round-of-epsilon"),
        pytest.param(14.0, 2 * DELTA, 1, id="one-round"),
        pytest.param(16.5, 2 * DELTA, 2, id="as-many-as-before"),
    ],
)
def test_a_new_run_gets_the_rounds_that_were_forecast(tmp_path, private, epsilon, delta, rounds):
    with open_database(tmp_path / "history.db") as database:
        ledger = Ledger(database)
        first, second = (PrivacyGate(ledger, DATA, run, private, DELTA) for run in RUNS)
        for number in (1, 2):
            first.authorise(number, "train")
        ledger.set_budget(DATA, epsilon=epsilon, delta=delta)
        assert ledger.rounds_left(DATA) == rounds
        for number in range(1, rounds + 1):
            second.authorise(number, "train")
        with pytest.raises(BudgetSpentError):
            second.authorise(rounds + 1, "train")


def test_a_forecast_beyond_the_rounds_of_the_last_run_is_kept(tmp_path, private):
    with open_database(tmp_path / "history.db") as database:
        ledger = Ledger(database)
        first, second = (PrivacyGate(ledger, DATA, run, private, DELTA) for run in RUNS)
        for number in (1, 2):
            first.authorise(number, "train")
        ledger.set_budget(DATA, epsilon=22.0, delta=2 * DELTA)
        rounds = ledger.rounds_left(DATA)
        assert rounds == 4
        for number in range(1, rounds + 1):
            second.authorise(number, "train")
