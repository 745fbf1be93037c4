"""Flower apps for benchmarks: FedAvg of the default digits network, and clients that do nothing.

They use Flower's programming model alone, so that any of its grids runs them: ours, or Flower's own simulation on Ray.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Result

from nasturtium.core import Trainer, TrainingConfig, build, derive_rng, evaluate
from nasturtium.core.data import Preprocessing
from nasturtium.federated import SimulationConfig, SimulationSetup

SEED = 0


@cache
def load(clients: int) -> tuple[SimulationSetup, Preprocessing]:
    """The rows of all clients; once for each process."""
    setup = SimulationSetup.load(SimulationConfig(data="digits", clients=clients, seed=SEED))
    return setup, Preprocessing.fit(setup.pool.inputs, setup.pool.task)


def make_idle_app() -> ClientApp:
    """Clients that answer, and do nothing else."""
    app = ClientApp()

    @app.train()
    def nothing(message: Message, context: Context) -> Message:
        return Message(RecordDict(), reply_to=message)

    return app


def make_client_app() -> ClientApp:
    """Clients that train the default network for one epoch on their rows."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        index, clients = int(context.node_config["partition-id"]), int(context.node_config["num-partitions"])
        setup, preprocessing = load(clients)
        model = build(setup.spec, derive_rng(SEED, "layers", index))
        model.load_state(state_of(message.content.array_records["arrays"]))
        rows = setup.shares[index]
        config = TrainingConfig(schedule="constant", batch_size=32, epochs=1, patience=None)
        Trainer(model, config, derive_rng(SEED, "shuffle", index)).fit(preprocessing.apply(rows.inputs), rows.labels)
        content = RecordDict({"arrays": to_record(model.state()), "metrics": MetricRecord({"num-examples": len(rows)})})
        return Message(content, reply_to=message)

    return app


def train_once(grid: Grid, clients: int) -> Result:
    """One round of Flower's FedAvg over all clients."""
    setup, _ = load(clients)
    strategy = FedAvg(fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients)
    initial = to_record(build(setup.spec, derive_rng(SEED, "weights")).state())
    return strategy.start(grid, initial, num_rounds=1, train_config=ConfigRecord())


def to_record(state: Mapping[str, np.ndarray]) -> ArrayRecord:
    """Arrays by name."""
    return ArrayRecord({name: Array(array) for name, array in state.items()})


def state_of(record: ArrayRecord) -> dict[str, np.ndarray]:
    """Its arrays by name."""
    return {name: array.numpy() for name, array in record.items()}


def judge(result: Result, clients: int) -> dict[str, Any]:
    """What a result is: how it does on rows that no client has, and two sums over its weights."""
    setup, preprocessing = load(clients)
    model = build(setup.spec, derive_rng(SEED, "replaced"))
    state = state_of(result.arrays)
    model.load_state(state)
    test = evaluate(model.eval(), preprocessing.apply(setup.held_out.inputs), setup.held_out.labels)
    flat = np.concatenate([array.ravel() for _, array in sorted(state.items())]).astype(np.float64)
    return {"accuracy": test.accuracy, "loss": test.loss, "norm": float(np.linalg.norm(flat)), "sum": float(flat.sum())}
