"""Means, scales, fills, medians and ranges by sums are those of the joined rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nasturtium.core import derive_rng
from nasturtium.core.data import Dataset, Preprocessing, Task, dataset_from_arrays, iid_split, load_dataset
from nasturtium.federated.agreement import Schema, SiteAgreement, Terms, first_question
from nasturtium.federated.errors import AgreementError

from .conftest import KEY, RUN, agree, assert_matches, make_table, pooled, terms_for

NUMBERS = st.one_of(
    st.floats(-1e6, 1e6, width=32),
    st.sampled_from([0.0, 1.0, -1.0, 255.0, 1e-30, -1e-30, 3e38, -3e38, 1.7e9, 1.7e9 + 1]),
)


def split(data: Dataset, sizes: list[int]) -> list[Dataset]:
    """Consecutive rows, so many to each site."""
    edges = np.cumsum([0, *sizes])
    return [data.take(np.arange(start, stop)) for start, stop in pairwise(edges)]


def numeric_task(columns: int) -> Task:
    return Task(input_shape=(columns,), features=tuple(f"c{i}" for i in range(columns)), classes=("no", "yes"))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_split_of_numbers_gives_what_the_joined_rows_give(data: st.DataObject) -> None:
    columns, rows = data.draw(st.integers(1, 3)), data.draw(st.integers(3, 24))
    values = np.array(
        data.draw(st.lists(st.lists(NUMBERS, min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    )
    whole = Dataset("rows", values, np.arange(rows) % 2, numeric_task(columns))
    cuts = sorted(data.draw(st.sets(st.integers(1, rows - 1), min_size=2, max_size=min(6, rows - 1))))
    parts = split(whole, np.diff([0, *cuts, rows]).tolist())
    levels = data.draw(st.sampled_from([2, 15, 255, 65_535]))
    agreed, opening = agree(parts, terms_for(parts), levels=levels)
    expected = Preprocessing.fit(values, whole.task)
    # NumPy takes the rounding of a constant column's mean for a spread.
    constant = (values == values[0]).all(axis=0)
    assert (agreed.scale[constant] == 1).all()
    scale = np.where(constant, 1.0, expected.scale)
    largest = np.abs(values).max(axis=0)
    # Where a double cannot tell the numbers from their mean neither fit can.
    assume(bool((constant | (scale > 1e-9 * largest)).all()))
    assert (np.abs(agreed.offset - expected.offset) <= 1e-12 * largest + 1e-10 * scale).all()
    assert (np.abs(agreed.scale - scale) <= 1e-8 * scale).all()
    assert opening.facts is not None
    assert opening.facts.input_shape == (columns,)


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 99))
def test_the_order_of_sites_and_rows_does_not_matter_to_the_last_bit(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = Dataset("rows", rng.standard_normal((40, 2)), np.arange(40) % 2, numeric_task(2))
    parts = split(whole, [3, 5, 8, 11, 13])
    terms = terms_for(parts)
    first, _ = agree(parts, terms)
    second, _ = agree([parts[place] for place in order], terms)
    assert first.to_dict() == second.to_dict()


@pytest.mark.parametrize("way", [None, "each", "channel", "together", "none"])
def test_images_as_the_joined_rows(way: str | None) -> None:
    digits = load_dataset("digits")
    parts = iid_split(digits, 4, derive_rng(0, "split"))
    agreed, opening = agree(parts, Terms(schema=Schema.of(digits.task), standardise=way))  # pyright: ignore
    assert_matches(agreed, Preprocessing.fit(digits.inputs, digits.task, standardise=way))  # pyright: ignore
    assert opening.facts is not None
    assert (opening.facts.input_shape, opening.facts.outputs) == ((1, 8, 8), 10)


@pytest.mark.parametrize("way", [None, "each", "channel", "together"])
def test_sequences_as_the_joined_rows(way: str | None) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(5, [1, 100, 1e-3], (60, 7, 3)).astype(np.float32)
    whole = dataset_from_arrays(rows, np.arange(60) % 3, modality="sequence")
    parts = split(whole, [10, 20, 30])
    agreed, _ = agree(parts, terms_for(parts, standardise=way))
    assert_matches(agreed, Preprocessing.fit(whole.inputs, whole.task, standardise=way))  # pyright: ignore


def test_targets_of_a_regression_are_standardised_too() -> None:
    rng = np.random.default_rng(1)
    rows, targets = rng.standard_normal((50, 2)), rng.normal(1000, [3, 0.01], (50, 2))
    whole = dataset_from_arrays(rows, targets)
    assert whole.task.kind == "regression"
    parts = split(whole, [10, 20, 20])
    agreed, opening = agree(parts, terms_for(parts))
    assert_matches(agreed, Preprocessing.fit(whole.inputs, whole.task, whole.labels), error=1e-9)
    assert opening.facts is not None
    assert opening.facts.outputs == 2


def holes(seed: int, missing: str) -> list[Dataset]:
    """Three sites; the first has no missing value, the last a column without any value."""
    rng = np.random.default_rng(seed)
    parts: list[Dataset] = []
    for site, count in enumerate((12, 9, 15)):
        rows: list[list[object]] = []
        for row in range(count):
            age = None if site and row % 3 == 0 else float(rng.integers(0, 90))
            weight = None if site == 2 else 1e4 + float(rng.normal())
            group = None if site == 2 and row % 4 == 0 else ["a", "b", "é"][int(rng.integers(0, site + 1))]
            rows.append([age, weight if site != 2 or row else 1e4, group])
        parts.append(make_table(rows, [row % 2 for row in range(count)], ["age", "weight", "group"], missing=missing))
    return parts


@pytest.mark.parametrize("missing", ["fill", "indicate"])
@pytest.mark.parametrize("fill", ["mean", "median"])
@pytest.mark.parametrize("seed", range(4))
def test_missing_values_as_in_the_joined_rows(missing: str, fill: str, seed: int) -> None:
    parts = holes(seed, missing)
    agreed, _ = agree(parts, terms_for(parts, fill=fill))
    whole = pooled(parts, agreed.task)
    assert [column.missing for column in agreed.task.columns] == [missing] * 3
    error = 1e-9 if fill == "mean" else 2e-2  # a median of numbers 1e4 +- 1 is known to 20 bits of 1e4
    expected = Preprocessing.fit(whole.inputs, agreed.task, fill=fill)  # pyright: ignore
    assert (np.abs(agreed.fill - expected.fill) <= 2e-6 * np.abs(expected.fill) + 1e-9).all()
    assert agreed.unseen.tolist() == expected.unseen.tolist()
    assert (np.abs(agreed.offset - expected.offset) <= error * expected.scale).all()
    assert (np.abs(agreed.scale - expected.scale) <= error * expected.scale).all()
    assert np.isfinite(agreed.apply(whole.inputs)).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-(2**20), 2**20).map(float), min_size=3, max_size=30))
def test_ranges_and_medians_of_short_numbers_are_exact(values: list[float]) -> None:
    whole = Dataset("rows", np.array(values)[:, None], np.arange(len(values)) % 2, numeric_task(1))
    parts = split(whole, [1, 1, len(values) - 2])
    agreed, _ = agree(parts, terms_for(parts, measure="range", fill="median"))
    assert agreed.offset[0] == min(values)
    assert agreed.scale[0] == (max(values) - min(values) or 1)


def test_a_range_of_any_numbers_is_known_to_twenty_bits() -> None:
    rng = np.random.default_rng(3)
    whole = Dataset("rows", rng.standard_normal((50, 4)) * [1e-9, 1, 1e5, 1e30], np.arange(50) % 2, numeric_task(4))
    parts = split(whole, [10, 20, 20])
    agreed, _ = agree(parts, terms_for(parts, measure="range"))
    scaled = agreed.apply(whole.inputs)
    assert scaled.min(axis=0) == pytest.approx(0, abs=2e-6)
    assert scaled.max(axis=0) == pytest.approx(1, abs=2e-6)


def test_a_far_mean_does_not_blur_a_small_spread() -> None:
    times = 1.7e9 + np.random.default_rng(0).normal(0, 1, (300, 1))
    whole = Dataset("rows", times, np.arange(300) % 2, numeric_task(1))
    agreed, _ = agree(split(whole, [100, 100, 100]), terms_for([whole]))
    assert abs(agreed.offset[0] - times.mean()) < 1e-6
    assert agreed.scale[0] == pytest.approx(times.std(), rel=1e-6)


@pytest.mark.parametrize("value", [0.0, -0.0, 0.1, -1e30, 5e-324, 1e-300, 3e38])
def test_a_constant_column_has_the_scale_one(value: float) -> None:
    whole = Dataset("rows", np.full((9, 1), value), np.arange(9) % 2, numeric_task(1))
    agreed, _ = agree(split(whole, [2, 3, 4]), terms_for([whole]))
    assert agreed.scale.tolist() == [1.0]
    assert agreed.offset[0] == pytest.approx(value, rel=1e-12, abs=1e-320)


def test_numbers_that_no_network_can_take_are_refused() -> None:
    whole = Dataset("rows", np.array([[1e300], [0.0], [1.0]]), np.array([0, 1, 0]), numeric_task(1))
    with pytest.raises(AgreementError, match="float32"):
        agree(split(whole, [1, 1, 1]), terms_for([whole]))


def test_an_infinite_number_is_told_with_its_column() -> None:
    whole = Dataset("rows", np.ones((3, 2)), np.array([0, 1, 0]), numeric_task(2))
    whole.inputs[1, 1] = np.inf  # behind the back of the checks
    with pytest.raises(AgreementError, match="'c1' holds an infinite number") as raised:
        SiteAgreement(whole, terms_for([whole]), run=RUN, key=KEY)
    assert raised.value.column == "c1"


def test_a_site_that_was_not_there_before_does_not_answer_with_numbers_beyond_the_range() -> None:
    small = Dataset("rows", np.ones((3, 1)), np.array([0, 1, 0]), numeric_task(1))
    large = Dataset("rows", np.full((3, 1), 1e30), np.array([0, 1, 0]), numeric_task(1))
    terms = terms_for([small])
    sites = [SiteAgreement(part, terms, run=RUN, key=KEY) for part in (small, small, small, large)]
    question = first_question(terms)
    assert question is not None
    sums = np.sum([site.answer(question, 255).astype(np.int64) for site in sites[:3]], axis=0)
    for site in sites:
        site.learn(sums, 255, ("a", "b", "c"))
    assert sites[0].question is not None
    sites[0].answer(sites[0].question, 255)
    with pytest.raises(AgreementError, match="beyond the range"):
        sites[3].answer(sites[0].question, 255)
