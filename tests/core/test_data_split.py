"""Splits and shares of the rows: every row is in exactly one part, and the seed decides which."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nasturtium.core import ConfigError, DataError
from nasturtium.core.data import (
    Column,
    Dataset,
    Task,
    column_split,
    dirichlet_rows,
    dirichlet_split,
    iid_split,
    load_dataset,
    random_split,
    stratified_split,
    train_validation_test,
)


def dataset(labels: np.ndarray, extra: dict[str, np.ndarray] | None = None) -> Dataset:
    """Rows that carry their own number, so that a part shows where it came from."""
    task = Task(input_shape=(1,), features=("row",), classes=tuple(map(str, range(max(int(labels.max()) + 1, 2)))))
    rows = np.arange(len(labels), dtype=np.float32)[:, None]
    return Dataset("toy", rows, labels.astype(np.int64), task, extra or {})


def measured(rows: int) -> Dataset:
    task = Task(input_shape=(1,), features=("row",), kind="regression", targets=("y",))
    numbers = np.arange(rows, dtype=np.float32)[:, None]
    return Dataset("measured", numbers, numbers * 2, task)


def rows_of(part: Dataset) -> list[int]:
    return part.inputs[:, 0].astype(int).tolist()


def assert_partition(data: Dataset, parts: list[Dataset]) -> None:
    """No row is lost, none is in two parts, and each keeps its label and what stays with it."""
    assert sorted(row for part in parts for row in rows_of(part)) == list(range(len(data)))
    for part in parts:
        np.testing.assert_array_equal(part.labels, data.labels[rows_of(part)])
        for name, values in data.extra.items():
            np.testing.assert_array_equal(part.extra[name], values[rows_of(part)])


# --- splits ---

SEEDS = st.integers(0, 2**32)
LABELS = hnp.arrays(np.int64, st.integers(2, 60), elements=st.integers(0, 3)).filter(lambda labels: labels.max() > 0)


@st.composite
def splits(draw) -> tuple[Dataset, list[float], int]:
    parts = draw(st.integers(1, 4))
    counts = draw(st.lists(st.integers(parts, 15), min_size=2, max_size=4))
    labels = np.repeat(np.arange(len(counts)), counts)
    weights = draw(st.lists(st.floats(0.05, 1), min_size=parts, max_size=parts))
    seed = draw(SEEDS)
    return dataset(np.random.default_rng(seed).permutation(labels)), [w / sum(weights) for w in weights], seed


@given(splits())
def test_a_stratified_split_partitions_the_rows_and_shows_every_class_to_every_part(case):
    data, fractions, seed = case
    parts = stratified_split(data, fractions, np.random.default_rng(seed))
    assert len(parts) == len(fractions)
    assert_partition(data, parts)
    assert all(set(part.labels) == set(data.labels) for part in parts)


@given(splits())
def test_a_stratified_split_keeps_the_proportions(case):
    """One row for every part, the rest in proportion: off by at most the parts' number and a rounding."""
    data, fractions, seed = case
    parts = stratified_split(data, fractions, np.random.default_rng(seed))
    for label, count in enumerate(np.bincount(data.labels)):
        for part, fraction in zip(parts, fractions, strict=True):
            assert abs((part.labels == label).sum() - fraction * count) <= len(fractions) + 1


@given(splits())
@settings(max_examples=20)
def test_the_seed_decides_a_stratified_split(case):
    data, fractions, seed = case
    first, second = (stratified_split(data, fractions, np.random.default_rng(seed)) for _ in range(2))
    assert [rows_of(part) for part in first] == [rows_of(part) for part in second]


@pytest.mark.parametrize(
    ("fractions", "error", "match"),
    [
        pytest.param([0.5, 0.4], ConfigError, r"add up to 1, got \[0.5, 0.4\]", id="not-one"),
        pytest.param([1.5, -0.5], ConfigError, "positive fractions", id="negative"),
        pytest.param([1.0, 0.0], ConfigError, "positive fractions", id="zero"),
        pytest.param([], ConfigError, "positive fractions", id="none"),
        pytest.param(
            [0.4, 0.3, 0.3], DataError, "class '1' has 2 rows; at least 3 are needed", id="too-few-of-a-class"
        ),
    ],
)
def test_a_stratified_split_that_cannot_be_is_refused(fractions, error, match):
    with pytest.raises(error, match=match):
        stratified_split(dataset(np.array([0, 0, 0, 0, 1, 1])), fractions, np.random.default_rng(0))


@given(splits())
def test_a_random_split_partitions_the_rows_whatever_the_task(case):
    data, fractions, seed = case
    for rows in (data, measured(len(data))):
        parts = random_split(rows, fractions, np.random.default_rng(seed))
        assert_partition(rows, parts)
        for part, fraction in zip(parts, fractions, strict=True):
            assert len(part) >= 1
            assert abs(len(part) - fraction * len(data)) <= len(fractions) + 1
        again = random_split(rows, fractions, np.random.default_rng(seed))
        assert [rows_of(part) for part in again] == [rows_of(part) for part in parts]


@pytest.mark.parametrize("fractions", [[0.98, 0.01, 0.01], [0.01, 0.98, 0.01], [0.01, 0.01, 0.98]])
@pytest.mark.parametrize("rows", [3, 4, 100])
def test_the_smallest_part_of_a_random_split_has_a_row(rows, fractions):
    data = measured(rows)
    parts = random_split(data, fractions, np.random.default_rng(0))
    assert_partition(data, parts)
    assert min(map(len, parts)) == 1


def test_the_products_split_takes_measurements_too():
    data = measured(50)
    parts = train_validation_test(data, 7)
    assert_partition(data, list(parts))
    assert [len(part) for part in parts] == [30, 10, 10]
    assert [rows_of(part) for part in train_validation_test(data, 7)] == [rows_of(part) for part in parts]
    assert rows_of(train_validation_test(data, 8)[0]) != rows_of(parts[0])


def test_the_split_of_the_digits_stays_what_it_is():
    """Histories and saved models rely on it: the same seed keeps the same test rows in every version."""
    data = load_dataset("digits")
    assert data.fingerprint == "171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666"
    parts = train_validation_test(data, 3)
    assert [part.fingerprint[:16] for part in parts] == ["756f8dd1e886ddf4", "ec921ba3d903ab44", "8e389ec179475a0a"]


def test_a_measurement_has_no_classes_to_split_by():
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match=r"a regression has no classes to split by.*random_split"):
        stratified_split(measured(9), [0.5, 0.5], rng)
    with pytest.raises(ConfigError, match=r"a regression has no classes to share out.*iid_split"):
        dirichlet_split(measured(9), 2, 1.0, rng)
    with pytest.raises(DataError, match="expected at least 3 rows, one for each part, got 2"):
        random_split(measured(2), [0.4, 0.3, 0.3], rng)


# --- shares for simulated clients ---


@given(LABELS, st.integers(1, 8), st.floats(1e-3, 1e3), st.integers(1, 4), SEEDS)
def test_a_dirichlet_split_partitions_the_rows_and_respects_min_rows(labels, clients, alpha, min_rows, seed):
    data = dataset(labels)
    if clients * min_rows > len(data):
        with pytest.raises(ConfigError, match=f"at least {clients * min_rows} training rows"):
            dirichlet_split(data, clients, alpha, np.random.default_rng(seed), min_rows=min_rows)
        return
    parts = dirichlet_split(data, clients, alpha, np.random.default_rng(seed), min_rows=min_rows)
    assert len(parts) == clients
    assert_partition(data, parts)
    assert min(map(len, parts)) >= min_rows
    rows = dirichlet_rows(data, clients, alpha, np.random.default_rng(seed), min_rows=min_rows)
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(len(data)))
    again = [data.take(indices) for indices in rows]
    assert [rows_of(part) for part in again] == [rows_of(part) for part in parts]


def test_a_small_alpha_gives_each_client_few_classes_and_a_large_one_all():
    data = dataset(np.arange(4000) % 4)

    def largest_share(alpha: float) -> float:
        parts = dirichlet_split(data, 8, alpha, np.random.default_rng(0))
        return float(np.mean([np.bincount(part.labels, minlength=4).max() / len(part) for part in parts]))

    assert largest_share(100.0) < 0.35 < 0.7 < largest_share(0.05)


@pytest.mark.parametrize(
    ("clients", "alpha", "min_rows", "match"),
    [
        pytest.param(2, 0.0, 1, "alpha > 0, got 0.0", id="alpha-zero"),
        pytest.param(2, float("nan"), 1, "alpha > 0, got nan", id="alpha-nan"),
        pytest.param(2, float("inf"), 1, "alpha > 0, got inf", id="alpha-infinite"),
        pytest.param(0, 1.0, 1, "clients and min_rows >= 1, got 0 and 1", id="no-clients"),
        pytest.param(2, 1.0, 0, "clients and min_rows >= 1, got 2 and 0", id="empty-clients"),
        pytest.param(7, 1.0, 1, r"7 clients need at least 7 training rows \(1 each\), got 6", id="too-many-clients"),
    ],
)
def test_a_dirichlet_split_that_cannot_be_is_refused(clients, alpha, min_rows, match):
    with pytest.raises(ConfigError, match=match):
        dirichlet_split(dataset(np.arange(6) % 2), clients, alpha, np.random.default_rng(0), min_rows=min_rows)


@given(LABELS, st.integers(1, 8), st.integers(1, 4), SEEDS)
def test_an_iid_split_partitions_the_rows_into_equal_parts(labels, clients, min_rows, seed):
    data = dataset(labels)
    if clients * min_rows > len(data):
        with pytest.raises(ConfigError, match=f"at least {clients * min_rows} training rows"):
            iid_split(data, clients, np.random.default_rng(seed), min_rows=min_rows)
        return
    parts = iid_split(data, clients, np.random.default_rng(seed), min_rows=min_rows)
    assert_partition(data, parts)
    assert len(parts) == clients
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    again = iid_split(data, clients, np.random.default_rng(seed), min_rows=min_rows)
    assert [rows_of(part) for part in again] == [rows_of(part) for part in parts]


def test_the_parts_of_an_iid_split_are_alike():
    parts = iid_split(dataset(np.repeat(np.arange(4), 1000)), 8, np.random.default_rng(0))
    for part in parts:
        np.testing.assert_allclose(np.bincount(part.labels, minlength=4) / len(part), 0.25, atol=0.08)


@given(
    st.lists(st.integers(0, 9), min_size=2, max_size=60).map(np.asarray), st.integers(1, 8) | st.none(), st.booleans()
)
def test_a_column_split_partitions_the_rows_and_divides_no_value(values, clients, text):
    sites = np.asarray([f"site {value}" for value in values]) if text else values
    data = dataset(np.arange(len(values)) % 2, {"site": sites})
    different = len(np.unique(values))
    if (clients or 1) > min(different, len(values)):
        with pytest.raises(ConfigError, match=r"values, expected at least one for each|need at least"):
            column_split(data, "site", clients, min_rows=1)
        return
    parts = column_split(data, "site", clients, min_rows=1)
    assert_partition(data, parts)
    assert len(parts) == (clients or different)
    owned = [set(part.extra["site"].tolist()) for part in parts]
    assert sum(map(len, owned)) == different
    assert all(max(left) < min(right) for left, right in pairwise(owned))


def test_neighbouring_values_share_a_client_so_that_the_parts_are_about_equal():
    values = np.repeat(np.arange(6), [10, 1, 9, 12, 3, 5])
    parts = column_split(dataset(np.arange(40) % 2, {"site": values}), "site", 4)
    assert [sorted(set(part.extra["site"])) for part in parts] == [[0], [1, 2], [3], [4, 5]]


def test_a_table_can_be_shared_out_by_one_of_its_inputs():
    """By category or by number; rows where it is missing belong together."""
    town = Column(name="town", kind="categorical", categories=("a", "b"), missing="fill")
    task = Task(input_shape=(3,), features=("row", "town"), classes=("n", "y"), columns=(Column(name="row"), town))
    towns = np.array([1, 0, np.nan, 1, np.nan, 0])
    data = Dataset("toy", np.column_stack([np.arange(6.0), towns]), np.arange(6) % 2, task)
    assert [rows_of(part) for part in column_split(data, "town")] == [[1, 5], [0, 3], [2, 4]]
    assert [rows_of(part) for part in column_split(data, "row", 3)] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("column", "clients", "min_rows", "match"),
    [
        pytest.param("town", None, 1, "no column 'town'; its columns are row, site", id="no-column"),
        pytest.param("site", 4, 1, "column 'site' has 3 values, expected at least one for each of 4", id="few-values"),
        pytest.param(
            "site", None, 2, "the client with 'c' of column 'site' has 1 rows, expected at least 2", id="poor"
        ),
        pytest.param("site", 0, 1, "clients and min_rows >= 1, got 0 and 1", id="no-clients"),
        pytest.param("site", 3, 3, "3 clients need at least 9 training rows", id="few-rows"),
    ],
)
def test_a_column_split_that_cannot_be_is_refused(column, clients, min_rows, match):
    data = dataset(np.arange(6) % 2, {"site": np.array(list("aabbbc"))})
    with pytest.raises(ConfigError, match=match):
        column_split(data, column, clients, min_rows=min_rows)


def test_the_pixels_of_images_are_no_columns():
    with pytest.raises(ConfigError, match="no column 'pixel_0_0'; its columns are without names"):
        column_split(load_dataset("digits"), "pixel_0_0")
