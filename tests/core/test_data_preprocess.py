"""Preprocessing: fitted on training rows alone, equal to scikit-learn's, exact through JSON, old documents included."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nasturtium.core import (
    ConfigError,
    FormatError,
    ModelSpec,
    ShapeError,
    build,
    load_model,
    predict_logits,
    save_model,
)
from nasturtium.core.data import (
    CellError,
    Column,
    LoadOptions,
    Preprocessing,
    Task,
    dataset_from_arrays,
    load_dataset,
    load_inputs,
)
from nasturtium.core.nn import layer_spec

NAN = np.nan
TASK = Task(input_shape=(2,), features=("age", "height"), classes=("no", "yes"))
FLOATS = st.floats(-1e6, 1e6, width=32)


def test_the_columns_of_a_table_are_standardised_one_by_one():
    rng = np.random.default_rng(0)
    inputs = (rng.standard_normal((500, 3)) * [1, 100, 1e-3] + [0, 1e4, 5]).astype(np.float32)
    outputs = Preprocessing.fit(inputs, Task(input_shape=(3,), features=("a", "b", "c"), classes=("x", "y"))).apply(
        inputs
    )
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs.mean(0), 0, atol=2e-3)
    np.testing.assert_allclose(outputs.std(0), 1, rtol=1e-3)


def test_the_pixels_of_images_are_standardised_together():
    inputs = np.random.default_rng(0).standard_normal((50, 1, 4, 4)).astype(np.float32)
    inputs[:, :, 0, 0] = 0
    features = tuple(map(str, range(16)))
    fitted = Preprocessing.fit(inputs, Task(input_shape=(1, 4, 4), features=features, classes=("x", "y")))
    assert fitted.offset.shape == fitted.scale.shape == ()
    assert fitted.apply(inputs).mean() == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(fitted.apply(inputs.reshape(50, 16)), fitted.apply(inputs))


@pytest.mark.parametrize("value", [0.0, 0.1, -3.3, 1e8, 1e-45])
def test_a_constant_column_becomes_zero_and_stays_small(value):
    inputs = np.stack([np.full(1797, value), np.arange(1797)], 1).astype(np.float32)
    fitted = Preprocessing.fit(inputs, TASK)
    assert fitted.scale[0] == 1
    np.testing.assert_array_equal(fitted.apply(inputs)[:, 0], 0)


def test_a_spread_too_small_for_float32_counts_as_constant():
    fitted = Preprocessing.fit(np.array([[0, 0], [1e-45, 1]], np.float32), TASK)
    assert fitted.scale[0] == 1


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(2)), elements=FLOATS))
def test_preprocessing_survives_json_exactly(inputs):
    fitted = Preprocessing.fit(inputs, TASK)
    again = Preprocessing.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again.task == fitted.task
    np.testing.assert_array_equal(again.offset, fitted.offset)
    np.testing.assert_array_equal(again.scale, fitted.scale)
    np.testing.assert_array_equal(again.apply(inputs), fitted.apply(inputs))
    assert np.isfinite(fitted.apply(inputs)).all()


@pytest.mark.parametrize("shape", [(1, 3), (1, 1), (1,), (1, 2, 2)])
def test_rows_of_another_width_are_refused(shape):
    fitted = Preprocessing.fit(np.ones((2, 2), np.float32), TASK)
    with pytest.raises(ShapeError, match="expected rows with 2 features"):
        fitted.apply(np.ones(shape, np.float32))


def images_of(*shape: int) -> Task:
    return Task(input_shape=shape, features=tuple(map(str, range(int(np.prod(shape))))), classes=("x", "y"))


@pytest.mark.parametrize(
    ("task", "standardise", "axes", "shape"),
    [
        pytest.param(images_of(3, 4, 5), None, None, (), id="image-by-default"),
        pytest.param(images_of(3, 4, 5), "together", None, (), id="image-together"),
        pytest.param(images_of(3, 4, 5), "channel", (0, 2, 3), (3, 1, 1), id="image-by-channel"),
        pytest.param(images_of(3, 4, 5), "each", 0, (3, 4, 5), id="image-by-pixel"),
        pytest.param(images_of(7, 2), None, (0, 1), (2,), id="sequence-by-default"),
        pytest.param(images_of(7, 2), "each", 0, (7, 2), id="sequence-by-place"),
        pytest.param(images_of(4), "each", 0, (4,), id="table"),
    ],
)
def test_what_is_standardised_together(task, standardise, axes, shape):
    rng = np.random.default_rng(0)
    inputs = rng.normal(2, 3, (40, *task.input_shape)) * (1 + np.arange(task.input_shape[-1]))
    fitted = Preprocessing.fit(inputs, task, standardise=standardise)
    assert fitted.offset.shape == shape
    expected = (inputs - inputs.mean(axis=axes, keepdims=True)) / inputs.std(axis=axes, keepdims=True)
    np.testing.assert_allclose(fitted.apply(inputs), expected, rtol=1e-5, atol=1e-6)
    again = Preprocessing.from_dict(json.loads(json.dumps(fitted.to_dict())))
    np.testing.assert_array_equal(again.apply(inputs), fitted.apply(inputs))


def test_nothing_is_standardised_where_that_is_asked_for():
    inputs = np.float32([[1, 2], [3, 4]])
    np.testing.assert_array_equal(Preprocessing.fit(inputs, TASK, standardise="none").apply(inputs), inputs)


@pytest.mark.parametrize(
    ("task", "options", "error", "match"),
    [
        pytest.param(
            TASK, {"fill": "zero"}, ConfigError, "fill as one of mean, median, most_frequent, got 'zero'", id="fill"
        ),
        pytest.param(
            TASK,
            {"standardise": "together"},
            ConfigError,
            "table: expected standardise as one of each, none",
            id="table",
        ),
        pytest.param(images_of(1, 1, 2), {"standardise": "row"}, ConfigError, "image: expected .*'row'", id="image"),
        pytest.param(images_of(3), {}, ShapeError, r"at least one row of shape \(3,\), got", id="width"),
    ],
)
def test_a_fit_that_cannot_be_is_refused(task, options, error, match):
    rows = np.zeros((3, *(task.input_shape if task.is_image else (2,))))
    with pytest.raises(error, match=match):
        Preprocessing.fit(rows, task, **options)
    with pytest.raises(ShapeError, match="at least one row"):
        Preprocessing.fit(np.zeros((0, 2)), TASK)


# --- columns of every kind, against scikit-learn ---


def table(*columns: Column) -> Task:
    return Task(
        input_shape=(sum(len(column.elements) for column in columns),),
        features=tuple(column.name for column in columns),
        classes=("no", "yes"),
        columns=columns,
    )


def age(missing="refuse") -> Column:
    return Column(name="age", missing=missing)


def city(missing="refuse", unknown="refuse") -> Column:
    return Column(
        name="city", kind="categorical", categories=("Bonn", "Oslo", "Rome"), missing=missing, unknown=unknown
    )


@pytest.mark.parametrize("fill", ["mean", "median", "most_frequent"])
@pytest.mark.parametrize("indicator", [False, True], ids=["filled", "indicated"])
@given(seed=st.integers(0, 2**32), rows=st.integers(2, 40))
@settings(max_examples=15, deadline=None)
def test_numbers_and_categories_are_scikit_learns(fill, indicator, seed, rows):
    """SimpleImputer, StandardScaler and OneHotEncoder, fitted on one half and applied to the other."""
    compose = pytest.importorskip("sklearn.compose", reason="scikit-learn is not installed")
    impute, pipeline, preprocessing = (
        pytest.importorskip(f"sklearn.{name}") for name in ("impute", "pipeline", "preprocessing")
    )
    rng = np.random.default_rng(seed)
    missing = "indicate" if indicator else "fill"
    task = table(age(missing), Column(name="size", missing=missing), city(unknown="zeros"))

    def draw() -> np.ndarray:
        numbers = rng.integers(-3, 4, (rows, 2)) * [1.0, 1e3] + rng.choice([0.0, 0.25], (rows, 2))
        numbers[rng.random((rows, 2)) < 0.3] = NAN
        numbers[0], numbers[1] = (NAN, NAN), (1, 2)  # scikit-learn indicates what was missing when it was fitted
        return np.column_stack([numbers, rng.integers(0, 3, rows)])

    train, test = draw(), draw()
    # A category without a training row is one scikit-learn does not know: zeros in both.
    known = np.unique(train[:, 2])
    encoder = preprocessing.OneHotEncoder(categories=[known], handle_unknown="ignore", sparse_output=False)

    def numeric(column: int) -> list:
        scaled = pipeline.make_pipeline(impute.SimpleImputer(strategy=fill), preprocessing.StandardScaler())
        flags = [(f"is-{column}", impute.MissingIndicator(features="all"), [column])] if indicator else []
        return [(f"number-{column}", scaled, [column]), *flags]

    reference = compose.ColumnTransformer([*numeric(0), *numeric(1), ("city", encoder, [2])])
    fitted = Preprocessing.fit(train, task, fill=fill)
    places = [*range(4 if indicator else 2), *((4 if indicator else 2) + known.astype(int))]
    for part, expected in ((train, reference.fit_transform(train)), (test, reference.transform(test))):
        outputs = fitted.apply(part)
        assert outputs.shape == (rows, *task.input_shape)
        np.testing.assert_allclose(outputs[:, places], expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(np.delete(outputs, places, axis=1), 0)


@pytest.mark.parametrize(
    ("task", "rows", "new", "expected"),
    [
        pytest.param(
            table(age("fill"), city()), [[1, 0], [3, 1]], [[NAN, 0]], [[0, 1, 0, 0]], id="nothing-was-missing"
        ),
        pytest.param(
            table(age("indicate"), city()), [[NAN, 0], [NAN, 1]], [[7, 1]], [[7, 0, 0, 1, 0]], id="all-missing"
        ),
        pytest.param(
            table(city("fill")), [[2], [2], [0], [NAN]], [[NAN]], [[0, 0, 1]], id="the-most-frequent-category"
        ),
        pytest.param(
            table(city("fill", "zeros")),
            [[-1], [-1], [-1], [2], [2], [0]],
            [[NAN]],
            [[0, 0, 1]],
            id="unknown-is-no-fill",
        ),
        pytest.param(table(city("fill")), [[NAN], [NAN]], [[NAN], [1]], [[1, 0, 0], [0, 0, 0]], id="no-category-seen"),
        pytest.param(
            table(city("indicate")), [[0], [1], [2]], [[NAN], [1]], [[0, 0, 0, 1], [0, 1, 0, 0]], id="indicated"
        ),
        pytest.param(table(city(unknown="zeros")), [[0], [1], [2]], [[-1], [2]], [[0, 0, 0], [0, 0, 1]], id="unknown"),
        pytest.param(
            table(city(unknown="zeros"), age()), [[0, 0], [1, 2], [0, 4]], [[2, 2]], [[0, 0, 0, 0]], id="unseen"
        ),
    ],
)
def test_what_becomes_of_values_the_training_rows_did_not_have(task, rows, new, expected):
    fitted = Preprocessing.fit(np.asarray(rows, np.float64), task)
    outputs = fitted.apply(np.asarray(new, np.float64))
    np.testing.assert_array_equal(outputs, expected)
    again = Preprocessing.from_dict(json.loads(json.dumps(fitted.to_dict())))
    np.testing.assert_array_equal(again.apply(np.asarray(new, np.float64)), expected)


@pytest.mark.parametrize(
    ("row", "match"),
    [
        pytest.param([NAN, 0], "the rows: row 2, column 'age': the value is missing", id="missing"),
        pytest.param([np.inf, 0], "column 'age': expected a finite number, got inf", id="infinity"),
        pytest.param([0, NAN], "column 'city': the value is missing", id="missing-category"),
        pytest.param([0, -1], "column 'city': expected the index of one of 3 categories, got -1.0", id="unknown"),
        pytest.param([0, 3], "got 3.0", id="beyond"),
        pytest.param([0, 0.5], "got 0.5", id="fraction"),
    ],
)
def test_rows_that_are_not_as_the_schema_says_are_refused(row, match):
    fitted = Preprocessing.fit(np.array([[1.0, 0], [2.0, 1]]), table(age(), city()))
    with pytest.raises(CellError, match=match):
        fitted.apply(np.array([[1.0, 0], row]))


def test_a_plain_table_refuses_what_is_not_finite():
    fitted = Preprocessing.fit(np.ones((2, 2)), TASK)
    with pytest.raises(CellError, match="the rows: row 1, column 'height': the value is missing"):
        fitted.apply(np.array([[1, NAN]]))


def test_only_training_rows_are_looked_at():
    """New rows, however far off, are shifted and scaled by what the training rows had."""
    fitted = Preprocessing.fit(np.array([[0.0, 0], [2, 4]]), TASK)
    np.testing.assert_array_equal(fitted.apply(np.array([[1001.0, 2]])), [[1000, 0]])
    np.testing.assert_array_equal((fitted.offset, fitted.scale), ([1, 2], [1, 2]))


@st.composite
def tables(draw) -> tuple[np.ndarray, Task]:
    """Rows of any schema that their task allows."""
    columns: list[Column] = []
    for index in range(draw(st.integers(1, 4))):
        missing, name = draw(st.sampled_from(["refuse", "fill", "indicate"])), f"column {index}"
        if draw(st.booleans()):
            columns.append(Column(name=name, missing=missing))
        else:
            unknown, values = draw(st.sampled_from(["refuse", "zeros"])), "abcd"[: draw(st.integers(1, 4))]
            columns.append(
                Column(name=name, kind="categorical", categories=tuple(values), missing=missing, unknown=unknown)
            )

    def cells(column: Column) -> st.SearchStrategy:
        if column.kind == "numeric":
            known = st.floats(-1e6, 1e6, width=32)
        else:
            known = st.integers(-1 if column.unknown == "zeros" else 0, len(column.categories) - 1)
        return known if column.missing == "refuse" else known | st.just(NAN)

    rows = draw(st.lists(st.tuples(*map(cells, columns)), min_size=1, max_size=8))
    return np.asarray(rows, np.float64), table(*columns)


@given(tables(), st.sampled_from(["mean", "median", "most_frequent"]))
def test_any_table_becomes_finite_inputs_and_survives_json_exactly(case, fill):
    rows, task = case
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    fitted = Preprocessing.fit(rows, task, fill=fill)
    outputs = fitted.apply(rows)
    assert (outputs.dtype, outputs.shape) == (np.float32, (len(rows), *task.input_shape))
    assert np.isfinite(outputs).all()
    again = Preprocessing.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    assert again.task == task
    np.testing.assert_array_equal(again.apply(rows), outputs)


# --- measurements ---


def test_measurements_are_standardised_and_restored():
    rng = np.random.default_rng(0)
    data = dataset_from_arrays(rng.normal(size=(200, 3)), rng.normal(size=(200, 2)) * [1e-3, 1e5] + [7, -3])
    fitted = Preprocessing.fit(data.inputs, data.task, data.labels)
    wanted = fitted.apply_targets(data.labels)
    assert wanted.dtype == np.float32
    np.testing.assert_allclose(wanted.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(wanted.std(0), 1, rtol=1e-3)
    np.testing.assert_allclose(fitted.restore_targets(wanted), data.labels, rtol=1e-5)
    again = Preprocessing.from_dict(json.loads(json.dumps(fitted.to_dict())))
    np.testing.assert_array_equal(again.restore_targets(wanted), fitted.restore_targets(wanted))
    unscaled = Preprocessing.fit(data.inputs, data.task)
    np.testing.assert_array_equal(unscaled.apply_targets(data.labels), data.labels)


def test_labels_of_classes_stay_as_they_are():
    labels = np.array([0, 1, 1])
    fitted = Preprocessing.fit(np.ones((3, 2)), TASK, labels)
    assert fitted.apply_targets(labels) is labels


# --- documents ---

SOUND = {"task": TASK.to_dict(), "offset": [0.0, 1.0], "scale": [1.0, 2.0]}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="nothing"),
        pytest.param([], id="list"),
        *(pytest.param({k: v for k, v in SOUND.items() if k != name}, id=f"no-{name}") for name in SOUND),
        pytest.param({**SOUND, "task": {**SOUND["task"], "input_shape": [3]}}, id="shape-and-names-differ"),
        pytest.param({**SOUND, "task": {**SOUND["task"], "input_shape": 2}}, id="shape-is-a-number"),
        pytest.param({**SOUND, "task": {**SOUND["task"], "input_shape": [float("inf")]}}, id="shape-is-infinite"),
        pytest.param({**SOUND, "task": []}, id="task-is-a-list"),
        pytest.param({**SOUND, "offset": [0.0]}, id="offset-too-short"),
        pytest.param({**SOUND, "offset": [[0.0], [1.0, 2.0]]}, id="offset-ragged"),
        pytest.param({**SOUND, "offset": ["a", "b"]}, id="offset-text"),
        pytest.param({**SOUND, "offset": [0.0, None]}, id="offset-null"),
        pytest.param({**SOUND, "offset": [0.0, 1e300]}, id="offset-overflows-float32"),
        pytest.param({**SOUND, "offset": [0.0, 10**400]}, id="offset-overflows-float64"),
        pytest.param({**SOUND, "scale": [1.0, 0.0]}, id="scale-zero"),
        pytest.param({**SOUND, "scale": [1.0, -1.0]}, id="scale-negative"),
        pytest.param({**SOUND, "scale": [1.0, float("nan")]}, id="scale-nan"),
        pytest.param({**SOUND, "scale": [1.0, 1e-60]}, id="scale-underflows"),
    ],
)
def test_a_damaged_document_is_refused(value):
    with pytest.raises(FormatError, match="damaged preprocessing"):
        Preprocessing.from_dict(value)


def test_a_document_of_version_1_still_loads():
    """What version 0.1 of nasturtium wrote: no header, shift and scale alone."""
    old = Preprocessing.from_dict(SOUND)
    assert old.task == TASK
    np.testing.assert_array_equal(old.apply(np.array([[1.0, 5.0]])), [[1, 2]])
    scalar = {"task": images_of(1, 2, 2).to_dict(), "offset": 3.0, "scale": 2.0}
    np.testing.assert_array_equal(Preprocessing.from_dict(scalar).apply(np.full((1, 4), 7.0)), np.full((1, 1, 2, 2), 2))


RICH = Preprocessing.fit(
    np.array([[1, 0, 0], [NAN, 1, 0], [3, NAN, 0]]),
    table(age("indicate"), city("fill"), replace(city("indicate", "zeros"), name="town")),
).to_dict()
MEASURED = Preprocessing.fit(
    np.zeros((2, 1)),
    Task(input_shape=(1,), features=("a",), kind="regression", targets=("b",)),
    np.array([[1.0], [2.0]]),
).to_dict()


def test_a_document_says_its_format_and_version():
    assert (RICH["format"], RICH["version"], RICH["unseen"]) == ("nasturtium.preprocessing", 2, [4, 6, 7])
    with pytest.raises(FormatError, match="expected a version up to 2, got 3"):
        Preprocessing.from_dict({**RICH, "version": 3})
    with pytest.raises(FormatError, match="expected a document of format"):
        Preprocessing.from_dict({**RICH, "format": "something"})


def with_column(place: int, **changes) -> dict:
    columns = [dict(column) for column in RICH["task"]["columns"]]
    columns[place].update(changes)
    return {**RICH, "task": {**RICH["task"], "columns": columns}}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({**RICH, "fill": []}, id="no-fill"),
        pytest.param({**RICH, "fill": [0, 0, 0, 0]}, id="fill-too-long"),
        pytest.param({**RICH, "fill": [0, 7, 0]}, id="fill-of-no-category"),
        pytest.param({**RICH, "fill": [None, 0, 0]}, id="fill-missing"),
        pytest.param({**RICH, "fill": [1e39, 0, 0]}, id="fill-overflows"),
        pytest.param({**RICH, "unseen": [9]}, id="unseen-beyond"),
        pytest.param({**RICH, "unseen": [-1]}, id="unseen-negative"),
        pytest.param({**RICH, "unseen": [0.5]}, id="unseen-fraction"),
        pytest.param({**RICH, "unseen": [[0]]}, id="unseen-nested"),
        pytest.param({**SOUND, "unseen": [0]}, id="unseen-of-numbers"),
        pytest.param({**RICH, "offset": [0.0] * 8}, id="offset-of-another-width"),
        pytest.param({**RICH, "offset": [0.0] * 8, "scale": [1.0] * 8}, id="both-of-another-width"),
        pytest.param({**RICH, "offset": [[0.0] * 9], "scale": [[1.0] * 9]}, id="both-of-more-axes"),
        pytest.param({**RICH, "offset": 0.0}, id="offset-and-scale-differ"),
        pytest.param(with_column(0, kind="ordinal"), id="column-of-another-kind"),
        pytest.param(with_column(0, missing="guess"), id="column-of-another-policy"),
        pytest.param(with_column(0, name=7), id="column-name-is-a-number"),
        pytest.param(with_column(0, categories=["a"]), id="number-with-categories"),
        pytest.param(with_column(1, categories=[]), id="no-categories"),
        pytest.param(with_column(1, categories=["a", "a", "b"]), id="a-category-twice"),
        pytest.param(with_column(1, categories=["a", "b"]), id="too-few-categories"),
        pytest.param({**RICH, "task": {**RICH["task"], "columns": {}}}, id="columns-are-an-object"),
        pytest.param({**RICH, "task": {**RICH["task"], "columns": [None]}}, id="column-is-null"),
        pytest.param({**RICH, "task": {**RICH["task"], "features": ["age"]}}, id="features-and-columns-differ"),
        pytest.param({**RICH, "task": {**RICH["task"], "kind": "regression"}}, id="regression-of-classes"),
        pytest.param({**RICH, "task": {**RICH["task"], "kind": "ranking"}}, id="kind-unknown"),
        pytest.param({**RICH, "target_scale": 0.0}, id="target-scale-zero"),
        pytest.param({**MEASURED, "target_scale": [0.0]}, id="target-scale-of-a-regression-zero"),
        pytest.param({**MEASURED, "target_offset": [0.0, 0.0]}, id="target-offset-too-long"),
        pytest.param({**MEASURED, "target_offset": ["x"]}, id="target-offset-text"),
    ],
)
def test_a_damaged_document_of_version_2_is_refused(value):
    assert Preprocessing.from_dict(RICH).to_dict() == RICH
    assert Preprocessing.from_dict(MEASURED).to_dict() == MEASURED
    with pytest.raises(FormatError, match="damaged preprocessing"):
        Preprocessing.from_dict(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(RICH)), JSON)
def test_any_other_value_in_a_document_is_refused_or_harmless(name, value):
    try:
        fitted = Preprocessing.from_dict({**RICH, name: value})
    except FormatError:
        return
    assert np.isfinite(fitted.apply(np.array([[1.0, 0, 0]]))).all()


def test_a_data_set_of_mixed_cells_is_fitted_split_and_saved():
    cells = [[20 + i, ("Bonn", "Oslo", None)[i % 3]] for i in range(30)]
    data = dataset_from_arrays(cells, ["no", "yes"] * 15, LoadOptions(missing="indicate"), features=["age", "city"])
    fitted = Preprocessing.fit(data.inputs, data.task)
    outputs = fitted.apply(data.inputs)
    assert outputs.shape == (30, 4)
    np.testing.assert_array_equal(outputs[:3, 1:], [[1, 0, 0], [0, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_a_model_folder_takes_new_rows_of_any_columns(tmp_path, kind):
    """Categories and holes, from a file through the saved model: as before it was saved."""
    lines = ["age,city,y", *(f"{20 + i},{('Bonn', 'Oslo', '')[i % 3]},{i % 4}" for i in range(24))]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    data = load_dataset(str(tmp_path / "data.csv"), "y", LoadOptions(kind=kind, missing="indicate", unknown="zeros"))
    fitted = Preprocessing.fit(data.inputs, data.task, data.labels)
    spec = ModelSpec(data.task.input_shape, (layer_spec("linear", out_features=data.task.outputs),))
    model = build(spec, np.random.default_rng(0))
    saved = load_model(save_model(tmp_path / "model", spec, model, fitted, {}))
    assert saved.preprocessing.task == data.task
    (tmp_path / "new.csv").write_text("city,age\nOslo,20\n,30\nRome,40\n")
    rows = load_inputs(str(tmp_path / "new.csv"), saved.preprocessing.task)
    np.testing.assert_array_equal(rows, [[20, 1], [30, NAN], [40, -1]])
    outputs = predict_logits(model, fitted.apply(rows))
    np.testing.assert_array_equal(predict_logits(saved.model, saved.preprocessing.apply(rows)), outputs)
    restored = saved.preprocessing.restore_targets(outputs)
    assert np.isfinite(restored).all()
    assert kind == "classification" or not np.array_equal(restored, outputs)
