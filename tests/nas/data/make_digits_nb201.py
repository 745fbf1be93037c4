"""Trains the distinct cells of NAS-Bench-201 on noisy digits and writes the table `digits_nb201.npz`; see README.md.

python tests/nas/data/make_digits_nb201.py rows.jsonl          # 10 to 20 minutes of one core; goes on where it was
python tests/nas/data/make_digits_nb201.py rows.jsonl --pack   # rows.jsonl -> digits_nb201.npz
"""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np

from nasturtium.core import ModelSpec, build, derive_rng
from nasturtium.core.data import load_dataset
from nasturtium.core.nn import LayerSpec, Node, layer_spec
from nasturtium.core.train import Trainer, TrainingConfig
from nasturtium.nas.cells import NB201_EDGES, NB201_OPS, nb201_cell

SEED = 20_201
OPS = NB201_OPS[:4]  # without pooling
RELU = layer_spec("activation", function="relu")
WIDTH = 16  # channels
EPOCHS = 3
ROWS = {"train": 1_600, "val": 1_500}


def noisy_digits() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Digits moved by up to a pixel, a second one faintly over them, and noise: rows of shape (1, 8, 8)."""
    source = load_dataset("digits")
    images = source.inputs.reshape(-1, 8, 8).astype(np.float32) / 16.0
    rng = derive_rng(SEED, "data")
    order = rng.permutation(len(images))
    parts = {"train": order[:1_200], "val": order[1_200:]}
    made: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, pool in parts.items():
        chosen, other = rng.choice(pool, ROWS[name]), rng.choice(pool, ROWS[name])
        contrast = rng.uniform(0.6, 1.4, (ROWS[name], 1, 1))
        mixed = contrast * moved(images[chosen], rng) + 0.35 * moved(images[other], rng)
        noisy = mixed + rng.normal(0, 0.2, mixed.shape)
        made[name] = (noisy[:, None].astype(np.float32) - 0.5, source.labels[chosen])
    return made


def moved(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image moved by -1, 0 or 1 pixels along both axes."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    shifts = rng.integers(0, 3, (len(images), 2))
    return np.stack([image[i : i + 8, j : j + 8] for image, (i, j) in zip(padded, shifts, strict=True)])


def network(ops: tuple[str, ...]) -> ModelSpec:
    """Stem, cell, classifier: the benchmark's skeleton cut down to one cell, on images of 4 x 4."""
    stem = (layer_spec("conv2d", out_channels=WIDTH, kernel=3, stride=2, bias=False), layer_spec("batch_norm"))
    head = (layer_spec("batch_norm"), RELU, layer_spec("global_avg_pool"), layer_spec("linear", out_features=10))
    return ModelSpec((1, 8, 8), (*stem, *cell(ops, WIDTH), *head))


def cell(ops: tuple[str, ...], width: int) -> tuple[LayerSpec, ...]:
    """A cell as written, less the edges that give zero or lead nowhere; () for one that passes its input on."""
    used = {3}
    for op, (i, j) in sorted(zip(ops, NB201_EDGES, strict=True), key=lambda item: -item[1][1]):
        if j in used and op != "none":
            used.add(i)
    names = {0: "input"}
    nodes: list[Node] = []
    for j in (1, 2, 3):
        terms: list[str] = []
        for op, (i, target) in zip(ops, NB201_EDGES, strict=True):
            if target != j or j not in used or op == "none" or i not in names:
                continue
            if op == "skip_connect":
                terms.append(names[i])
                continue
            source = names[i]
            for step, spec in enumerate(operation(op, width)):
                nodes.append(Node(f"edge{i}{j}_{step}", spec, (source,)))
                source = nodes[-1].name
            terms.append(source)
        if len(terms) == 1:
            names[j] = terms[0]
        elif terms:
            nodes.append(Node(f"node{j}", layer_spec("add"), tuple(terms)))
            names[j] = f"node{j}"
    assert 3 in names, "a cell of zeros is no network"
    return () if names[3] == "input" else (layer_spec("graph", nodes=tuple(nodes)),)


def operation(op: str, width: int) -> tuple[LayerSpec, ...]:
    """The layers of an operation of the benchmark."""
    if op == "avg_pool_3x3":
        return (layer_spec("avg_pool2d", size=3, stride=1, padding=1, count_include_pad=False),)
    kernel = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}[op]
    return RELU, layer_spec("conv2d", out_channels=width, kernel=kernel, bias=False), layer_spec("batch_norm")


def trained(ops: tuple[str, ...], data: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Validation accuracy in per cent, parameters and multiply-accumulates; zeros for a cell that is always zero."""
    if nb201_cell(ops).expression == "0":
        return {"val_accuracy": 10.0, "parameters": 0, "macs": 0}
    spec = network(ops)
    model = build(spec, derive_rng(SEED, "weights", *ops))
    config = TrainingConfig(learning_rate=1e-2, epochs=EPOCHS, batch_size=100, patience=None)
    trainer = Trainer(model, config, derive_rng(SEED, "order", *ops))
    trainer.fit(*data["train"])
    plan = spec.plan()
    accuracy = trainer.measure(*data["val"])["accuracy"]
    return {"val_accuracy": round(100 * accuracy, 3), "parameters": plan.parameters, "macs": plan.macs}


def distinct() -> list[tuple[str, ...]]:
    """The first written cell of every key."""
    first: dict[str, tuple[str, ...]] = {}
    for ops in product(OPS, repeat=6):
        first.setdefault(nb201_cell(ops).key, ops)
    return list(first.values())


def train_all(path: Path) -> None:
    """Append a row for every cell that has none."""
    done = len(path.read_text().splitlines()) if path.exists() else 0
    data = noisy_digits()
    with path.open("a") as file:
        for ops in distinct()[done:]:
            file.write(json.dumps({"ops": [NB201_OPS.index(op) for op in ops], **trained(ops, data)}) + "\n")
            file.flush()


def pack(path: Path) -> None:
    """All rows as arrays, in the order of their operations."""
    rows = sorted((json.loads(line) for line in path.read_text().splitlines()), key=lambda row: row["ops"])
    np.savez_compressed(
        Path(__file__).with_name("digits_nb201.npz"),
        ops=np.array([row["ops"] for row in rows], np.uint8),
        val_accuracy=np.array([row["val_accuracy"] for row in rows], np.float32),
        parameters=np.array([row["parameters"] for row in rows], np.int32),
        macs=np.array([row["macs"] for row in rows], np.int32),
    )


if __name__ == "__main__":
    rows_file = Path(sys.argv[1])
    pack(rows_file) if "--pack" in sys.argv[2:] else train_all(rows_file)
