"""safetensors files: what is written is read back here and elsewhere, and a hostile file costs nothing."""

from __future__ import annotations

import doctest
import json
import os
import tracemalloc
from contextlib import suppress
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load as reference_load
from safetensors.numpy import save as reference_save

from nasturtium.core import (
    ConfigError,
    DTypeError,
    FormatError,
    NasturtiumError,
    Tensor,
    build,
    device,
    nn,
    parse_json,
    tensor_file,
)
from nasturtium.core.nn import layer_spec
from nasturtium.core.spec import ModelSpec
from nasturtium.core.tensor_file import (
    decode_tensors,
    encode_tensors,
    load_tensors,
    read_tensor_header,
    save_tensors,
)

DTYPES = [
    np.dtype(name)
    for name in (
        *("float64", "float32", "float16", "complex64", "bool"),
        *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
        ml_dtypes.bfloat16,
    )
]


def of_every_dtype() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {f"a {dtype.name}": (4 * rng.standard_normal((2, 3))).astype(dtype) for dtype in DTYPES}


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "arrays.safetensors"


def assert_same(read: dict[str, np.ndarray], written: dict[str, np.ndarray]) -> None:
    """Names, dtypes, shapes and bits."""
    assert read.keys() == written.keys()
    for name, array in written.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
        assert read[name].tobytes() == array.tobytes()


# --- round trips ---


def arrays(dtype: np.dtype) -> st.SearchStrategy[np.ndarray]:
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
    bits = hnp.arrays(np.bool_ if dtype.kind == "b" else np.uint8, (81 * dtype.itemsize,))
    return st.builds(
        lambda shape, raw: raw.view(dtype)[: int(np.prod(shape))].reshape(shape), shapes, bits
    )  # any bits: NaN with a payload, infinities, denormals


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda name: name != "__metadata__")


@given(
    st.dictionaries(NAMES, st.sampled_from(DTYPES).flatmap(arrays), max_size=4),
    st.dictionaries(NAMES, NAMES, max_size=2),
)
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_back_bit_by_bit(tmp_path_factory, tensors, metadata):
    path = tmp_path_factory.mktemp("t") / "x"
    save_tensors(path, tensors, metadata=metadata)
    assert_same(load_tensors(path), tensors)
    header = read_tensor_header(path)
    assert header.metadata == metadata
    assert dict(header.specs) == {name: (array.shape, array.dtype) for name, array in tensors.items()}
    assert encode_tensors(tensors, metadata) == path.read_bytes()
    assert_same(decode_tensors(path.read_bytes()), tensors)


@given(st.dictionaries(NAMES, st.sampled_from(DTYPES).flatmap(arrays), max_size=4))
@settings(max_examples=150, deadline=None)
def test_our_bytes_are_those_of_the_reference_implementation(tensors):
    assert encode_tensors(tensors) == reference_save({name: np.array(a) for name, a in tensors.items()})


def test_all_dtypes_together_are_ordered_as_the_reference_implementation_orders_them():
    assert encode_tensors(of_every_dtype(), {"a": "b"}) == reference_save(of_every_dtype(), {"a": "b"})


def test_the_reference_implementation_reads_ours():
    tensors = of_every_dtype()
    del tensors["a bfloat16"]  # which its NumPy side cannot read
    assert_same(reference_load(encode_tensors(tensors)), tensors)


def test_torch_reads_ours_and_we_read_what_torch_writes(path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
    from safetensors.torch import load_file, save_file

    def plain(tensor) -> np.ndarray:
        return (
            tensor.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
            if tensor.dtype == torch.bfloat16
            else tensor.numpy()
        )

    tensors = of_every_dtype()
    save_tensors(path, tensors, metadata={"made by": "us"})
    theirs = load_file(path)
    assert theirs["a bfloat16"].dtype == torch.bfloat16
    assert_same({name: plain(tensor) for name, tensor in theirs.items()}, tensors)
    save_file(theirs, path, {"made by": "them"})
    assert_same(load_tensors(path), tensors)
    assert read_tensor_header(path).metadata == {"made by": "them"}


def test_the_order_of_names_does_not_change_the_bytes():
    tensors = of_every_dtype()
    shuffled = dict(reversed(tensors.items()))
    assert encode_tensors(tensors, {"a": "1", "b": "2"}) == encode_tensors(shuffled, {"b": "2", "a": "1"})


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1), id="transposed"),
        pytest.param(np.arange(24)[::-3], id="strided"),
        pytest.param(np.broadcast_to(np.float32(3), (2, 2)), id="broadcast"),
        pytest.param(np.asfortranarray(np.eye(3)), id="columns-first"),
        pytest.param(np.arange(3, dtype=">i4"), id="big-endian"),
    ],
)
def test_what_counts_is_the_values_not_the_memory(array):
    read = decode_tensors(encode_tensors({"x": array}))["x"]
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype.newbyteorder("=")


def test_arrays_that_were_read_are_ours_to_change(path):
    save_tensors(path, {"x": np.zeros(3), "y": np.zeros(3)})
    read = load_tensors(path)
    read["x"] += 1
    np.testing.assert_array_equal(read["y"], 0)
    np.testing.assert_array_equal(load_tensors(path)["x"], 0)


def goes_through_a_gpu(path: Path) -> None:
    gpu = device("cuda:0")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    save_tensors(path, {"tensor": Tensor(x, device=gpu), "array": gpu.put(x), "host": x})
    for array in load_tensors(path, device="cuda:0").values():
        assert Tensor(array).device == gpu
        np.testing.assert_array_equal(Tensor(array).numpy(), x)
    with gpu:
        assert Tensor(load_tensors(path)["host"]).device == gpu


def test_tensors_and_arrays_on_a_device_are_written_and_read_there(strict_cupy, path):
    goes_through_a_gpu(path)


@pytest.mark.gpu
def test_tensors_and_arrays_on_a_gpu_are_written_and_read_there(gpu, path):
    goes_through_a_gpu(path)


def test_some_names_are_read_without_the_others(path):
    save_tensors(path, {"large": np.zeros(2**22, np.uint8), "small": np.arange(3)})
    tracemalloc.start()
    try:
        assert_same(load_tensors(path, names=["small"]), {"small": np.arange(3)})
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    with pytest.raises(ConfigError, match=r"no arrays \['medium'\]: expected some of large, small"):
        load_tensors(path, names=["small", "medium"])


# --- a module's state ---

SPEC = ModelSpec((3,), (layer_spec("linear", out_features=2), layer_spec("batch_norm")))


def test_the_state_of_a_module_goes_through_a_file(path):
    first, second = (build(SPEC, np.random.default_rng(seed)) for seed in (0, 1))
    save_tensors(path, first.state())
    second.load_state(load_tensors(path))
    assert_same(second.state(), first.state())


def test_a_part_of_a_state_is_loaded_and_the_rest_is_named(path):
    first, second = (build(SPEC, np.random.default_rng(seed)) for seed in (0, 1))
    kept = second.state()["layers.1.bias"]
    state = {name: array for name, array in first.state().items() if name != "layers.1.bias"}
    save_tensors(path, {**state, "head.weight": np.zeros(1)})
    report = second.load_state(load_tensors(path), strict=False)
    assert (report.missing, report.unknown) == (("layers.1.bias",), ("head.weight",))
    assert_same(second.state(), {**first.state(), "layers.1.bias": kept})


def test_a_part_that_does_not_fit_changes_nothing():
    module = build(SPEC, np.random.default_rng(0))
    before = module.state()
    with pytest.raises(FormatError, match=r"'layers.1.bias' has shape \(3,\)"):
        module.load_state(
            {"layers.0.bias": np.ones(2, np.float32), "layers.1.bias": np.ones(3, np.float32)}, strict=False
        )
    assert_same(module.state(), before)


def test_a_complete_state_has_nothing_missing():
    module = build(SPEC, np.random.default_rng(0))
    assert module.load_state(module.state()) == nn.StateReport((), ())


# --- writing ---


def test_an_older_file_is_replaced_and_no_draft_is_left(tmp_path):
    for value in (1, 2):
        save_tensors(tmp_path / "new folder" / "x", {"x": np.full(3, value)})
    assert [file.name for file in (tmp_path / "new folder").iterdir()] == ["x"]
    np.testing.assert_array_equal(load_tensors(tmp_path / "new folder" / "x")["x"], 2)


def test_a_failure_half_way_leaves_the_older_file_and_no_draft(path, monkeypatch):
    save_tensors(path, {"x": np.zeros(3)})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NasturtiumError, match=r"cannot be written: No space left.*free some disk space"):
        save_tensors(path, {"x": np.ones(3)})
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    np.testing.assert_array_equal(load_tensors(path)["x"], 0)


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "match"),
    [
        pytest.param({"x": np.zeros(1, np.complex128)}, {}, DTypeError, "'x'.*complex128.*float32", id="complex128"),
        pytest.param({"x": np.array(["a"])}, {}, DTypeError, "'x'.*U1", id="text"),
        pytest.param({"x": [1.0]}, {}, DTypeError, "expected a NumPy or CuPy array", id="list"),
        pytest.param({1: np.zeros(1)}, {}, ConfigError, "got the name 1", id="name-number"),
        pytest.param({"__metadata__": np.zeros(1)}, {}, ConfigError, "other than '__metadata__'", id="kept-name"),
        pytest.param({"\ud800": np.zeros(1)}, {}, ConfigError, "UTF-8", id="name-surrogate"),
        pytest.param({}, {"epoch": 3}, ConfigError, "texts by name, got {'epoch': 3}", id="metadata-number"),
    ],
)
def test_what_the_format_has_no_place_for_is_refused(path, tensors, metadata, error, match):
    with pytest.raises(error, match=match):
        save_tensors(path, tensors, metadata=metadata)
    assert not path.exists()


# --- reading what is damaged, foreign or hostile ---


def file_of(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def one(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8), data: bytes = bytes(8)) -> bytes:
    return file_of({"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}, data)


def entry(start: int, end: int) -> dict:
    return {"dtype": "U8", "shape": [end - start], "data_offsets": [start, end]}


HOSTILE = [
    pytest.param(b"", "it has 0 bytes", id="empty"),
    pytest.param(b"\x02\0\0", "it has 3 bytes", id="seven-bytes-or-less"),
    pytest.param(bytes(8), "8 bytes, and a header of 0", id="no-header"),
    pytest.param(b"\xff" * 8 + b"{}", f"a header of {2**64 - 1}", id="a-header-of-2-to-the-64"),
    pytest.param(b"\x80\x02ctorch\n" + bytes(100), "not a safetensors file", id="pickle"),
    pytest.param(b"PK\x03\x04" + bytes(100), "not a safetensors file", id="zip"),
    pytest.param(file_of(b"\xff\xfe{}"), "not UTF-8", id="not-utf8"),
    pytest.param(file_of(b"{"), "its header is not valid JSON", id="cut-json"),
    pytest.param(file_of(b"[" * 200_000), "its header is not valid JSON", id="deep-json"),
    pytest.param(file_of(b'{"x": ' + b"9" * 5000 + b"}"), "its header is not valid JSON", id="endless-number"),
    pytest.param(file_of(b'{"x":1,"x":1}'), "'x' stands twice", id="a-name-twice"),
    pytest.param(file_of([]), "its header as an object, got list", id="list"),
    pytest.param(file_of({"__metadata__": 1}), "the metadata as texts", id="metadata-number"),
    pytest.param(file_of({"__metadata__": {"a": 1}}), "the metadata as texts", id="metadata-of-numbers"),
    pytest.param(file_of({"x": 1}), "'x': expected an object of dtype, shape", id="entry-number"),
    pytest.param(file_of({"x": {"dtype": "F32", "shape": [2]}}), "'x': expected an object of", id="no-offsets"),
    pytest.param(file_of({"x": {**entry(0, 0), "code": ""}}), "'x': expected an object of", id="unknown-field"),
    pytest.param(one("F8_E4M3"), "'x': unknown dtype 'F8_E4M3': expected one of .*F32", id="float8"),
    pytest.param(one(["F32"]), r"unknown dtype \['F32'\]", id="dtype-list"),
    pytest.param(one(shape=2), "expected shape as a list of whole numbers >= 0, got 2", id="shape-number"),
    pytest.param(one(shape=[2.0]), "expected shape as a list", id="shape-float"),
    pytest.param(one(shape=[True, 2]), "expected shape as a list", id="shape-bool"),
    pytest.param(one(shape=[-1, -2]), "expected shape as a list", id="shape-negative"),
    pytest.param(one(shape=[1] * 64 + [2]), "no array can have the shape", id="65-axes"),
    pytest.param(one(shape=[2**70, 0], offsets=[0, 0], data=b""), "no array can have", id="a-length-of-2-to-the-70"),
    pytest.param(one(shape=[2**62, 4], offsets=[0, 0], data=b""), "no array can have", id="a-product-of-2-to-the-64"),
    pytest.param(one(shape=[2**40]), f"takes {2**42} bytes", id="larger-than-its-place"),
    pytest.param(one(shape=[1]), r"takes 4 bytes, got data_offsets \[0, 8\]", id="smaller-than-its-place"),
    pytest.param(one(shape=[2**40], offsets=[0, 2**42]), "expected the 8 that follow", id="larger-than-the-file"),
    pytest.param(one(offsets=[8, 0]), "got data_offsets", id="offsets-backwards"),
    pytest.param(one(offsets=[8]), "got data_offsets", id="one-offset"),
    pytest.param(one(offsets=[-8, 0]), "expected data_offsets as a list", id="offsets-negative"),
    pytest.param(one(offsets=[4, 12], data=bytes(12)), "begins at byte 4: expected 0", id="a-hole-in-front"),
    pytest.param(one(data=bytes(7)), "take 8 bytes: expected the 7", id="cut-data"),
    pytest.param(one(data=bytes(9)), "take 8 bytes: expected the 9", id="data-to-spare"),
    pytest.param(file_of({"a": entry(0, 2), "b": entry(1, 3)}, bytes(3)), "'b' begins at byte 1", id="overlap"),
    pytest.param(file_of({"a": entry(0, 2), "b": entry(0, 2)}, bytes(2)), "begins at byte 0: expected 2", id="twins"),
    pytest.param(file_of({"a": entry(0, 1), "b": entry(2, 3)}, bytes(3)), "'b' begins at byte 2", id="hole"),
    pytest.param(one("BOOL", [2], [0, 2], b"\x01\x02"), "expected booleans, bytes of 0 and 1, got 2", id="a-bool-of-2"),
]


@pytest.mark.parametrize(("content", "match"), HOSTILE)
def test_a_hostile_file_is_refused_before_memory_is_taken(path, content, match):
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=match) as refused:
            load_tensors(path)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
    assert str(path) in str(refused.value)
    with pytest.raises(FormatError, match=match):
        decode_tensors(content)


def test_a_header_beyond_the_limit_is_refused_unread(path):
    """A sparse file of a terabyte whose header is most of it."""
    with path.open("wb") as file:
        file.write((2**39).to_bytes(8, "little") + b"{")
        file.truncate(2**40)
    with pytest.raises(FormatError, match=f"a header of {2**39} bytes, expected at most"):
        load_tensors(path)


def test_a_file_of_a_terabyte_costs_nothing_to_look_into(path):
    content = file_of({"x": {"dtype": "U8", "shape": [2**40], "data_offsets": [0, 2**40]}})
    with path.open("wb") as file:
        file.write(content)
        file.truncate(len(content) + 2**40)
    assert read_tensor_header(path).specs["x"].shape == (2**40,)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        pytest.param(lambda path: None, "no such file", id="nothing"),
        pytest.param(lambda path: path.mkdir(), "not a regular file", id="folder"),
        pytest.param(os.mkfifo, "not a regular file", id="pipe"),
    ],
)
def test_what_is_not_a_file_is_refused(path, make, match):
    make(path)
    with pytest.raises(FormatError, match=f"{path.name}: {match}"):
        load_tensors(path)


GOOD = encode_tensors({"a": np.arange(3, dtype=np.int16), "b": np.ones((2, 2), np.float32)}, {"k": "v"})


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_changed_file_is_read_or_refused_and_nothing_else(data):
    content = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    with suppress(FormatError):
        read = decode_tensors(bytes(content[:cut]))
        assert sum(array.nbytes for array in read.values()) <= len(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**65) | st.floats() | st.sampled_from(["F32", "BOOL", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets", "__metadata__"]), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["x", "y", "__metadata__"]), JSON), st.binary(max_size=16))
@settings(max_examples=300, deadline=None)
def test_any_header_is_read_or_refused_and_nothing_else(header, data):
    with suppress(FormatError):
        decode_tensors(file_of(header, data))


def test_the_example_runs():
    failed, attempted = doctest.testmod(tensor_file)
    assert (failed, attempted) == (0, 2)


def test_a_name_that_stands_twice_is_refused_in_any_document_of_ours():
    with pytest.raises(FormatError, match="'kind' stands twice in one object"):
        parse_json('{"layers": [{"kind": "flatten", "kind": "linear"}]}')
