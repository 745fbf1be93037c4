"""Tables: what their columns are found to be, and errors that name the row and the column."""

from __future__ import annotations

import io

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, DataError
from nasturtium.core.data import (
    CellError,
    Column,
    Dataset,
    LoadOptions,
    Task,
    dataset_from_arrays,
    load_dataset,
    load_inputs,
)

NAN = np.nan
INDICATE = LoadOptions(missing="indicate")
FILL = LoadOptions(missing="fill")


def parquet(**columns) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()


def load(folder, content: bytes | str, options: LoadOptions | None = None, *, target="y", name="data.csv") -> Dataset:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_dataset(str(path), target, options)


def number(name: str, **policy) -> Column:
    return Column(name=name, **policy)


def categories(name: str, *values: str, **policy) -> Column:
    return Column(name=name, kind="categorical", categories=values, **policy)


@pytest.mark.parametrize(
    ("content", "options", "schema", "rows"),
    [
        pytest.param("a,b,y\n1,2.5,n\n3,4,y\n", None, [number("a"), number("b")], [[1, 2.5], [3, 4]], id="numbers"),
        pytest.param(
            "a,city,y\n1,Rome,n\n2, Bonn ,y\n3,Rome,n\n",
            None,
            [number("a"), categories("city", "Bonn", "Rome")],
            [[1, 1], [2, 0], [3, 1]],
            id="text-is-categories",
        ),
        pytest.param(
            "a,y\ntrue,n\nfalse,y\n,y\n", INDICATE, [number("a", missing="indicate")], [[1], [0], [NAN]], id="booleans"
        ),
        pytest.param(
            "a,b,y\n1,,n\n,2,y\n",
            FILL,
            [number("a", missing="fill"), number("b", missing="fill")],
            [[1, NAN], [NAN, 2]],
            id="empty-cells",
        ),
        pytest.param(
            "a,b,y\n1,5,n\nNA,6,y\n n/a,7,n\nNone,8,y\n",
            INDICATE,
            [number("a", missing="indicate"), number("b")],
            [[1, 5], [NAN, 6], [NAN, 7], [NAN, 8]],
            id="words-for-nothing",
        ),
        pytest.param(
            'a,b,y\nred,1,n\n,2,y\n"",3,y\n" ",4,n\nNA,5,n\n',
            INDICATE,
            [categories("a", "NA", "red", missing="indicate"), number("b")],
            [[1, 1], [NAN, 2], [NAN, 3], [NAN, 4], [0, 5]],
            id="words-are-categories-among-text",
        ),
        pytest.param(
            "a,y\nA1,n\nB2,y\n12,n\n",
            None,
            [categories("a", "12", "A1", "B2")],
            [[1], [2], [0]],
            id="text-with-a-few-numbers",
        ),
        pytest.param(
            "zip,y\n007,n\n12,y\n007,n\n",
            LoadOptions(categorical=("zip",)),
            [categories("zip", "007", "12")],
            [[0], [1], [0]],
            id="leading-zeros-stay",
        ),
        pytest.param(
            parquet(a=[10.0, 9.0, 9.0], b=[2, None, 1], y=["n", "y", "n"]),
            LoadOptions(categorical=("a", "b"), missing="fill"),
            [categories("a", "9", "10"), categories("b", "1", "2", missing="fill")],
            [[1, 1], [0, NAN], [0, 0]],
            id="numbers-as-categories-by-size",
        ),
        pytest.param(
            parquet(
                a=pl.Series(["b", None, "a"], dtype=pl.Categorical),
                big=pl.Series([1, 2, 3], dtype=pl.Int128),
                y=[0, 1, 1],
            ),
            INDICATE,
            [categories("a", "a", "b", missing="indicate"), number("big")],
            [[1, 1], [NAN, 2], [0, 3]],
            id="types-of-polars",
        ),
        pytest.param("a,id,y\n1,x1,n\n2,x2,y\n", LoadOptions(ignore=("id",)), [number("a")], [[1], [2]], id="ignore"),
        pytest.param("a,id,y\n1,x1,n\n2,x2,y\n", LoadOptions(only=("a",)), [number("a")], [[1], [2]], id="only"),
    ],
)
def test_the_schema_is_found_column_by_column(tmp_path, content, options, schema, rows):
    name = "data.parquet" if isinstance(content, bytes) else "data.csv"
    data = load(tmp_path, content, options, name=name)
    np.testing.assert_array_equal(data.inputs, rows)
    assert data.task.schema == tuple(schema)
    assert data.task.features == tuple(column.name for column in schema)
    assert data.task.input_shape == (sum(len(column.elements) for column in schema),)
    assert data.task.row_shape == (len(schema),)
    # The same file again, as new rows of the same task and as data of the same task.
    np.testing.assert_array_equal(load_inputs(str(tmp_path / name), data.task), rows)
    again = load(tmp_path, content, LoadOptions(task=data.task), name=name)
    assert again.fingerprint == data.fingerprint


def test_the_elements_of_an_input_have_names():
    task = Task(
        input_shape=(6,),
        features=("age", "city"),
        classes=("n", "y"),
        columns=(number("age", missing="indicate"), categories("city", "Bonn", "Oslo", "Rome", missing="indicate")),
    )
    assert [name for column in task.schema for name in column.elements] == [
        "age",
        "age is missing",
        "city=Bonn",
        "city=Oslo",
        "city=Rome",
        "city is missing",
    ]


PEOPLE = "".join(f"{i % 50},name-{i},{'ny'[i % 2]}\n" for i in range(100))


@pytest.mark.parametrize(
    ("content", "options", "match"),
    [
        pytest.param(
            "a,y\n1,n\n2,y\nabc,n\n",
            None,
            "data.csv: row 3, column 'a': expected a number, got 'abc'",
            id="text-among-numbers",
        ),
        pytest.param(
            "a,y\n1,n\n\n2_000,y\n", None, "row 3, column 'a': expected a number, got '2_000'", id="blank-lines-count"
        ),
        pytest.param("\n\na,y\n1,n\nx,y\n3,n\n", None, "row 2, column 'a': .* got 'x'", id="blank-lines-above"),
        pytest.param(
            'a,b,y\n1,"x\ny",n\n2,z,y\n7;5,z,y\n', None, "row 3, column 'a': .* got '7;5'", id="a-text-of-two-lines"
        ),
        pytest.param("a,y\n1,n\n1e39,y\n", None, r"row 2, column 'a': .* range of float32, got 1e\+39", id="too-large"),
        pytest.param(
            "a,y\nNA,n\n-inf,y\n1,n\n", FILL, "row 2, column 'a': expected a finite number .*got -inf", id="infinity"
        ),
        pytest.param("a,y\n1,n\n,y\n", None, "row 2, column 'a': the value is missing .*missing='fill'", id="missing"),
        pytest.param("a,b,y\nx,1,n\n,2,y\n", None, "row 2, column 'a': the value is missing", id="missing-text"),
        pytest.param("a,y\n1,n\n2,\n3,y\n", FILL, "row 2, column 'y': the target is missing", id="missing-target"),
        pytest.param("a,b,y\n1,,n\n2,,y\n", FILL, "column 'b' has no values", id="no-values"),
        pytest.param("a,b,y\n1,NA,n\n2,none,y\n", FILL, "column 'b' has no values", id="no-values-in-words"),
        pytest.param(
            "a,name,y\n" + PEOPLE,
            None,
            "column 'name' holds 100 different texts in 100 rows, such as 'name-0', 'name-1', 'name-10'.*leave out",
            id="identifiers",
        ),
        pytest.param(
            "a,y\n" + "".join(f"t{i % 300},n\nt{i % 300},y\n" for i in range(600)),
            None,
            "300 different texts .* at most 256",
            id="too-many-categories",
        ),
        pytest.param(
            "a,y\n" + "".join(f"{i},n\n{i},y\n" for i in range(300)),
            LoadOptions(categorical=("a",)),
            "300 different texts",
            id="too-many-numbers",
        ),
        pytest.param("a,b,a,y\n1,2,3,n\n", None, "columns 1, 3 have the same name 'a'", id="a-name-twice"),
        pytest.param(",a,y\n0,1,n\n1,2,y\n", None, r"column 1 has no name.*to_csv\(index=False\)", id="a-pandas-index"),
        pytest.param("a,,,y\n0,1,1,n\n", None, "columns 2, 3 have no name", id="names-missing"),
        pytest.param(
            "a,y\n1,n\n2,3,y\n",
            None,
            r"data.csv: cannot be .*: row 2 \(line 3\): expected 2 values, got 3",
            id="too-long",
        ),
        pytest.param('a,b,y\n"1\n1",1,n\n2,n\n', None, r"row 2 \(line 4\): expected 3 values, got 2", id="too-short"),
        pytest.param("a,b,y\n1,2,n\n3,4,y\n5,", None, r"row 3 \(line 4\): expected 3 values, got 2", id="cut-off"),
        pytest.param("\n\r\na,b,y\n1,1,n\n2,n\n", None, r"row 2 \(line 5\): expected 3 values", id="below-blank-lines"),
        pytest.param(
            b"a,y\n1,n\nB\xe4r,y\n", None, r"row 2 .*column 'a': expected UTF-8 text, got .* b'B\\xe4r'", id="latin-1"
        ),
        pytest.param(b"\xe4,y\n1,n\n2,y\n", None, "the header in line 1.* expected UTF-8 text", id="latin-1-header"),
        pytest.param(
            "a,y\n1,n\n2,y\n",
            LoadOptions(ignore=("b",)),
            "no column 'b' to ignore; its columns are a, y",
            id="ignore-unknown",
        ),
        pytest.param(
            "a,y\n1,n\n2,y\n",
            LoadOptions(only=("a", "b")),
            "no column 'b' to take as an input; its columns are a, y",
            id="only-unknown",
        ),
        pytest.param(
            "a,y\n1,n\n2,y\n", LoadOptions(only=("y",)), "no column 'y' to take as an input", id="only-target"
        ),
        pytest.param("a,y\n1,n\n2,y\n", LoadOptions(keep=("b",)), "no column 'b' to keep", id="keep-unknown"),
        pytest.param(
            "a,y\n1,n\n2,y\n",
            LoadOptions(categorical=("b",)),
            "no column 'b' to take as categories",
            id="categorical-unknown",
        ),
        pytest.param("a,y\n1,n\n2,y\n", LoadOptions(ignore=("a",)), "no columns beside the target", id="ignore-all"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_its_place(tmp_path, content, options, match):
    with pytest.raises(DataError, match=match):
        load(tmp_path, content, options)


def test_a_cell_error_carries_its_place(tmp_path):
    with pytest.raises(CellError) as caught:
        load(tmp_path, "age,y\n1,n\n2,y\nold,n\n")
    assert (caught.value.row, caught.value.column) == (3, "age")
    assert caught.value.source.endswith("data.csv")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        pytest.param(
            {"kind": "ranking"}, "expected kind as one of classification, regression, got 'ranking'", id="kind"
        ),
        pytest.param({"missing": "drop"}, "missing as one of refuse, fill, indicate, got 'drop'", id="missing"),
        pytest.param({"unknown": "x"}, "unknown as one of refuse, zeros", id="unknown"),
        pytest.param({"image_size": (0, 4)}, r"at least \(1, 1\), got \(0, 4\)", id="image-size"),
    ],
)
def test_options_that_do_not_exist_are_refused(options, match):
    with pytest.raises(ConfigError, match=match):
        LoadOptions(**options)


# --- new rows of a known schema ---

TASK = Task(
    input_shape=(4,),
    features=("age", "city"),
    classes=("n", "y"),
    columns=(number("age", missing="indicate"), categories("city", "12", "Rome")),
)
ZEROS = Task(
    input_shape=(2,), features=("age", "city"), classes=("n", "y"), columns=(number("age"), categories("city", "007"))
)
LENIENT = Task(
    input_shape=(3,),
    features=("age", "city"),
    classes=("n", "y"),
    columns=(number("age"), categories("city", "12", "Rome", unknown="zeros")),
)


@pytest.mark.parametrize(
    ("content", "task", "rows"),
    [
        pytest.param("city,age\nRome,30\n12,\n", TASK, [[30, 1], [NAN, 0]], id="by-name"),
        pytest.param("city,age\n12,30\n12,40\n", TASK, [[30, 0], [40, 0]], id="categories-that-are-all-numbers"),
        pytest.param("30,12\n40,12\n", TASK, [[30, 0], [40, 0]], id="by-position"),
        pytest.param("30,007\n40,007\n", ZEROS, [[30, 0], [40, 0]], id="by-position-with-leading-zeros"),
        pytest.param("age,city\n30,Oslo\n40,Rome\n", LENIENT, [[30, -1], [40, 1]], id="unknown-category"),
    ],
)
def test_new_rows_are_read_as_the_task_has_them(tmp_path, content, task, rows):
    (tmp_path / "new.csv").write_text(content)
    np.testing.assert_array_equal(load_inputs(str(tmp_path / "new.csv"), task), rows)


@pytest.mark.parametrize(
    ("content", "task", "match"),
    [
        pytest.param(
            "age,city\n30,Rome\n40,Oslo\n",
            TASK,
            "new.csv: row 2, column 'city': unknown category 'Oslo', expected one of 12, Rome",
            id="category",
        ),
        pytest.param("age,city\n30,Rome\n40,\n", TASK, "row 2, column 'city': the value is missing", id="missing"),
        pytest.param("age,city\n,Rome\n", LENIENT, "row 1, column 'age': the value is missing", id="missing-number"),
        pytest.param("age,city\nold,Rome\n", TASK, "row 1, column 'age': expected a number, got 'old'", id="text"),
        pytest.param("age,town\n3,Rome\n", TASK, "1 of the model's 2 columns are missing: city", id="column"),
    ],
)
def test_new_rows_that_are_not_as_the_task_are_refused(tmp_path, content, task, match):
    (tmp_path / "new.csv").write_text(content)
    with pytest.raises(DataError, match=match):
        load_inputs(str(tmp_path / "new.csv"), task)


def test_another_sites_file_is_read_with_the_same_classes_and_categories(tmp_path):
    options = LoadOptions(task=TASK, ignore=("not looked at",))
    data = load(tmp_path, "note,city,y,age\nx,Rome,y,1\nz,12,y,2\n", options)
    assert data.task is TASK
    np.testing.assert_array_equal(data.inputs, [[1, 1], [2, 0]])
    assert data.labels.tolist() == [1, 1]
    with pytest.raises(CellError, match="row 1, column 'y': expected a class of n, y, got 'perhaps'"):
        load(tmp_path, "city,y,age\nRome,perhaps,1\n", options)


def test_kept_columns_stay_with_the_rows_and_are_no_inputs(tmp_path):
    content = "a,site,ward,y\n1,east,3,n\n2,west,4,y\n3,,3,y\n"
    data = load(tmp_path, content, LoadOptions(keep=("site", "ward")))
    assert data.task.features == ("a",)
    assert {name: values.tolist() for name, values in data.extra.items()} == {
        "site": ["east", "west", ""],
        "ward": [3, 4, 3],
    }
    part = data.take(np.array([2, 1]))
    assert part.extra["site"].tolist() == ["", "west"]
    assert part.join(data.take(np.array([0]))).extra["ward"].tolist() == [3, 4, 3]
    assert data.fingerprint == load(tmp_path, "a,y\n1,n\n2,y\n3,y\n").fingerprint


# --- what is to be learned ---

MANY = np.arange(60)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param(["a", "b", "a"], "classification", id="text"),
        pytest.param([True, False, True], "classification", id="booleans"),
        pytest.param([0, 1, 2], "classification", id="whole-numbers"),
        pytest.param([1.0, 2.0, 1.0], "classification", id="whole-floats"),
        pytest.param([0.5, 1.0, 2.0], "regression", id="fractions"),
        pytest.param(np.float32([0.5, 1, 2]), "regression", id="float32"),
        pytest.param(MANY, "regression", id="many-counts"),
        pytest.param(np.repeat(MANY, 10), "classification", id="many-classes-of-ten-rows"),
        pytest.param([1e300, 1.0, 2.0], "regression", id="huge"),
        pytest.param(["0.5", "1.5", "2"], "regression", id="text-of-numbers"),
        pytest.param(["1", "2", "1"], "classification", id="text-of-whole-numbers"),
    ],
)
def test_the_targets_decide_what_is_learned(values, kind):
    if np.max(np.asarray(values, object) == 1e300):
        with pytest.raises(CellError, match=r"row 1, column 'target': .*range of float32"):
            dataset_from_arrays(np.zeros((3, 1)), values)
        return
    data = dataset_from_arrays(np.zeros((len(values), 1)), values)
    assert data.task.kind == kind
    if kind == "regression":
        np.testing.assert_array_equal(data.labels[:, 0], np.asarray(values, np.float32))
        assert (data.labels.dtype, data.task.outputs, data.task.targets) == (np.float32, 1, ("target",))
    else:
        names = [str(int(value)) if isinstance(value, float) else str(value) for value in np.asarray(values).tolist()]
        assert [data.task.classes[label] for label in data.labels] == names
        assert data.labels.dtype == np.int64


def test_whole_numbers_can_be_measured_and_fractions_cannot_be_classes(tmp_path):
    counts = "a,y\n1,3\n2,4\n3,5\n"
    measured = load(tmp_path, counts, LoadOptions(kind="regression"))
    assert (measured.task.kind, measured.task.targets, measured.task.classes) == ("regression", ("y",), ())
    np.testing.assert_array_equal(measured.labels, np.float32([[3], [4], [5]]))
    assert load(tmp_path, counts).task.classes == ("3", "4", "5")
    assert load(tmp_path, "a,y\n1,0.25\n2,4\n", LoadOptions(kind=None)).task.kind == "regression"
    with pytest.raises(DataError, match="looks like a measurement"):
        load(tmp_path, "a,y\n1,0.25\n2,4\n")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        pytest.param("a,y\n1,0.5\n2,abc\n3,1\n", "row 2, column 'y': expected a number, got 'abc'", id="text"),
        pytest.param("a,y\n1,0.5\n2,\n3,1\n", "row 2, column 'y': the target is missing", id="missing"),
        pytest.param("a,y\n1,0.5\n2,nan\n3,1\n", "row 2, column 'y': .*missing|row 2, column 'y': .*'nan'", id="nan"),
        pytest.param("a,y\n1,0.5\n2,inf\n3,1\n", "row 2, column 'y': expected a finite number", id="infinity"),
        pytest.param("a,y\n1,0.5\n2,1e39\n", r"row 2, column 'y': .* got 1e\+39", id="too-large"),
        pytest.param("a,y\n1,true\n2,false\n", "'y' is no measurement: got bool such as True", id="booleans"),
        pytest.param("a,y\n1,0.5\n2,0.5\n", "nothing to learn, the target 'y' is always 0.5", id="constant"),
    ],
)
def test_a_measurement_that_cannot_be_used_is_refused_with_its_place(tmp_path, content, match):
    with pytest.raises(DataError, match=match):
        load(tmp_path, content, LoadOptions(kind="regression"))


CELLS = st.sampled_from(["", " ", "1", "-2.5", "1e3", "NA", "nan", "red", "blue", "x,y", 'a"b', "é", "1e400", "inf"])


@given(
    st.lists(st.tuples(CELLS, CELLS, st.sampled_from(["n", "y"])), min_size=1, max_size=12),
    st.sampled_from(["refuse", "fill", "indicate"]),
)
@settings(deadline=None)
def test_any_table_is_read_or_refused_by_us(tmp_path_factory, rows, missing):
    """Whatever the cells are: what is loaded reads back the same as new rows, and fits its own schema."""
    path = tmp_path_factory.mktemp("any") / "data.csv"
    pl.DataFrame(rows, schema=["a", "b", "y"], orient="row").write_csv(path)
    try:
        data = load_dataset(str(path), "y", LoadOptions(missing=missing, unknown="zeros"))
    except DataError:
        return
    np.testing.assert_array_equal(load_inputs(str(path), data.task), data.inputs)
    assert len(data) == len(rows)
    assert not np.isinf(data.inputs).any()
    if missing == "refuse":
        assert np.isfinite(data.inputs).all()


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_garbage_is_never_read_as_a_table_without_an_error_of_ours(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("garbage")
    for name in ("data.csv", "data.parquet", "data.npz"):
        (folder / name).write_bytes(content)
        with pytest.raises((DataError, ConfigError)):
            load_dataset(str(folder / name), "no such column")
