"""Sources beside tables: arrays, IDX, CIFAR, folders of images; damaged files get an error of ours, and no memory."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nasturtium.core import ConfigError, DataError, MissingExtraError, NasturtiumError
from nasturtium.core.data import (
    SOURCES,
    CellError,
    LoadOptions,
    Preprocessing,
    Task,
    dataset_from_arrays,
    load_dataset,
    load_inputs,
    read_idx,
)

RNG = np.random.default_rng(0)


def test_importing_loads_no_reader():
    code = "import sys, nasturtium.core.data; print([m for m in ('polars', 'PIL', 'sklearn') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_sources_are_named_in_the_error_for_an_unknown_one(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_dataset(str(tmp_path / "data.xlsx"))
    assert list(SOURCES) == ["table", "npz", "idx", "cifar", "images"]
    assert all(source.summary in caught.value.message for source in SOURCES.values())


# --- arrays ---


@pytest.mark.parametrize(
    ("shape", "modality", "input_shape", "found"),
    [
        pytest.param((4, 3), None, (3,), "table", id="table"),
        pytest.param((4, 5, 6), None, (1, 5, 6), "image", id="grey-images"),
        pytest.param((4, 5, 6), "image", (1, 5, 6), "image", id="grey-images-named"),
        pytest.param((4, 5, 6), "sequence", (5, 6), "sequence", id="sequences"),
        pytest.param((4, 2, 5, 6), None, (2, 5, 6), "image", id="images"),
        pytest.param((4, 2, 8, 3), None, (2, 8, 3), "image", id="narrow-images"),
        pytest.param((4, 3, 3, 3), None, (3, 3, 3), "image", id="tiny-colour-images"),
    ],
)
def test_the_axes_say_what_a_row_is(shape, modality, input_shape, found):
    inputs = RNG.normal(size=shape)
    data = dataset_from_arrays(inputs, ["a", "b", "a", "b"], modality=modality)
    assert (data.task.input_shape, data.task.modality, data.task.is_image) == (input_shape, found, found == "image")
    np.testing.assert_array_equal(data.inputs, inputs.reshape(4, *input_shape))
    assert Preprocessing.fit(data.inputs, data.task).apply(data.inputs).shape == (4, *input_shape)
    assert data.task.schema == () or found == "table"


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        *(pytest.param(dtype, np.float32, id=dtype) for dtype in ("bool", "uint8", "int16", "float16", "float32")),
        *(pytest.param(dtype, np.float64, id=dtype) for dtype in ("int32", "int64", "uint64", "float64", ">f8")),
    ],
)
def test_numbers_keep_their_value(dtype, kept):
    inputs = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    data = dataset_from_arrays(inputs, [0, 1, 0])
    assert data.inputs.dtype == kept
    np.testing.assert_array_equal(data.inputs, inputs)


def test_several_measurements_are_learned_at_once():
    targets = RNG.normal(size=(5, 2))
    data = dataset_from_arrays(RNG.normal(size=(5, 3)), targets, target_names=["left", "right"])
    assert (data.task.kind, data.task.targets, data.task.outputs) == ("regression", ("left", "right"), 2)
    np.testing.assert_array_equal(data.labels, targets.astype(np.float32))
    column = dataset_from_arrays(RNG.normal(size=(5, 3)), targets[:, :1])
    assert (column.labels.shape, column.task.targets) == ((5, 1), ("target",))


def test_cells_of_any_kind_make_a_table():
    cells = [[1, "red", True], [None, " blue", False], [float("nan"), None, True], [np.float32(2), "red", False]]
    options = LoadOptions(kind=None, missing="indicate", keep=("flag",))
    data = dataset_from_arrays(cells, np.array(["n", "y", "n", "y"]), options, features=["a", "colour", "flag"])
    np.testing.assert_array_equal(data.inputs, [[1, 1], [np.nan, 0], [np.nan, np.nan], [2, 1]])
    assert data.task.schema[1].categories == ("blue", "red")
    assert data.extra["flag"].tolist() == [1, 0, 1, 0]


def test_holes_in_numbers_are_missing_values_where_that_is_allowed():
    inputs = np.array([[1, np.nan], [2, 3]])
    with pytest.raises(CellError, match="arrays: row 1, column 'x_1': the value is missing"):
        dataset_from_arrays(inputs, [0, 1])
    data = dataset_from_arrays(inputs, [0, 1], LoadOptions(missing="indicate"))
    assert [column.missing for column in data.task.schema] == ["refuse", "indicate"]
    assert (data.task.input_shape, data.task.row_shape) == ((3,), (2,))
    whole = dataset_from_arrays(np.ones((2, 2)), [0, 1], LoadOptions(missing="indicate"))
    assert whole.task == dataset_from_arrays(np.ones((2, 2)), [0, 1]).task


def test_arrays_are_read_as_a_known_task_has_them():
    task = dataset_from_arrays(RNG.normal(size=(4, 3)), ["b", "a", "c", "a"]).task
    data = dataset_from_arrays(np.ones((2, 3)), ["c", "b"], LoadOptions(task=task))
    assert (data.task, data.labels.tolist()) == (task, [2, 1])
    with pytest.raises(CellError, match="row 2, column 'target': expected a class of a, b, c, got 'd'"):
        dataset_from_arrays(np.ones((2, 3)), ["c", "d"], LoadOptions(task=task))
    with pytest.raises(DataError, match="expected rows with 3 elements"):
        dataset_from_arrays(np.ones((2, 4)), ["c", "b"], LoadOptions(task=task))
    images = dataset_from_arrays(np.ones((2, 4, 5)), ["a", "b"]).task
    flat = dataset_from_arrays(np.ones((2, 20)), ["a", "b"], LoadOptions(task=images))
    assert flat.inputs.shape == (2, 1, 4, 5)


def test_numbers_that_are_categories_stay_the_same_categories():
    codes = np.array([[9, 1.5], [10, 2.5], [9, 3.5]])
    task = dataset_from_arrays(codes, [0, 1, 0], LoadOptions(categorical=("x_0",))).task
    assert task.columns[0].categories == ("9", "10")
    data = dataset_from_arrays(np.array([[10, 0.5], [9, 0.5]]), [0, 1], LoadOptions(task=task, keep=("x_1",)))
    np.testing.assert_array_equal(data.inputs, [[1, 0.5], [0, 0.5]])
    assert data.extra["x_1"].tolist() == [0.5, 0.5]
    with pytest.raises(CellError, match="row 1, column 'x_0': unknown category '11', expected one of 9, 10"):
        dataset_from_arrays(np.array([[11, 0.5]]), [0], LoadOptions(task=task))
    with pytest.raises(DataError, match="1 of the model's 2 columns are missing: x_1"):
        dataset_from_arrays(np.array([[9], [9]]), [0, 1], LoadOptions(task=task), features=["x_0"])


@pytest.mark.parametrize(
    ("inputs", "targets", "options", "error", "match"),
    [
        pytest.param(np.ones((3, 2)), [0, 1], {}, DataError, r"got \(3, 2\) and \(2,\)", id="rows-differ"),
        pytest.param(np.ones(3), [0, 1, 0], {}, DataError, r"expected inputs .*, got \(3,\)", id="flat"),
        pytest.param(np.ones((3, 0)), [0, 1, 0], {}, DataError, "the rows have no values", id="no-columns"),
        pytest.param(np.ones((0, 2)), [], {}, DataError, "there are no rows", id="no-rows"),
        pytest.param([[1, 2], [3]], [0, 1], {}, DataError, "ragged", id="ragged"),
        pytest.param(
            np.ones((2, 2), complex), [0, 1], {}, DataError, "row 1, column 'x_0': .*got complex", id="complex"
        ),
        pytest.param(
            np.ones((2, 2, 2), complex), [0, 1], {}, DataError, "numbers, got dtype complex128", id="complex-3d"
        ),
        pytest.param([[1, {}], [2, {}]], [0, 1], {}, DataError, "column 'x_1': .*got dict", id="objects"),
        pytest.param(np.ones((2, 2)), np.ones((2, 2), int), {}, DataError, "always 1.0", id="constant-targets"),
        pytest.param(np.ones((2, 2)), np.ones((2, 0)), {}, DataError, r"got \(2, 2\) and \(2, 0\)", id="no-targets"),
        pytest.param(np.ones((2, 2)), np.array([1, 2], "M8[D]"), {}, DataError, "got dtype datetime64", id="dates"),
        pytest.param(np.ones((2, 2)), [1j, 2j], {}, DataError, "got dtype complex128", id="complex-target"),
        pytest.param(
            np.ones((2, 8, 9, 3)), [0, 1], {}, DataError, r"looks like \(N, H, W, C\).*transpose", id="channels-last"
        ),
        pytest.param(np.ones((2, 3)), [0, 1], {"modality": "image"}, DataError, "of modality 'image'", id="modality"),
        pytest.param(np.ones((2, 3)), [0, 1], {"modality": "text"}, ConfigError, "got 'text'", id="no-such-modality"),
        pytest.param(np.ones((2, 2)), [0, 1], {"features": ["a"]}, ConfigError, "2 different names", id="few-names"),
        pytest.param(
            np.ones((2, 2)), [0, 1], {"features": ["a", "a"]}, ConfigError, "2 different names", id="a-name-twice"
        ),
        pytest.param(np.ones((2, 2, 2)), [0, 1], {"features": ["a"]}, ConfigError, "have no names", id="image-names"),
        pytest.param(
            np.ones((2, 2)),
            [0.5, 1],
            {"target_names": ["a", "b"]},
            ConfigError,
            "1 names of targets",
            id="target-names",
        ),
        pytest.param(
            np.ones((2, 2)),
            [0, 1],
            {"options": LoadOptions(ignore=("z",))},
            DataError,
            "no column 'z' to ignore",
            id="ignore",
        ),
        pytest.param(
            np.ones((2, 1)),
            [0, 1],
            {"options": LoadOptions(ignore=("x_0",))},
            DataError,
            "no columns beside",
            id="ignore-all",
        ),
        pytest.param(
            np.ones((2, 1)),
            np.ones((2, 2)),
            {"options": LoadOptions()},
            DataError,
            "expected one target",
            id="two-classes",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(inputs, targets, options, error, match):
    with pytest.raises(error, match=match):
        dataset_from_arrays(inputs, targets, **options)


def test_labels_beyond_the_classes_are_refused():
    from nasturtium.core.data import Dataset

    task = Task(input_shape=(1,), features=("a",), classes=("n", "y"))
    for labels, match in (
        ([0, 2], "row 2: expected a label from 0 to 1, got 2"),
        ([-1, 0], "row 1: .* got -1"),
    ):
        with pytest.raises(DataError, match=match):
            Dataset("toy", np.ones((2, 1)), np.asarray(labels), task)
    with pytest.raises(DataError, match=r"dtype int64, got .* float64"):
        Dataset("toy", np.ones((2, 1)), np.ones(2), task)
    measured = Task(input_shape=(1,), features=("a",), kind="regression", targets=("b",))
    with pytest.raises(DataError, match=r"measurements of shape \(2, 1\) and dtype float32, got \(2,\)"):
        Dataset("toy", np.ones((2, 1)), np.ones(2, np.float32), measured)
    with pytest.raises(CellError, match="row 2, column 'b': expected a finite number, got nan"):
        Dataset("toy", np.ones((2, 1)), np.float32([[1], [np.nan]]), measured)
    with pytest.raises(DataError, match=r"'site' has shape \(3,\), expected \(2,\)"):
        Dataset("toy", np.ones((2, 1)), np.array([0, 1]), task, {"site": np.arange(3)})


def test_an_archive_of_sequences_is_known_by_its_key(tmp_path):
    np.savez(tmp_path / "a.npz", sequences=np.ones((2, 5, 3)), y=[0.5, 1.5])
    data = load_dataset(str(tmp_path / "a.npz"), options=LoadOptions(kind=None))
    assert (data.task.modality, data.task.kind, data.task.targets) == ("sequence", "regression", ("y",))


# --- IDX ---

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx(array: np.ndarray, *, shape: tuple[int, ...] | None = None, code: int | None = None) -> bytes:
    dtype = array.dtype.str[1:]
    shape = array.shape if shape is None else shape
    header = bytes([0, 0, CODES[dtype] if code is None else code, len(shape)])
    return header + struct.pack(f">{len(shape)}I", *shape) + array.astype(">" + dtype).tobytes()


@given(
    hnp.arrays(
        st.sampled_from(sorted(CODES)).map(np.dtype), hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)
    ),
    st.booleans(),
)
@settings(deadline=None)
def test_an_idx_file_holds_any_array(tmp_path_factory, array, packed):
    path = tmp_path_factory.mktemp("idx") / ("a.idx.gz" if packed else "a.idx")
    path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    again = read_idx(path)
    assert (again.dtype, again.dtype.isnative) == (array.dtype, True)
    np.testing.assert_array_equal(again, array)


DIGITS = RNG.integers(0, 256, (6, 4, 5)).astype(np.uint8)
NAMES = np.array([3, 5, 3, 5, 5, 3], np.uint8)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        pytest.param("train-images-idx3-ubyte", "train-labels-idx1-ubyte", id="mnist"),
        pytest.param("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", id="packed"),
        pytest.param("train-images.idx3-ubyte", "train-labels.idx1-ubyte.gz", id="one-unpacked"),
        pytest.param("emnist-letters-test-images-idx3-ubyte", "emnist-letters-test-labels-idx1-ubyte", id="emnist"),
    ],
)
def test_mnists_files_find_each_other(tmp_path, images, labels):
    for name, array in ((images, DIGITS), (labels, NAMES)):
        (tmp_path / name).write_bytes(gzip.compress(idx(array)) if name.endswith(".gz") else idx(array))
    data = load_dataset(str(tmp_path / images))
    np.testing.assert_array_equal(data.inputs[:, 0], DIGITS)
    assert (data.task.classes, data.labels.tolist()) == (("3", "5"), [0, 1, 0, 1, 1, 0])
    np.testing.assert_array_equal(load_inputs(str(tmp_path / images), data.task), DIGITS.reshape(6, -1))


def test_any_idx_file_may_be_the_target(tmp_path):
    (tmp_path / "rows.idx").write_bytes(idx(RNG.normal(size=(6, 3))))
    (tmp_path / "weights.idx").write_bytes(idx(np.linspace(0.5, 1, 6, dtype=np.float32)))
    data = load_dataset(str(tmp_path / "rows.idx"), "weights.idx", LoadOptions(kind=None))
    assert (data.task.kind, data.task.input_shape) == ("regression", (3,))
    with pytest.raises(ConfigError, match=r"no such file: .*height.idx"):
        load_dataset(str(tmp_path / "rows.idx"), "height.idx")
    with pytest.raises(ConfigError, match=r"no file with its labels.*--target FILE"):
        load_dataset(str(tmp_path / "rows.idx"))


WHOLE = idx(DIGITS)
HUGE = idx(DIGITS, shape=(2**32 - 1, 2**32 - 1, 2**32 - 1))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize(
    ("content", "match"),
    [
        pytest.param(b"", "not an IDX file: it starts with the bytes b''", id="empty"),
        pytest.param(b"\0\0", "not an IDX file", id="two-bytes"),
        pytest.param(b"\x89PNG" + WHOLE, "not an IDX file: it starts with the bytes .*PNG", id="other-file"),
        pytest.param(idx(DIGITS, code=10), "not an IDX file", id="unknown-type"),
        pytest.param(idx(DIGITS, shape=()), "not an IDX file", id="no-axes"),
        pytest.param(WHOLE[:9], "cut off in its header", id="cut-header"),
        pytest.param(WHOLE[:-1], "120 bytes", id="cut"),
        pytest.param(WHOLE + b"\0", "but more bytes follow", id="longer"),
        pytest.param(HUGE, "the file cannot hold them", id="huge"),
    ],
)
def test_a_damaged_idx_file_is_refused(tmp_path, content, match, packed):
    path = tmp_path / ("a.idx.gz" if packed else "a.idx")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=match):
        read_idx(path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(WHOLE, id="not-packed"),
        pytest.param(gzip.compress(WHOLE)[:-9], id="cut"),
        pytest.param(gzip.compress(WHOLE)[:-8] + b"\0" * 8, id="checksum"),
        pytest.param(gzip.compress(WHOLE)[:20] + b"\xff" * 40, id="noise"),
    ],
)
def test_a_damaged_gzip_is_refused(tmp_path, content):
    (tmp_path / "a.idx.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.idx\.gz"):
        read_idx(tmp_path / "a.idx.gz")


def test_a_file_that_grows_when_unpacked_is_read_no_further_than_its_header_says(tmp_path):
    """A header of 20 bytes of data before 50 MB of zeros."""
    content = idx(np.zeros(20, np.uint8)) + bytes(50 * 2**20)
    (tmp_path / "a.idx.gz").write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match="20 bytes, but more bytes follow"):
        read_idx(tmp_path / "a.idx.gz")


@given(st.binary(max_size=60), st.sampled_from([b"", b"\0\0\x08\x01", b"\0\0\x0d\x03\0\0\0\x01"]), st.booleans())
@settings(deadline=None)
def test_garbage_is_no_idx_file(tmp_path_factory, content, start, packed):
    path = tmp_path_factory.mktemp("garbage") / ("a.idx.gz" if packed else "a.idx")
    path.write_bytes(start + content)
    try:
        array = read_idx(path)
    except DataError:
        return
    assert not packed
    assert 4 + 4 * array.ndim + array.nbytes == len(start + content)


# --- CIFAR ---


def cifar(rows: int, *labels: int) -> tuple[bytes, np.ndarray]:
    """Rows with the same labels in front of random pixels."""
    pixels = RNG.integers(0, 256, (rows, 3072)).astype(np.uint8)
    front = np.tile(np.array(labels, np.uint8), (rows, 1))
    return np.hstack([front, pixels]).tobytes(), pixels.reshape(-1, 3, 32, 32)


def test_cifar_10_is_read_from_its_folder_without_the_test_rows(tmp_path):
    first, images = cifar(3, 7)
    second, more = cifar(2, 9)
    for name, content in (("data_batch_1", first), ("data_batch_2", second), ("test_batch", cifar(1, 0)[0])):
        (tmp_path / f"{name}.bin").write_bytes(content)
    data = load_dataset(str(tmp_path))
    np.testing.assert_array_equal(data.inputs, np.concatenate([images, more]))
    assert (data.inputs.dtype, data.labels.tolist()) == (np.float32, [7, 7, 7, 9, 9])
    assert data.task.classes == tuple(map(str, range(10)))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (tmp_path / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    test = load_dataset(str(tmp_path / "test_batch.bin"))
    assert (len(test), test.task.classes) == (1, tuple(names))
    with pytest.raises(ConfigError, match="expected a target of none: CIFAR-10 has one, got 'fine'"):
        load_dataset(str(tmp_path), "fine")
    with pytest.raises(ConfigError, match="CIFAR has classes"):
        load_dataset(str(tmp_path), options=LoadOptions(kind="regression"))
    (tmp_path / "batches.meta.txt").write_text("cat\ncat\n")
    with pytest.raises(DataError, match="expected 10 different names of classes, got 2"):
        load_dataset(str(tmp_path))


def test_cifar_100_has_two_targets(tmp_path):
    content, images = cifar(2, 19, 99)
    (tmp_path / "train.bin").write_bytes(content)
    (tmp_path / "test.bin").write_bytes(cifar(1, 0, 0)[0])
    (tmp_path / "coarse_label_names.txt").write_text("\n".join(f"kind{number}" for number in range(20)))
    fine, coarse = load_dataset(str(tmp_path)), load_dataset(str(tmp_path), "coarse")
    np.testing.assert_array_equal(fine.inputs, images)
    assert (fine.labels.tolist(), len(fine.task.classes)) == ([99, 99], 100)
    assert [coarse.task.classes[label] for label in coarse.labels] == ["kind19", "kind19"]
    assert load_dataset(str(tmp_path / "test.bin")).labels.tolist() == [0]
    with pytest.raises(ConfigError, match="'coarse' or 'fine', got 'medium'"):
        load_dataset(str(tmp_path), "medium")
    with pytest.raises(DataError, match=r"expected the classes kind0, kind1, .*, got 0, 1"):
        load_dataset(str(tmp_path), "fine", LoadOptions(task=coarse.task))


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        pytest.param("data_batch_1.bin", b"", "rows of 3073 bytes, got 0 bytes", id="empty"),
        pytest.param("data_batch_1.bin", cifar(2, 1)[0][:-1], "rows of 3073 bytes, got 6145 bytes", id="cut"),
        pytest.param("data_batch_1.bin", cifar(2, 10)[0], "row 1: expected a label below 10, got 10", id="label"),
        pytest.param("train.bin", cifar(2, 1)[0], "rows of 3074 bytes, got 6146 bytes", id="another-format"),
        pytest.param("train.bin", cifar(1, 20, 5)[0], "row 1: expected a label below 20, got 20", id="coarse-label"),
        pytest.param("train.bin", cifar(1, 5, 100)[0], "row 1: expected a label below 100, got 100", id="fine-label"),
    ],
)
def test_a_damaged_batch_is_refused(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(DataError, match=match):
            load_dataset(str(path))


def test_a_batch_of_a_terabyte_is_not_read(tmp_path):
    with (tmp_path / "train.bin").open("wb") as file:
        file.truncate(2**40)  # a hole, no disk
    with pytest.raises(DataError, match="1099511627776 bytes are more than"):
        load_dataset(str(tmp_path))


# --- folders of images ---

GREY = RNG.integers(0, 256, (5, 4)).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (5, 4, 3)).astype(np.uint8)


@pytest.fixture
def pillow():
    return pytest.importorskip("PIL.Image", reason="Pillow is not installed (extra: images)")


@pytest.fixture
def folder(tmp_path, pillow):
    """Two classes with what else lies about in such folders."""
    for name, pixels in (("b/1.png", GREY), ("a/2.PNG", GREY + 1), ("a/more/1.png", GREY + 2)):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pillow.fromarray(pixels).save(path)
    for name in ("Thumbs.db", ".hidden/1.png", "a/.DS_Store", "a/._2.png", "a/notes.txt"):
        path = tmp_path / "images" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no image")
    return tmp_path / "images"


def test_a_folder_of_images_has_its_folders_as_classes(folder):
    data = load_dataset(str(folder))
    np.testing.assert_array_equal(data.inputs[:, 0], np.float32([GREY + 1, GREY + 2, GREY]))
    assert (data.name, data.task.classes, data.labels.tolist()) == ("images", ("a", "b"), [0, 0, 1])
    assert (data.task.input_shape, data.inputs.dtype) == ((1, 5, 4), np.float32)
    np.testing.assert_array_equal(load_inputs(str(folder / "a"), data.task), data.inputs[:2].reshape(2, -1))
    np.testing.assert_array_equal(load_inputs(str(folder / "b" / "1.png"), data.task), data.inputs[2:].reshape(1, -1))


def test_colour_images_are_read_channels_first_and_grey_ones_join_them(folder, pillow):
    pillow.fromarray(COLOUR).save(folder / "b" / "2.png")
    data = load_dataset(str(folder))
    np.testing.assert_array_equal(data.inputs[-1], COLOUR.transpose(2, 0, 1))
    np.testing.assert_array_equal(data.inputs[0], np.stack([GREY + 1] * 3))
    single = load_inputs(str(folder / "b" / "1.png"), data.task)
    np.testing.assert_array_equal(single, np.stack([GREY] * 3).reshape(1, -1))


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("LA", 1), ("I;16", 1), ("P", 3), ("RGB", 3), ("RGBA", 3)],
)
def test_every_mode_of_a_png_becomes_eight_bits(folder, pillow, mode, channels):
    image = pillow.fromarray(GREY.astype(np.uint16) << 8) if mode == "I;16" else pillow.fromarray(COLOUR).convert(mode)
    for name in ("a/2.PNG", "a/more/1.png", "b/1.png"):
        image.save(folder / name)
    data = load_dataset(str(folder))
    assert data.task.input_shape == (channels, 5, 4)
    if mode == "I;16":
        np.testing.assert_array_equal(data.inputs[0, 0], GREY)
    elif mode in {"RGB", "RGBA"}:
        np.testing.assert_array_equal(data.inputs[0], COLOUR.transpose(2, 0, 1))
    assert 0 <= data.inputs.min() < data.inputs.max() <= 255


def test_a_photograph_is_turned_upright(folder, pillow):
    image = pillow.fromarray(np.kron([[0, 80], [160, 240]], np.ones((16, 16))).astype(np.uint8))
    turned = pillow.Exif()
    turned[0x0112] = 6  # the camera was turned by 90 degrees
    image.save(folder / "b" / "1.jpg", exif=turned)
    (folder / "b" / "1.png").unlink()
    data = load_dataset(str(folder), options=LoadOptions(image_size=(2, 2)))
    np.testing.assert_allclose(data.inputs[-1, 0], [[160, 0], [240, 80]], atol=39)  # scaling blurs


def test_images_are_scaled_to_one_size_where_that_is_asked_for(folder, pillow):
    pillow.fromarray(np.full((20, 30), 77, np.uint8)).save(folder / "b" / "2.jpeg")
    with pytest.raises(DataError, match=r"2.jpeg: expected an image of 4 x 5 pixels like the first, got 30 x 20"):
        load_dataset(str(folder))
    data = load_dataset(str(folder), options=LoadOptions(image_size=(10, 6)))
    assert data.task.input_shape == (1, 10, 6)
    np.testing.assert_array_equal(data.inputs[-1], 77)
    assert load_inputs(str(folder / "b"), data.task).shape == (2, 60)


def test_another_folder_is_read_with_the_same_classes(folder, pillow):
    task = load_dataset(str(folder)).task
    (folder / "a").rename(folder / "c")
    with pytest.raises(DataError, match="expected the classes a, b, got a folder 'c'"):
        load_dataset(str(folder), options=LoadOptions(task=task))
    (folder / "c").rename(folder.parent / "elsewhere")
    data = load_dataset(str(folder), options=LoadOptions(task=task))
    assert (data.labels.tolist(), data.task) == ([1], task)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        pytest.param(
            lambda f: (f / "a" / "3.png").write_bytes(b""), DataError, "3.png: cannot be read", id="empty-file"
        ),
        pytest.param(
            lambda f: (f / "a" / "2.PNG").write_bytes((f / "a" / "2.PNG").read_bytes()[:48]),
            DataError,
            "2.PNG: cannot be read as a PNG or JPEG",
            id="cut",
        ),
        pytest.param(
            lambda f: (f / "a" / "3.jpg").write_bytes(b"GIF89a" + b"\0" * 40), DataError, "3.jpg: cannot", id="gif"
        ),
        pytest.param(lambda f: (f / "empty").mkdir(), DataError, "its folder 'empty' has none", id="empty-class"),
    ],
)
def test_a_folder_with_a_file_that_is_no_image_is_refused(folder, change, error, match):
    change(folder)
    with pytest.raises(error, match=match):
        load_dataset(str(folder))


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it has so many grey pixels, and holds none."""
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height", "match"),
    [
        pytest.param(2**16, 2**10 + 1, "65536 x 1025 pixels are more than 67108864", id="above-our-limit"),
        pytest.param(2**15, 2**12, "2.PNG", id="above-pillows"),
        pytest.param(2**31 - 1, 2**31 - 1, "2.PNG", id="a-bomb"),
    ],
)
def test_an_image_that_says_it_is_huge_is_refused_before_memory_is_asked_for(folder, width, height, match):
    (folder / "a" / "2.PNG").write_bytes(png_of(width, height))
    with pytest.raises(DataError, match=match):
        load_dataset(str(folder))


def test_folders_that_are_no_classes_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"expected one folder of .png or .jpg images per class; it has no folders"):
        load_dataset(str(tmp_path))
    with pytest.raises(ConfigError, match="the folders of images are its classes, got --target age"):
        load_dataset(str(tmp_path), "age")
    with pytest.raises(ConfigError, match="got kind='regression'"):
        load_dataset(str(tmp_path), options=LoadOptions(kind="regression"))
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(ConfigError, match="expected a folder with a folder of images for each class, got a file"):
        load_dataset(str(tmp_path / "1.png"))
    with pytest.raises(ConfigError, match="no such file"):
        load_dataset(str(tmp_path / "2.png"))


@given(st.binary(max_size=80), st.integers(0, 200), st.sampled_from(["png", "jpg"]))
@settings(deadline=None, max_examples=60)
def test_damaged_images_are_read_or_refused_by_us(tmp_path_factory, noise, place, suffix):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed (extra: images)")
    path = tmp_path_factory.mktemp("noise") / "a" / f"1.{suffix}"
    path.parent.mkdir()
    image.fromarray(COLOUR).save(path)
    content = path.read_bytes()
    path.write_bytes(content[:place] + noise + content[place + len(noise) :])
    task = Task(input_shape=(3, 5, 4), features=tuple(map(str, range(60))), classes=("a", "b"))
    try:
        rows = load_inputs(str(path), task)
    except NasturtiumError:
        return
    assert rows.shape == (1, 60)


def test_without_pillow_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r'pip install "nasturtium\[images\]"'):
        load_dataset(str(folder))
