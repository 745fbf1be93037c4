"""Data: loading, splitting, preprocessing; and what is said of data that cannot be used."""

from __future__ import annotations

import doctest
import importlib
import io
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nasturtium.core import ConfigError, DataError, NasturtiumError
from nasturtium.core.data import (
    Dataset,
    Task,
    load_dataset,
    load_inputs,
)

# --- loading ---


def test_digits_are_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    digits, bundled = datasets.load_digits(), load_dataset("digits")
    np.testing.assert_array_equal(bundled.inputs[:, 0], digits.images)
    np.testing.assert_array_equal(bundled.labels, digits.target)
    assert bundled.task.classes == tuple(map(str, digits.target_names))
    assert bundled.task.features == tuple(digits.feature_names)
    assert (bundled.task.input_shape, bundled.task.is_image, len(bundled)) == ((1, 8, 8), True, 1797)


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def parquet(**columns) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def damaged_npz() -> bytes:
    """Compressed members with noise in the middle."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.random.default_rng(0).normal(size=(50, 2)), y=np.arange(50) % 2)
    content = bytearray(buffer.getvalue())
    content[60:80] = b"\xff" * 20
    return bytes(content)


def huge_npz(shape: tuple[int, ...]) -> bytes:
    """An array of four numbers whose header says that it has another shape."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return archive(**{"x.npy": buffer.getvalue() + bytes(32), "y.npy": npy(np.array([0, 1]))})


def lying_npz() -> bytes:
    """An array of three gigabytes by its header and by the archive's directory; 32 bytes are there."""
    content, buffer = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<f8", "fortran_order": False, "shape": (400_000_000,)})
    size = content.tell() + 3_200_000_000
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", content.getvalue() + bytes(32))
        file.getinfo("x.npy").file_size = size  # the directory is written at the end
    return buffer.getvalue()


IMAGES = np.arange(24.0).reshape(2, 3, 4)
PEOPLE = (("age", "height"), [[30.0, 1.5], [40.0, 1.75], [50.0, 2.0]])
UNNAMED = (("column_1", "column_2"), [[30.0, 1.5], [40.0, 1.75], [50.0, 2.0]])
YES_NO = (("no", "yes"), [1, 0, 1])


@pytest.mark.parametrize(
    ("name", "content", "target", "table", "classes"),
    [
        pytest.param("a.csv", b"age,height,ill\n30,1.5,yes\n40,1.75,no\n50,2,yes\n", "ill", PEOPLE, YES_NO, id="csv"),
        pytest.param(
            "a.CSV", b"ill,age,height\nyes,30,1.5\nno,40,1.75\nyes,50,2\n", "ill", PEOPLE, YES_NO, id="target-1st"
        ),
        pytest.param(
            "a.tsv", b"age\theight\till\n30\t1.5\tyes\n40\t1.75\tno\n50\t2\tyes\n", "ill", PEOPLE, YES_NO, id="tsv"
        ),
        pytest.param(
            "a.csv", b"age,height,ill\n30, 1.5,yes\n40,1.75 ,no\n50,2,yes\n", "ill", PEOPLE, YES_NO, id="spaces"
        ),
        pytest.param(
            "a.csv", b"30,1.5,7\n40,1.75,-1\n50,2,7\n", "column_3", UNNAMED, (("-1", "7"), [1, 0, 1]), id="no-header"
        ),
        pytest.param(
            "a.csv",
            b"1,1,1\n0,1,0\n1,0,1\n",
            "column_3",
            (("column_1", "column_2"), [[1, 1], [0, 1], [1, 0]]),
            (("0", "1"), [1, 0, 1]),
            id="no-header-and-equal-numbers",
        ),
        pytest.param(
            "a [1]*.csv", b"age,height,ill\n30,1.5,yes\n40,1.75,no\n50,2,yes\n", "ill", PEOPLE, YES_NO, id="glob"
        ),
        pytest.param(
            "a.parquet",
            parquet(age=[30, 40, 50], height=[1.5, 1.75, 2.0], ill=["yes", "no", "yes"]),
            "ill",
            PEOPLE,
            YES_NO,
            id="parquet",
        ),
        pytest.param(
            "a.pq",
            parquet(age=[30, 40, 50], height=[1.5, 1.75, 2.0], ill=[True, False, True]),
            "ill",
            PEOPLE,
            (("False", "True"), [1, 0, 1]),
            id="parquet-booleans",
        ),
        pytest.param(
            "a.parquet",
            parquet(
                age=[30, 40, 50],
                height=[1.5, 1.75, 2.0],
                ill=pl.Series(["low", "high", "mid"], dtype=pl.Enum(["low", "mid", "high"])),
            ),
            "ill",
            PEOPLE,
            (("high", "low", "mid"), [1, 0, 2]),
            id="parquet-enum",
        ),
        pytest.param(
            "a.parquet",
            parquet(age=[30, 40, 50], height=[1.5, 1.75, 2.0], ill=pl.Series(["b", "a", "b"], dtype=pl.Categorical)),
            "ill",
            PEOPLE,
            (("a", "b"), [1, 0, 1]),
            id="parquet-categorical",
        ),
        pytest.param(
            "a.csv",
            b"age,height,ill\n30,1.5,2.0\n40,1.75,1.0\n50,2,2.0\n",
            "ill",
            PEOPLE,
            (("1", "2"), [1, 0, 1]),
            id="whole-floats-are-classes",
        ),
        pytest.param(
            "a.npz",
            npz(x=np.array([[30, 1.5], [40, 1.75], [50, 2]]), y=np.array(["yes", "no", "yes"])),
            None,
            (("x_0", "x_1"), PEOPLE[1]),
            YES_NO,
            id="npz",
        ),
        pytest.param(
            "a.npz",
            npz(features=np.array([[30, 1.5], [40, 1.75], [50, 2]]), ill=np.array([7, -1, 7])),
            "ill",
            (("x_0", "x_1"), PEOPLE[1]),
            (("-1", "7"), [1, 0, 1]),
            id="npz-named",
        ),
        pytest.param(
            "a.npz",
            npz(images=IMAGES, labels=np.array([5, 3])),
            None,
            (tuple(f"x_0_{i}_{j}" for i in range(3) for j in range(4)), IMAGES[:, None]),
            (("3", "5"), [1, 0]),
            id="npz-images",
        ),
    ],
)
def test_a_file_becomes_rows_and_classes(tmp_path, name, content, target, table, classes):
    (tmp_path / name).write_bytes(content)
    data = load_dataset(str(tmp_path / name), target)
    features, rows = table
    np.testing.assert_array_equal(data.inputs, rows)
    assert (data.inputs.dtype.kind, data.labels.dtype) == ("f", np.int64)
    assert (data.task.classes, data.labels.tolist()) == classes
    assert (data.name, data.task.features, data.task.input_shape) == (name, features, data.inputs.shape[1:])


CSV = b"age,ill\n30,yes\n40,no\n"


@pytest.mark.parametrize(
    ("name", "content", "target", "error", "match"),
    [
        pytest.param(
            "a.csv", CSV, None, ConfigError, "no target column was named; its columns are age, ill", id="no-target"
        ),
        pytest.param(
            "a.csv", CSV, "sick", ConfigError, "no column 'sick'; its columns are age, ill", id="missing-target"
        ),
        pytest.param("a.csv", None, "ill", ConfigError, "no such file: .*a.csv", id="no-such-file"),
        pytest.param(
            "a.xlsx", b"", "ill", ConfigError, r"unknown data set '.*a.xlsx'.*expected digits", id="unknown-kind"
        ),
        pytest.param("a.csv", b"ill\nyes\nno\n", "ill", DataError, "no columns beside the target", id="target-only"),
        pytest.param("a.csv", b"age,ill\n", "ill", DataError, "there are no rows", id="header-only"),
        pytest.param("a.csv", b"", "ill", DataError, "cannot be read as a table", id="empty"),
        pytest.param("a.parquet", b"", "ill", DataError, "cannot be read as a table", id="empty-parquet"),
        pytest.param("a.npz", b"", "ill", DataError, "cannot be read as NPZ", id="empty-npz"),
        pytest.param(
            "a.csv",
            b"age,ill\n30,yes\nold,no\n",
            "ill",
            DataError,
            "row 2, column 'age': expected a number, got 'old'.*encode the column",
            id="text-in-a-feature",
        ),
        pytest.param(
            "a.csv",
            b"age,ill\n30,yes\nnan,no\n",
            "ill",
            DataError,
            "row 2, column 'age': the value is missing",
            id="nan",
        ),
        pytest.param(
            "a.csv", b"age,ill\n30,yes\ninf,no\n", "ill", DataError, "row 2, column 'age': .*got inf", id="infinity"
        ),
        pytest.param(
            "a.csv",
            b"age,ill\n1e300,yes\n1,no\n",
            "ill",
            DataError,
            "row 1, column 'age': .*range of float32, got 1e.300",
            id="overflow",
        ),
        pytest.param(
            "a.csv",
            b"age,x,ill\n30,1,yes\n,1,no\n",
            "ill",
            DataError,
            "row 2, column 'age': the value is missing",
            id="missing",
        ),
        pytest.param(
            "a.csv",
            b"1,,0\n1,2,1\n",
            "column_3",
            DataError,
            "row 1, column 'column_2': the value is",
            id="missing-in-headerless",
        ),
        pytest.param(
            "a.csv",
            b"age,ill\n30,yes\n40,\n",
            "ill",
            DataError,
            "row 2, column 'ill': the target is missing",
            id="missing-label",
        ),
        pytest.param("a.csv", b"age,ill\n30,yes\n40,yes\n", "ill", DataError, "only one class: yes", id="one-class"),
        pytest.param(
            "a.csv",
            b"age,ill\n30,0.5\n40,1.5\n",
            "ill",
            DataError,
            "looks like a measurement .*float64 such as 0.5, 1.5.*kind='regression'",
            id="measurement",
        ),
        pytest.param(
            "a.csv", b"age,ill\n30,1e300\n40,1.0\n", "ill", DataError, "like a measurement", id="huge-measurement"
        ),
        pytest.param(
            "a.csv",
            b"age,ill\n" + b"".join(b"%d,%d.0\n" % (i, i) for i in range(21)),
            "ill",
            DataError,
            "like a measurement",
            id="many-whole-floats",
        ),
        pytest.param(
            "a.parquet", parquet(a=[1, 2], y=[[1], [2]]), "y", DataError, "holds no classes: got List", id="lists"
        ),
        pytest.param(
            "a.parquet",
            parquet(a=pl.Series(["2020-01-01", "2020-01-02"]).str.to_date(), y=[0, 1]),
            "y",
            DataError,
            "'a' is not numeric: expected numbers or text, got Date such as",
            id="dates",
        ),
        pytest.param(
            "a.parquet", parquet(a=[None, None], y=[0, 1]), "y", DataError, "Null, all missing", id="all-missing"
        ),
        pytest.param(
            "a.csv", b"a,b\n\xff\xfe\x00\x01\n", "b", DataError, "cannot be read as a table", id="garbage-csv"
        ),
        pytest.param("a.csv", b"a,b\n1,2,3\n", "b", DataError, "cannot be read as a table", id="ragged-csv"),
        pytest.param("a.parquet", b"garbage" * 9, "b", DataError, "cannot be read as a table", id="garbage-parquet"),
        pytest.param("a.npz", b"garbage" * 9, None, DataError, "cannot be read as NPZ", id="garbage-npz"),
        pytest.param(
            "a.npz", npz(x=np.ones((2, 2)), y=[0, 1])[:-30], None, DataError, "cannot be read as NPZ", id="cut-npz"
        ),
        pytest.param(
            "a.npz", huge_npz((10**15,)), None, DataError, "header of x.npy says .*8000000000000000", id="huge-npz"
        ),
        pytest.param("a.npz", huge_npz((3, 2)), None, DataError, "header of x.npy says .*48 bytes", id="npz-grown"),
        pytest.param("a.npz", huge_npz((1, 2)), None, DataError, "header of x.npy says .*16 bytes", id="npz-shrunk"),
        pytest.param("a.npz", lying_npz(), None, DataError, "cannot be in", id="npz-that-lies-in-its-directory"),
        pytest.param("a.npz", damaged_npz(), None, DataError, "cannot be read as NPZ", id="damaged-npz"),
        pytest.param("a.npz", npy(np.ones((4, 2))), None, DataError, "cannot be read as NPZ", id="single-array"),
        pytest.param(
            "a.npz", archive(x=b"hello", y=b"hello"), None, ConfigError, "got an empty archive", id="other-zip"
        ),
        pytest.param(
            "a.npz", npz(x=np.array([None, {}], object), y=[0, 1]), None, DataError, "allow_pickle=False", id="pickle"
        ),
        pytest.param(
            "a.npz", npz(x=np.ones((2, 2))), None, ConfigError, "no array for the target.*one of y, Y", id="npz-no-y"
        ),
        pytest.param("a.npz", npz(y=np.arange(2)), None, ConfigError, "no array for the inputs.*got y", id="npz-no-x"),
        pytest.param(
            "a.npz", npz(x=np.ones((3, 2)), y=[0, 1]), None, DataError, r"got \(3, 2\) and \(2,\)", id="npz-rows"
        ),
        pytest.param(
            "a.npz", npz(x=np.ones(2), y=[0, 1]), None, DataError, r"expected inputs .* got \(2,\)", id="npz-flat"
        ),
        pytest.param(
            "a.npz", npz(x=np.ones((2, 2)), y=[0.5, 1]), None, DataError, "looks like a meas", id="npz-measurement"
        ),
        pytest.param(
            "a.npz", npz(x=np.full((2, 2, 2), "a"), y=[0, 1]), None, DataError, "numbers, got dtype <U1", id="npz-text"
        ),
        pytest.param(
            "a.npz",
            npz(x=np.array([[1, 2], [3, np.nan]]), y=[0, 1]),
            None,
            DataError,
            "row 2, column 'x_1'",
            id="npz-nan",
        ),
        pytest.param(
            "a.npz",
            npz(x=np.array([[1e300], [1]]), y=[0, 1]),
            None,
            DataError,
            "row 1, column 'x_0'",
            id="npz-overflow",
        ),
        pytest.param(
            "a.npz", npz(x=np.ones((0, 2)), y=np.array([], int)), None, DataError, "no rows", id="npz-no-rows"
        ),
    ],
)
def test_unusable_data_is_refused_with_its_place(tmp_path, name, content, target, error, match):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=match) as caught:
        load_dataset(str(path), target)
    assert name in str(caught.value)


def test_a_pickle_in_an_archive_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "a.npz").write_bytes(npz(x=np.array([Bomb()], object), y=np.array([0])))
    (tmp_path / "b.npz").write_bytes(npy(np.array([Bomb()], object)))
    for name in ("a.npz", "b.npz"):
        with pytest.raises(DataError):
            load_dataset(str(tmp_path / name))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("source", "target", "match"), [("digit", None, "expected digits"), ("digits", "y", "own target")]
)
def test_bundled_names_are_exact_and_have_their_own_target(source, target, match):
    with pytest.raises(ConfigError, match=match):
        load_dataset(source, target)


# --- rows to predict ---

TASK = Task(input_shape=(2,), features=("age", "height"), classes=("no", "yes"))
HEADERLESS = Task(input_shape=(2,), features=("column_2", "column_3"), classes=("0", "1"))
ROWS = [[30.0, 1.5], [40.0, 1.75]]


@pytest.mark.parametrize(
    ("name", "content", "task"),
    [
        pytest.param("a.csv", b"height,name,age\n1.5,Ann,30\n1.75,Bob,40\n", TASK, id="by-name-in-any-order"),
        pytest.param("a.csv", b"30,1.5\n40,1.75\n", TASK, id="by-position-without-a-header"),
        pytest.param("a.csv", b"30,1.5\n40,1.75\n", HEADERLESS, id="headerless-model-without-its-target"),
        pytest.param("a.csv", b"0,30,1.5\n1,40,1.75\n", HEADERLESS, id="headerless-model-with-its-target"),
        pytest.param("a.tsv", b"age\theight\n30\t1.5\n40\t1.75\n", TASK, id="tsv"),
        pytest.param("a.parquet", parquet(height=[1.5, 1.75], age=[30, 40]), TASK, id="parquet"),
        pytest.param("a.npz", npz(x=np.array(ROWS)), TASK, id="npz"),
        pytest.param("a.npz", npz(x=np.array(ROWS)[:, None, :, None]), TASK, id="npz-images-become-rows"),
    ],
)
def test_rows_to_predict(tmp_path, name, content, task):
    (tmp_path / name).write_bytes(content)
    inputs = load_inputs(str(tmp_path / name), task)
    assert inputs.dtype.kind == "f"
    np.testing.assert_array_equal(inputs, ROWS)


@pytest.mark.parametrize(
    ("name", "content", "error", "match"),
    [
        pytest.param("a.csv", None, ConfigError, "no such file: .*a.csv", id="no-such-file"),
        pytest.param("a.txt2", b"", ConfigError, "expected a .csv.*got '.*a.txt2'", id="unknown-kind"),
        pytest.param(
            "a.csv", b"age,size\n1,2\n", DataError, "1 of the model's 2 columns are missing: height", id="missing"
        ),
        pytest.param(
            "a.csv", b"1,2,3\n", DataError, "2 of the model's 2 columns are missing: age, height", id="too-many"
        ),
        pytest.param(
            "a.csv",
            b"age,height\n1,tall\n",
            DataError,
            "row 1, column 'height': expected a number, got 'tall'",
            id="text",
        ),
        pytest.param("a.csv", b"age,height\n1,1e300\n", DataError, "row 1, column 'height': .*got 1e", id="overflow"),
        pytest.param(
            "a.npz", npz(x=np.ones((2, 3))), DataError, r"rows with 2 elements, got shape \(2, 3\)", id="npz-width"
        ),
        pytest.param(
            "a.npz",
            npz(x=np.array([[1, 2], [np.inf, 1]])),
            DataError,
            "row 2, column 'age': .*got inf",
            id="npz-infinity",
        ),
        pytest.param("a.npz", npz(z=np.ones((2, 2))), ConfigError, "no array for the inputs", id="npz-no-inputs"),
    ],
)
def test_rows_that_do_not_fit_the_model_are_refused(tmp_path, name, content, error, match):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=match):
        load_inputs(str(tmp_path / name), TASK)


# --- the data set itself ---


def dataset(labels: np.ndarray, classes: int | None = None) -> Dataset:
    """Rows that carry their own number, so that a part shows where it came from."""
    count = int(labels.max()) + 1 if classes is None else classes
    task = Task(input_shape=(1,), features=("row",), classes=tuple(map(str, range(max(count, 2)))))
    return Dataset("toy", np.arange(len(labels), dtype=np.float32)[:, None], labels.astype(np.int64), task)


def rows_of(part: Dataset) -> list[int]:
    return part.inputs[:, 0].astype(int).tolist()


@pytest.mark.parametrize(
    ("inputs", "classes", "match"),
    [
        pytest.param(np.zeros((2, 2)), ("a", "b"), r"expected inputs of shape \(2, 1\), got \(2, 2\)", id="shape"),
        pytest.param(np.zeros((0, 1)), ("a", "b"), "there are no rows", id="empty"),
        pytest.param(np.zeros((2, 1)), ("a",), "only one class: a", id="one-class"),
        pytest.param(np.array([[0], [np.nan]]), ("a", "b"), "row 2, column 'row': the value is missing", id="nan"),
    ],
)
def test_a_data_set_is_checked_once(inputs, classes, match):
    labels = np.zeros(len(inputs), np.int64)
    with pytest.raises(DataError, match=match):
        Dataset("toy", inputs.astype(np.float32), labels, Task(input_shape=(1,), features=("row",), classes=classes))


def test_the_fingerprint_is_of_the_content_and_not_of_the_name():
    data = dataset(np.array([0, 1, 0]))
    renamed = Dataset("other", data.inputs.copy(), data.labels, data.task)
    assert renamed.fingerprint == data.fingerprint
    moved = Dataset("toy", data.inputs + 1, data.labels, data.task)
    flipped = Dataset("toy", data.inputs, 1 - data.labels, data.task)
    named = Dataset("toy", data.inputs, data.labels, Task(input_shape=(1,), features=("row",), classes=("a", "b")))
    assert len({part.fingerprint for part in (data, moved, flipped, named)}) == 4


def test_join_undoes_take():
    data = dataset(np.array([0, 1, 0, 1]))
    parts = data.take(np.array([0, 1])), data.take(np.array([2, 3]))
    assert parts[0].join(parts[1]).fingerprint == data.fingerprint


@pytest.mark.parametrize("name", ["arrays", "augment", "loader"])
def test_the_examples_in_the_docstrings_run(name):
    module = importlib.import_module(f"nasturtium.core.data.{name}")
    failed, run = doctest.testmod(module)
    assert (failed, run > 0) == (0, True)


def test_every_error_of_data_is_a_value_error_of_ours():
    assert issubclass(DataError, NasturtiumError)
    assert issubclass(DataError, ValueError)
