"""Robust rules: what sites open is what the rule says of all updates, as Flower does, and no liar moves it far."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower
from flwr.supercore.task_identity import TaskIdentity
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, Metrics, ModelSpec, build, derive_rng
from nasturtium.core.nn import layer_spec
from nasturtium.federated.compression import NoCompression
from nasturtium.federated.strategies import Bulyan, FedAvg, FederatedStrategy, Krum, Median, TrimmedMean
from nasturtium.federated.strategies.robust import krum_scores
from nasturtium.federated.updates.exchange import Exchange
from nasturtium.federated.updates.robust_sum import RobustAdder
from nasturtium.federated.updates.symbols import Contribution, Total, UpdateSymbols
from nasturtium.privacy import (
    MalformedUpdateError,
    PackedAdder,
    PlainAdder,
    PlainCipher,
    SecretKey,
    TooFewSitesError,
    smallest_preset,
)

SPEC = ModelSpec(
    (4,), (layer_spec("linear", out_features=5), layer_spec("batch_norm"), layer_spec("linear", out_features=3))
)
MODEL = build(SPEC, derive_rng(0, "weights"))
PRESET = smallest_preset(12, 8)
BOUND = 0.25
STEP = 2 * BOUND / (PRESET.levels - 1)
MAX_ROWS = 1000
RULES = [Median(), TrimmedMean(fraction=0.2), Krum(liars=1), Krum(liars=1, chosen=3), Bulyan(liars=1)]
ids = ["median", "trimmed-mean", "krum", "multi-krum", "bulyan"]


def exchange_of(made: FederatedStrategy) -> Exchange:
    return Exchange.of(MODEL, PRESET, None, made, NoCompression())


SYMBOLS = exchange_of(Median()).symbols
assert isinstance(SYMBOLS, UpdateSymbols)
RANGES = SYMBOLS.first_ranges(BOUND)
QUANTISED = SYMBOLS.layout.parameters


def honest(seed: int, sites: int) -> list[np.ndarray]:
    """Changes around a common one, each a level or an exact number, so that nothing is rounded."""
    rng = np.random.default_rng(seed)
    common = 0.05 * rng.standard_normal(SYMBOLS.layout.size)
    changes = common + 0.02 * rng.standard_normal((sites, SYMBOLS.layout.size))
    rounded = np.rint(changes * 2**20) / 2**20
    rounded[:, QUANTISED] = STEP * np.rint(changes[:, QUANTISED] / STEP)
    return list(rounded)


def body_of(change: np.ndarray, weight: float = 1.0, measured: Metrics | None = None) -> bytes:
    said = Contribution(change, weight, measured or Metrics(3.0, 5, 10))
    return PlainCipher(PRESET).encrypt(SYMBOLS.encode(said, RANGES, np.random.default_rng(0)))


def total_of(made: FederatedStrategy, bodies: list[bytes]) -> Total:
    adder = RobustAdder.around(PlainAdder(PRESET), exchange_of(made), MAX_ROWS)
    growing = adder.start(SYMBOLS.values)
    for body in bodies:
        growing.add(memoryview(body))
    sums = PlainCipher(PRESET).decrypt(growing.body(), SYMBOLS.values)
    return SYMBOLS.decode(sums, len(bodies), RANGES)


def mean_of(made: FederatedStrategy, changes: list[np.ndarray]) -> np.ndarray:
    total = total_of(made, [body_of(change) for change in changes])
    assert total.weight == len(changes)
    return total.change / total.weight


def flowers(theirs: flower.FedAvg, changes: list[np.ndarray]) -> np.ndarray:
    """What Flower makes of the same changes, in units of the ranges as ours sees them."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    unit = np.ones(SYMBOLS.layout.size)
    unit[QUANTISED] = BOUND
    replies = [
        Message(
            RecordDict({"arrays": ArrayRecord({"w": Array(change / unit)}), "m": MetricRecord({"num-examples": 1})}),
            reply_to=Message(RecordDict(), 2 + node, "train"),
        )
        for node, change in enumerate(changes)
    ]
    arrays, _ = theirs.aggregate_train(1, replies)
    assert arrays is not None
    return arrays["w"].numpy() * unit


@pytest.mark.parametrize("sites", [7, 8, 11])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(Median(), lambda: flower.FedMedian(), id="median"),
        pytest.param(TrimmedMean(fraction=0.2), lambda: flower.FedTrimmedAvg(beta=0.2), id="trimmed-mean"),
        pytest.param(Krum(liars=2), lambda: flower.Krum(num_malicious_nodes=2), id="krum"),
        pytest.param(
            Krum(liars=2, chosen=4),
            lambda: flower.MultiKrum(num_malicious_nodes=2, num_nodes_to_select=4),
            id="multi-krum",
        ),
    ],
)
def test_a_rule_says_what_flowers_says_to_half_a_step_in_the_sum(ours, theirs, sites):
    for seed in range(5):
        changes = honest(seed, sites)
        np.testing.assert_allclose(
            mean_of(ours, changes), flowers(theirs(), changes), rtol=0, atol=0.51 * STEP / sites + 1e-7
        )


@pytest.mark.parametrize(("sites", "liars"), [(7, 1), pytest.param(12, 2, marks=pytest.mark.soak)])
def test_bulyan_joins_what_was_chosen_as_flowers_does(sites, liars):
    """Flower chooses by the scores of all at once, and takes another choice, too: given ours, it says the same."""
    rule = Bulyan(liars=liars).rule()
    updates = np.random.default_rng(0).standard_normal((sites, SYMBOLS.layout.size))
    squares = ((updates[:, None] - updates[None, :]) ** 2).sum(axis=2)
    chosen = rule.choose(squares)
    assert len(set(chosen)) == sites - 2 * liars

    def choose(replies: list[RecordDict], *told: int) -> list[RecordDict]:
        assert told == (liars, len(chosen))
        return [replies[i] for i in chosen]

    theirs = flower.Bulyan(num_malicious_nodes=liars, selection_rule=choose)
    scale = np.ones(SYMBOLS.layout.size)
    scale[QUANTISED] = BOUND  # which `flowers` takes out again
    np.testing.assert_allclose(rule.join(updates[chosen]), flowers(theirs, list(updates * scale)) / scale, atol=1e-12)


def test_bulyans_choice_is_krums_again_and_again():
    points = np.array([0.0, 0.1, 0.25, 0.45, 5.0, 0.7, 1.0])
    squares = (points[:, None] - points[None, :]) ** 2
    left, expected = list(range(7)), []
    for _ in range(5):
        part = squares[np.ix_(left, left)]
        scores = [np.sort(np.delete(row, i))[: max(1, len(left) - 3)].sum() for i, row in enumerate(part)]
        expected.append(left.pop(int(np.argmin(scores))))
    assert list(Bulyan(liars=1).rule().choose(squares)) == expected
    assert 4 not in expected


@pytest.mark.parametrize("made", RULES, ids=ids)
@given(seed=st.integers(0, 2**32), size=st.sampled_from([0.01, 1.0, 100.0]), sign=st.sampled_from([-1.0, 1.0]))
@settings(max_examples=15)
def test_one_liar_of_any_size_cannot_pull_the_model_beyond_the_honest(made, seed, size, sign):
    changes = honest(seed, 7)
    told = np.stack(changes)
    lie = sign * size * np.ones(SYMBOLS.layout.size)
    said = mean_of(made, [*changes[:3], lie, *changes[3:]])
    rounding = STEP / 8 + 1e-7
    assert (said >= told.min(axis=0) - rounding).all()
    assert (said <= told.max(axis=0) + rounding).all()


def test_the_plain_mean_has_no_such_bound():
    changes = honest(1, 7)
    lie = np.zeros(SYMBOLS.layout.size)
    lie[-1] = 100.0 * BOUND
    growing = PlainAdder(PRESET).start(SYMBOLS.values)
    for change in [*changes, lie]:
        growing.add(memoryview(body_of(change)))
    total = SYMBOLS.decode(PlainCipher(PRESET).decrypt(growing.body(), SYMBOLS.values), 8, RANGES)
    honest_mean = np.mean(changes, axis=0)
    assert abs(total.change[-1] / 8 - honest_mean[-1]) > BOUND / 16


@pytest.mark.parametrize("made", RULES, ids=ids)
@given(seed=st.integers(0, 2**32), order=st.permutations(range(7)))
@settings(max_examples=15)
def test_the_order_of_the_sites_does_not_matter(made, seed, order):
    bodies = [body_of(change) for change in honest(seed, 7)]
    one, other = total_of(made, bodies), total_of(made, [bodies[i] for i in order])
    np.testing.assert_array_equal(one.change, other.change)
    np.testing.assert_array_equal(one.fills, other.fills)
    assert one.measured == other.measured


@pytest.mark.parametrize("made", RULES, ids=ids)
def test_where_all_say_the_same_that_is_what_is_said(made):
    [change] = honest(3, 1)
    np.testing.assert_allclose(mean_of(made, [change] * 8), change, rtol=0, atol=1e-7)


@pytest.mark.parametrize("made", RULES, ids=ids)
def test_counts_are_sums_and_the_use_of_ranges_is_the_median(made):
    changes = honest(4, 7)
    lie = np.full(SYMBOLS.layout.size, 10.0)
    bodies = [body_of(change, measured=Metrics(4.0, i, 10)) for i, change in enumerate(changes)]
    total = total_of(made, [*bodies, body_of(lie, measured=Metrics(4.0, 0, 0))])
    assert (total.measured.rows, total.measured.correct) == (70, 21)
    assert total.measured.loss_sum == pytest.approx(32.0)
    assert (total.fills < 0.5).all()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param({"weight": 0.5}, "another weight than 1", id="weight"),
        pytest.param({"weight": 2.0}, "another weight than 1", id="heavy"),
        pytest.param({"measured": Metrics(1.0, 11, 10)}, "impossible counts: 11 of 10 rows", id="more-correct"),
        pytest.param({"measured": Metrics(1.0, 0, MAX_ROWS + 1)}, "impossible counts: 0 of 1001 rows", id="rows"),
        pytest.param({"measured": Metrics(-1.0, 0, 10)}, "impossible counts", id="loss"),
    ],
)
def test_what_no_site_would_say_is_refused_and_the_sum_goes_on(said, told):
    adder = RobustAdder.around(PlainAdder(PRESET), exchange_of(Median()), MAX_ROWS)
    growing = adder.start(SYMBOLS.values)
    changes = honest(5, 3)
    for change in changes:
        growing.add(memoryview(body_of(change)))
    with pytest.raises(MalformedUpdateError, match=told):
        growing.add(memoryview(body_of(changes[0], **said)))
    with pytest.raises(MalformedUpdateError):
        growing.add(memoryview(b"\xff" * len(body_of(changes[0]))))
    sums = PlainCipher(PRESET).decrypt(growing.body(), SYMBOLS.values)
    np.testing.assert_allclose(
        SYMBOLS.decode(sums, 3, RANGES).change / 3, np.median(changes, axis=0), rtol=0, atol=1e-6
    )


def test_too_few_updates_for_a_rule_give_no_sum():
    with pytest.raises(TooFewSitesError, match="the rule needs 5 updates, got 4"):
        total_of(Krum(liars=1), [body_of(change) for change in honest(6, 4)])
    with pytest.raises(TooFewSitesError, match="the rule needs 7 updates, got 6"):
        total_of(Bulyan(liars=1), [body_of(change) for change in honest(6, 6)])


def test_a_rule_needs_updates_that_it_can_read():
    key = SecretKey.generate()
    with pytest.raises(ConfigError, match="median needs updates in the clear, got the scheme packed"):
        RobustAdder.around(PackedAdder(PRESET, key.key_id), exchange_of(Median()), MAX_ROWS)
    packed = PackedAdder(PRESET, key.key_id)
    assert RobustAdder.around(packed, exchange_of(FedAvg()), MAX_ROWS) is packed


def test_scores_are_sums_of_the_nearest_distances():
    points = np.array([0.0, 1.0, 3.0, 7.0, 20.0])
    distances = (points[:, None] - points[None, :]) ** 2
    np.testing.assert_array_equal(krum_scores(distances, 1), [1 + 9, 1 + 4, 4 + 9, 16 + 36, 169 + 289])


@given(seed=st.integers(0, 2**32), summands=st.integers(1, 12))
def test_integers_as_if_said_are_those_integers(seed, summands):
    count = len(SYMBOLS.integers(np.zeros(SYMBOLS.values, np.uint8)))
    integers = summands * np.random.default_rng(seed).integers(-(2**32), 2**32 - 1, count) + seed % summands
    limbs = SYMBOLS.as_if_said(integers, summands)
    assert limbs.max() <= summands * (PRESET.levels - 1)
    whole = np.concatenate([np.zeros(SYMBOLS.quantised, np.int64), limbs])
    np.testing.assert_array_equal(SYMBOLS.integers(whole, summands), integers)
