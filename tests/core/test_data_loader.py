"""The loader: the same batches with and without a thread and after a stop in the middle; no thread is left behind."""

from __future__ import annotations

import gc
import json
import threading
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, FormatError, ShapeError
from nasturtium.core.data import Compose, FlipHorizontal, Loader, LoaderState, RandomCrop

START = LoaderState(seed=7)


def rows(count: int, **options) -> Loader:
    """Rows that carry their own number."""
    numbers = np.arange(count)
    return Loader(numbers.astype(np.float32)[:, None], numbers * 10, **{"batch_size": 4} | options)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "nasturtium-prefetch"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert threads() == []


def epoch(loader: Loader, state: LoaderState = START) -> list[list[int]]:
    return [batch.rows.tolist() for batch in loader.batches(state)]


@given(
    count=st.integers(1, 30),
    batch_size=st.integers(1, 9),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    prefetch=st.integers(0, 3),
    seed=st.integers(0, 2**63 - 1),
)
@settings(deadline=None)
def test_an_epoch_shows_every_row_once(count, batch_size, shuffle, drop_last, prefetch, seed):
    options = {"batch_size": batch_size, "shuffle": shuffle, "drop_last": drop_last, "prefetch": prefetch}
    if drop_last and count < batch_size:
        with pytest.raises(ConfigError, match=f"{count} rows give no batch of {batch_size}"):
            rows(count, **options)
        return
    loader = rows(count, **options)
    batches = list(loader.batches(LoaderState(seed)))
    assert len(batches) == len(loader)
    seen = [row for batch in batches for row in batch.rows.tolist()]
    assert sorted(seen) == sorted(set(seen))
    assert len(seen) == (count - count % batch_size if drop_last else count)
    assert shuffle or seen == list(range(len(seen)))
    for batch in batches:
        np.testing.assert_array_equal(batch.inputs[:, 0], batch.rows)
        np.testing.assert_array_equal(batch.targets, batch.rows * 10)
    assert all(len(batch.rows) == batch_size for batch in batches[:-1])
    assert batches[-1].state == LoaderState(seed, epoch=1)


def augmented(prefetch: int) -> Loader:
    images = np.random.default_rng(0).normal(size=(23, 1, 4, 4)).astype(np.float32)
    change = Compose(FlipHorizontal(), RandomCrop(1))
    return Loader(images, np.arange(23), batch_size=4, prepare=lambda x: x * 2, augment=change, prefetch=prefetch)


def two_epochs(loader: Loader, state: LoaderState = START) -> list[tuple[bytes, bytes, LoaderState]]:
    batches = []
    for _ in range(2):
        for batch in loader.batches(state):
            batches.append((batch.inputs.tobytes(), batch.targets.tobytes(), batch.state))
            state = batch.state
    return batches


@pytest.mark.parametrize("prefetch", [1, 2, 50])
def test_batches_are_the_same_bits_with_and_without_a_thread(prefetch):
    expected = two_epochs(augmented(0))
    assert two_epochs(augmented(prefetch)) == expected
    assert len(expected) == len(set(expected)) == 12


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("done", range(12))
def test_the_sequence_goes_on_where_it_was_left(prefetch, done):
    """The state after any batch, through JSON and in a new loader, gives the rest of the sequence."""
    whole = two_epochs(augmented(0))
    state = LoaderState.from_dict(json.loads(json.dumps(whole[done][2].to_dict())))
    rest = two_epochs(augmented(prefetch), state)
    assert rest[: len(whole) - done - 1] == whole[done + 1 :]


def test_the_seed_decides_the_order_and_every_epoch_has_another():
    loader = rows(40)
    assert epoch(loader) == epoch(rows(40))
    orders = [epoch(loader, LoaderState(seed, number)) for seed in (1, 2) for number in (0, 1)]
    assert all(left != right for place, left in enumerate(orders) for right in orders[:place])
    first, second = (LoaderState.start(np.random.default_rng(seed)) for seed in (0, 1))
    assert first == LoaderState.start(np.random.default_rng(0)) != second


def test_every_batch_and_every_epoch_is_changed_in_its_own_way():
    images = np.tile(np.arange(16.0).reshape(1, 1, 4, 4), (24, 1, 1, 1))
    loader = Loader(images, np.arange(24), batch_size=12, augment=Compose(RandomCrop(2)))
    assert len({content for content, _, _ in two_epochs(loader)}) == 4


def test_the_loaders_arrays_are_not_changed():
    inputs, targets = np.ones((8, 1)), np.zeros(8)

    def spoil(batch, wanted, rng):
        batch[:] = 5
        wanted[:] = 5
        return batch, wanted

    for batch in Loader(inputs, targets, batch_size=4, shuffle=False, augment=spoil).batches(START):
        assert (batch.inputs == 5).all()
    assert (inputs == 1).all()
    assert (targets == 0).all()


# --- the thread ---


def test_no_more_batches_are_made_ahead_than_asked_for():
    """Two that wait and one in the making; the next is begun when one is taken."""
    begun = threading.Semaphore(0)
    loader = rows(40, batch_size=1, prefetch=2, shuffle=False, prepare=lambda x: (begun.release(), x)[1])
    batches = loader.batches(START)
    assert threads() == []
    for taken in range(3):
        next(batches)
        for _ in range(4 if taken == 0 else 1):
            assert begun.acquire(timeout=30)
        assert not begun.acquire(timeout=0.02)
    batches.close()


def test_batches_are_made_in_another_thread():
    names = []
    for prefetch in (0, 1):
        loader = rows(4, prefetch=prefetch, prepare=lambda x: (names.append(threading.current_thread().name), x)[1])
        assert len(list(loader.batches(START))) == 1
    assert names == [threading.current_thread().name, "nasturtium-prefetch"]


class WornOutError(Exception):
    pass


@pytest.mark.parametrize("prefetch", [0, 1, 8])
def test_an_error_comes_where_its_batch_would_have_come(prefetch):
    def fail(batch: np.ndarray) -> np.ndarray:
        if 8 in batch:
            raise WornOutError("a disk has gone")
        return batch

    batches = rows(40, prepare=fail, prefetch=prefetch, shuffle=False).batches(START)
    assert [batch.rows.tolist() for batch in islice(batches, 2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(WornOutError, match="a disk has gone") as caught:
        next(batches)
    assert list(batches) == []
    assert any(entry.name == "fail" for entry in caught.traceback)


def test_a_loop_that_ends_early_leaves_no_thread():
    for batch in rows(400, prefetch=3).batches(START):
        if batch.state.batch == 2:
            break
    gc.collect()
    assert threads() == []


def test_an_error_in_the_loop_leaves_no_thread():
    def train() -> None:
        for _ in rows(400, prefetch=3).batches(START):
            raise WornOutError

    with pytest.raises(WornOutError) as caught:
        train()
    del caught
    gc.collect()
    assert threads() == []


def test_closing_waits_for_the_thread_and_ends_the_iterator():
    batches = rows(400, prefetch=2).batches(START)
    next(batches)
    assert len(threads()) == 1
    batches.close()
    assert threads() == []
    assert list(batches) == []


def test_an_iterator_that_was_never_used_has_no_thread():
    batches = rows(400, prefetch=2).batches(START)
    assert threads() == []
    del batches


def test_an_iterator_in_a_cycle_may_be_deleted_by_its_own_thread():
    """The garbage collector runs in any thread: one that ends itself must not wait for itself."""
    collected = threading.Event()

    def collect(batch: np.ndarray) -> np.ndarray:
        if 8 in batch and dropped.wait(30):
            gc.collect()
            collected.set()
        return batch

    dropped = threading.Event()
    cycle: list = []
    batches = rows(400, prefetch=1, shuffle=False, prepare=collect).batches(START)
    cycle += [cycle, batches]
    next(batches)
    gc.disable()
    try:
        del cycle, batches
        [thread] = threads()
        dropped.set()
        assert collected.wait(30)
        thread.join(30)
    finally:
        gc.enable()
    assert not thread.is_alive()


def test_two_iterations_at_once_do_not_disturb_each_other():
    loader = rows(40, prefetch=2)
    pairs = list(zip(loader.batches(START), loader.batches(LoaderState(3)), strict=True))
    assert [left.rows.tolist() for left, _ in pairs] == epoch(loader)
    assert [right.rows.tolist() for _, right in pairs] == epoch(loader, LoaderState(3))


# --- what cannot be ---


@pytest.mark.parametrize(
    ("options", "match"),
    [
        pytest.param({"batch_size": 0}, "batch_size >= 1 and prefetch >= 0, got 0 and 2", id="batch-size"),
        pytest.param({"prefetch": -1}, "got 4 and -1", id="prefetch"),
        pytest.param({"batch_size": 11, "drop_last": True}, "10 rows give no batch of 11", id="too-large"),
    ],
)
def test_a_loader_that_cannot_be_is_refused(options, match):
    with pytest.raises(ConfigError, match=match):
        rows(10, **options)


def test_inputs_and_targets_must_be_as_many():
    with pytest.raises(ShapeError, match="as many targets as inputs, got 3 and 4"):
        Loader(np.zeros((4, 1)), np.zeros(3), batch_size=2)
    with pytest.raises(ConfigError, match="0 rows give no batch"):
        Loader(np.zeros((0, 1)), np.zeros(0), batch_size=2)


def test_a_state_of_another_batch_size_is_refused():
    *_, (_, _, last) = islice(two_epochs(augmented(0)), 5)
    assert last == LoaderState(7, 0, 5)
    with pytest.raises(ConfigError, match="a state within an epoch of 2 batches, got batch 5"):
        rows(8).batches(last)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="nothing"),
        pytest.param({"seed": 1, "epoch": 0}, id="no-batch"),
        pytest.param({"seed": 1.0, "epoch": 0, "batch": 0}, id="float"),
        pytest.param({"seed": True, "epoch": 0, "batch": 0}, id="boolean"),
        pytest.param({"seed": -1, "epoch": 0, "batch": 0}, id="negative-seed"),
        pytest.param({"seed": 2**63, "epoch": 0, "batch": 0}, id="huge-seed"),
        pytest.param({"seed": 1, "epoch": -1, "batch": 0}, id="negative-epoch"),
        pytest.param({"seed": 1, "epoch": 0, "batch": -1}, id="negative-batch"),
    ],
)
def test_a_damaged_state_is_refused(value):
    with pytest.raises(FormatError, match="loader"):
        LoaderState.from_dict(value)
