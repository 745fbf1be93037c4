"""`bagged_trees`: gradient-boosted trees, whose union over the sites is the model: XGBoost, in the clear only.

In a round each site boosts a few trees on its own rows, from where the model stands. The trees of all sites join it,
each with its part of the vote, 1 / sites, so the model moves by the mean of what the sites would add to a row's scores.

Trees cannot be added as weights can. The model's tensor has a slot for each site and round, and a site writes into its
own one; the sum of all updates is then the union. A mark beside the bytes tells by how much the sum was divided: they
are read back exactly for every site of at least a ten-thousandth of the plan's `max_rows`, and not at all below.

Threat model: all sites and the coordinator see which trees are whose, and a tree tells of the rows it was grown on:
where values lie, and what the few rows of a leaf are like. An encryption would hide that from nobody who opens the sum,
so the model is refused under one. What rows weigh in a node is not part of what travels. Trees of others are data from
outside: damaged ones, or such as no booster grows, are left out at all sites alike.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from ...core import ConfigError, DataError, FormatError, MissingExtraError, canonical_json, parse_json
from ...core.data import Task
from ..protocol.rounds import LocalTraining
from ..updates.model_tensors import ModelTensor, ModelTensors
from .base import LocalExamples, ModelAdapter, Tensors

try:
    import xgboost as _xgboost
except ImportError as exc:
    raise MissingExtraError("trees of XGBoost", "xgboost") from exc

xgboost: Any = _xgboost
_TREES: Final = "trees"
_WORD: Final = 2**16  # of two bytes, a number of a slot
_MARK: Final = 255.0  # numbers and marks are below 256, as what travels exactly must be
_SCALE: Final = 256.0
_HEAD: Final = 8  # bytes before the trees of a slot: their number, and their CRC-32
_MOST_ROOM: Final = 2**20
_MOST_JSON: Final = 2**24  # bytes of the trees of one slot
_NO_PARENT: Final = 2**31 - 1
_LARGEST_FLOAT: Final = float(np.finfo(np.float32).max)


def bagged_trees(
    task: Task,
    *,
    sites: tuple[str, ...],
    rounds: int = 10,
    trees: int = 1,
    depth: int = 4,
    learning_rate: float = 0.3,
    penalty: float = 1.0,
    room: int = 4096,
    threads: int = 1,
) -> ModelAdapter:
    """Trees of all sites.

    Args:
        task: a classification.
        sites: the names of all that take part.
        rounds: that the model has room for; later ones change nothing.
        trees: boosting steps of a site in a round; each has a tree for each class.
        depth: of a tree, 1 to 12.
        learning_rate: of a boosting step, in (0, 1].
        penalty: of squared leaf values; >= 0.
        room: bytes of a site's trees in a round, compressed; even.
        threads: to grow trees with.

    Raises:
        ConfigError: out of range.
        DataError: no classification.
    """
    if task.kind != "classification" or len(task.classes) < 2:
        raise DataError("the model tells classes apart, and there are none", hint="choose a target that has classes")
    if not sites or len(set(sites)) != len(sites):
        raise ConfigError(f"expected the names of different sites, got {', '.join(sites[:5]) or 'none'}")
    if min(rounds, trees, threads) < 1 or not 1 <= depth <= 12 or not _HEAD < room <= _MOST_ROOM or room % 2:
        raise ConfigError(
            f"expected rounds, trees and threads >= 1, depth 1 to 12 and an even room of {_HEAD + 2} to {_MOST_ROOM} "
            f"bytes, got {rounds}, {trees}, {threads}, {depth} and {room}"
        )
    if not (0 < learning_rate <= 1 and penalty >= 0):
        raise ConfigError(f"expected 0 < learning_rate <= 1 and penalty >= 0, got {learning_rate} and {penalty}")
    return _BaggedTrees(
        classes=len(task.classes),
        features=prod(task.input_shape),
        sites=sites,
        rounds=rounds,
        trees=trees,
        room=room,
        settings={
            "objective": "multi:softprob",
            "num_class": len(task.classes),
            "base_score": 0.0,
            "max_depth": depth,
            "eta": learning_rate,
            "lambda": penalty,
            "nthread": threads,
            "verbosity": 0,
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _BaggedTrees:
    """See `ModelAdapter`."""

    classes: int
    features: int
    sites: tuple[str, ...]
    rounds: int
    trees: int
    room: int
    settings: dict[str, Any]

    @property
    def in_the_clear(self) -> str:
        """See `ModelAdapter`."""
        return (
            "is the union of the trees of all sites, which shows each site's to all the others: an encryption would "
            "promise to hide what it does not"
        )

    @property
    def tensors(self) -> ModelTensors:
        """A slot for each round and site: two bytes a number, and the mark."""
        shape = (self.rounds, len(self.sites), self.room // 2 + 1)
        return ModelTensors((ModelTensor(name=_TREES, shape=shape, kind="buffer"),))

    def initial(self, seed: int) -> Tensors:
        """No trees."""
        return {each.name: np.zeros(each.shape, np.float32) for each in self.tensors.tensors}

    def train(
        self, tensors: Tensors, examples: LocalExamples, training: LocalTraining, rng: np.random.Generator
    ) -> Tensors:
        """Grow trees into the site's slot of the first round that nobody has grown any in; see `ModelAdapter`."""
        if examples.site not in self.sites:
            raise ConfigError(f"{examples.site} is none of the sites the model has room for")
        slots = tensors[_TREES].copy()
        free = np.flatnonzero((slots[:, :, -1] <= 0).all(axis=1))
        if not len(free):
            return {_TREES: slots}
        rows = xgboost.DMatrix(
            examples.inputs.reshape(len(examples.inputs), -1),
            label=examples.labels,
            base_margin=self.logits(tensors, examples.inputs),
            nthread=self.settings["nthread"],
        )
        booster = xgboost.train(self.settings | {"seed": int(rng.integers(2**31))}, rows, self.trees)
        grown = _booster_document(booster)["learner"]["gradient_booster"]["model"]["trees"]
        slots[free[0], self.sites.index(examples.site)] = _write_slot([_short(tree) for tree in grown], self.room)
        return {_TREES: slots}

    def logits(self, tensors: Tensors, inputs: np.ndarray) -> np.ndarray:
        """See `ModelAdapter`."""
        if not len(inputs):
            return np.zeros((0, self.classes), np.float32)
        booster: Any = self.native(tensors)
        rows = xgboost.DMatrix(inputs.reshape(len(inputs), -1), nthread=self.settings["nthread"])
        margins: np.ndarray = booster.predict(rows, output_margin=True)
        return margins.reshape(len(inputs), self.classes)

    def native(self, tensors: Tensors) -> object:
        """The booster of all trees."""
        one = xgboost.DMatrix(np.zeros((1, self.features), np.float32), label=np.zeros(1))
        document = _booster_document(xgboost.train(self.settings, one, 0))
        model = document["learner"]["gradient_booster"]["model"]
        model["trees"] = [_long(tree, place, self.features) for place, tree in enumerate(self._union(tensors))]
        count = len(model["trees"])
        model["tree_info"] = [place % self.classes for place in range(count)]
        model["iteration_indptr"] = list(range(0, count + 1, self.classes))
        model["gbtree_model_param"]["num_trees"] = str(count)
        booster = xgboost.Booster({"nthread": self.settings["nthread"]})
        booster.load_model(bytearray(json.dumps(document).encode()))
        return booster

    def save(self, tensors: Tensors, folder: Path) -> None:
        """XGBoost's own JSON."""
        booster: Any = self.native(tensors)
        (folder / "xgboost.json").write_bytes(bytes(booster.save_raw("json")))

    def _union(self, tensors: Tensors) -> list[dict[str, list[Any]]]:
        """The trees of all slots, with their parts of the vote; what is no tree is left out."""
        union: list[dict[str, list[Any]]] = []
        for slots in tensors[_TREES]:
            groups: list[list[dict[str, list[Any]]]] = []
            for slot in slots:
                if slot[-1] > 0:
                    try:
                        groups.append(self._read_slot(slot))
                    except FormatError:
                        continue
            for group in groups:
                for tree in group:
                    values = [
                        value / len(groups) if left < 0 else value
                        for value, left in zip(tree["value"], tree["left"], strict=True)
                    ]
                    union.append({**tree, "value": values})
        return union

    def _read_slot(self, slot: np.ndarray) -> list[dict[str, list[Any]]]:
        """The trees in a slot.

        Raises:
            FormatError: it holds none.
        """
        content = _content(slot)
        size, crc = int.from_bytes(content[:4], "big"), int.from_bytes(content[4:_HEAD], "big")
        packed = content[_HEAD : _HEAD + size]
        if len(packed) != size or zlib.crc32(packed) != crc:
            raise FormatError("a slot whose trees are damaged")
        try:
            text = zlib.decompressobj().decompress(packed, _MOST_JSON).decode()
        except (zlib.error, UnicodeDecodeError) as exc:
            raise FormatError("a slot whose trees are damaged") from exc
        trees = parse_json(text)
        if not isinstance(trees, list) or len(cast(list[object], trees)) != self.trees * self.classes:
            raise FormatError(f"expected {self.trees * self.classes} trees")
        most = 2 ** (int(self.settings["max_depth"]) + 1) - 1
        return [_checked(tree, self.features, most) for tree in cast(list[object], trees)]


_FIELDS: Final = {
    "feature": "split_indices",
    "value": "split_conditions",  # a threshold, or what a leaf adds
    "left": "left_children",
    "right": "right_children",
    "missing_left": "default_left",
}


def _booster_document(booster: Any) -> dict[str, Any]:
    return json.loads(bytes(booster.save_raw("json")))


def _short(tree: dict[str, Any]) -> dict[str, list[Any]]:
    """What of a tree travels: how it decides, and not how many rows it saw."""
    return {short: tree[long] for short, long in _FIELDS.items()}


def _long(tree: dict[str, list[Any]], place: int, features: int) -> dict[str, Any]:
    """A tree as XGBoost reads it."""
    count = len(tree["left"])
    parents = [_NO_PARENT] * count
    for node, (left, right) in enumerate(zip(tree["left"], tree["right"], strict=True)):
        if left >= 0:
            parents[left] = parents[right] = node
    values = [value if left < 0 else 0.0 for value, left in zip(tree["value"], tree["left"], strict=True)]
    return {long: tree[short] for short, long in _FIELDS.items()} | {
        "base_weights": values,
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "id": place,
        "loss_changes": [0.0] * count,
        "parents": parents,
        "split_type": [0] * count,
        "sum_hessian": [0.0] * count,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(features),
            "num_nodes": str(count),
            "size_leaf_vector": "1",
        },
    }


def _content(slot: np.ndarray) -> bytes:
    """The bytes in a slot.

    Raises:
        FormatError: there are none.
    """
    words = np.rint(slot[:-1].astype(np.float64) * (_SCALE * _MARK / float(slot[-1])))
    if not (np.isfinite(words).all() and (words >= 0).all() and (words < _WORD).all()):
        raise FormatError("a slot that holds no bytes")
    return words.astype(">u2").tobytes()


def _write_slot(trees: Sequence[dict[str, list[Any]]], room: int) -> np.ndarray:
    """Trees as bytes, and the mark: shape (room / 2 + 1,).

    Raises:
        ConfigError: they do not fit.
    """
    packed = zlib.compress(canonical_json(list(trees)).encode(), 9)
    if _HEAD + len(packed) > room:
        raise ConfigError(
            f"the trees take {_HEAD + len(packed)} bytes, and a site's slot has {room}",
            hint="raise the option room, or grow fewer or smaller trees",
        )
    content = len(packed).to_bytes(4, "big") + zlib.crc32(packed).to_bytes(4, "big") + packed
    words = np.frombuffer(content.ljust(room, b"\0"), ">u2").astype(np.float32) / np.float32(_SCALE)
    return np.append(words, np.float32(_MARK))


def _checked(value: object, features: int, most: int) -> dict[str, list[Any]]:
    """A tree from outside.

    Raises:
        FormatError: it is none.
    """
    tree = cast(dict[str, list[Any]], value) if isinstance(value, dict) else {}
    if set(tree) != set(_FIELDS) or not all(isinstance(each, list) for each in cast(dict[str, object], tree).values()):
        raise FormatError(f"expected {', '.join(_FIELDS)} of a tree")
    count = len(tree["left"])
    if not 1 <= count <= most or any(len(each) != count for each in tree.values()):
        raise FormatError(f"expected a tree of 1 to {most} nodes")
    children: list[int] = []
    for node in range(count):
        feature, value_, left, right, missing = (tree[name][node] for name in _FIELDS)
        if not all(type(each) is int for each in (feature, left, right, missing)) or missing not in (0, 1):
            raise FormatError("expected whole numbers in a tree")
        if type(value_) not in (int, float) or not abs(value_) <= _LARGEST_FLOAT:
            raise FormatError("expected finite numbers in a tree")
        if left == right == -1:
            continue
        if not (node < left < count and node < right < count and 0 <= feature < features):
            raise FormatError("a tree whose nodes do not hang together")
        children += [left, right]
    if sorted(children) != list(range(1, count)):
        raise FormatError("a tree whose nodes do not hang together")
    return tree
