"""DLPack: what goes out comes back, shared and of the same dtype; what cannot be shared is refused."""

from __future__ import annotations

import ctypes
import gc
import weakref

import ml_dtypes
import numpy as np
import pytest

from nasturtium.core import CPU, DTypeError, GradientError, Tensor, dlpack
from nasturtium.core.array_api import asarray, from_dlpack

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
]
LAYOUTS = [
    pytest.param(lambda x: x, id="whole"),
    pytest.param(lambda x: x.T, id="transposed"),
    pytest.param(lambda x: x[1:, ::2], id="offset and steps"),
    pytest.param(lambda x: x[:, ::-1], id="backwards"),
    pytest.param(lambda x: x[0, 0, ...], id="0-d"),
    pytest.param(lambda x: x[:0], id="empty"),
]


def numbers(dtype: str) -> np.ndarray:
    """Three rows of four numbers."""
    return (np.arange(12).reshape(3, 4) % 5).astype(BFLOAT16 if dtype == "bfloat16" else dtype)


class Producer:
    """Another library's tensor: hands out a capsule that is ready, and knows arguments or does not."""

    def __init__(self, capsule, device=(1, 0), *, old: bool = False) -> None:
        self.capsule, self.device, self.old = capsule, device, old

    def __dlpack__(self, **arguments):
        if self.old and arguments:
            raise TypeError("__dlpack__() takes no keyword arguments")
        return self.capsule

    def __dlpack_device__(self):
        return self.device


@pytest.mark.parametrize("versioned", [True, False], ids=["versioned", "before 1.0"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_array_comes_back_as_it_was(dtype, layout, versioned):
    array = layout(numbers(dtype))
    capsule = Tensor(array).__dlpack__(max_version=(1, 0) if versioned else None)
    assert ('"dltensor_versioned"' if versioned else '"dltensor"') in repr(capsule)
    back = dlpack.from_dlpack(Producer(capsule))
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.size <= 1 or back.strides == array.strides
    assert back.tobytes() == array.tobytes()
    assert not array.size or np.shares_memory(back, array)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pytorch_shares_our_memory_and_we_its(dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
    ours = Tensor(numbers(dtype).T)
    theirs = torch.from_dlpack(ours)
    assert (theirs.dtype, tuple(theirs.shape)) == (getattr(torch, dtype), ours.shape)
    assert theirs.data_ptr() == ours.data.ctypes.data
    assert ours.data[0, 1] != 0
    theirs[0, 1] = 0
    assert ours.data[0, 1] == 0
    again = from_dlpack(theirs)
    assert again.dtype == ours.dtype
    assert np.shares_memory(again.data, ours.data)
    np.testing.assert_array_equal(again.data, ours.data)


def test_a_tensor_is_made_from_a_bfloat16_of_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
    theirs = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    for ours in (Tensor(theirs), asarray(theirs)):
        assert ours.dtype == BFLOAT16
        assert ours.tolist() == [1.5, -2.0]


def test_a_tensor_of_pytorch_that_requires_a_gradient_is_refused():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
    with pytest.raises(BufferError, match="require"):
        from_dlpack(torch.ones(2, requires_grad=True))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_read_only_memory_stays_read_only(dtype):
    array = numbers(dtype)
    array.flags.writeable = False
    back = dlpack.from_dlpack(Producer(Tensor(array).__dlpack__(max_version=(1, 0))))
    assert not back.flags.writeable
    with pytest.raises(BufferError, match=r"read-?only"):
        Tensor(array).__dlpack__()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_copy_is_made_when_asked_for_and_only_then(dtype):
    array = numbers(dtype)
    tensor = Tensor(array)
    for copy in (None, False):
        assert np.shares_memory(from_dlpack(tensor, copy=copy).data, array)
    copied = from_dlpack(tensor, copy=True).data
    assert not np.shares_memory(copied, array)
    np.testing.assert_array_equal(copied, array)


def test_an_exporter_without_arguments_is_understood():
    array = numbers("float32")
    for copy in (None, True):
        back = from_dlpack(Producer(array.__dlpack__(), old=True), copy=copy).data
        np.testing.assert_array_equal(back, array)
        assert np.shares_memory(back, array) is not bool(copy)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("taken", [True, False], ids=["taken", "never taken"])
def test_memory_is_freed_once_nobody_needs_it(dtype, taken):
    array = numbers(dtype)
    alive = weakref.ref(array)
    holder = Tensor(array).__dlpack__(max_version=(1, 0))
    del array
    if taken:
        holder = dlpack.from_dlpack(Producer(holder))
    gc.collect()
    assert alive() is not None
    del holder
    gc.collect()
    assert alive() is None


def test_a_capsule_is_taken_once():
    capsule = Tensor([1.0]).__dlpack__()
    dlpack.from_dlpack(Producer(capsule))
    with pytest.raises(BufferError, match="nobody has taken"):
        dlpack.from_dlpack(Producer(capsule))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"dl_device": (2, 0)}, r"device \(2, 0\)", id="onto a GPU"),
        pytest.param({"dl_device": (1, 3)}, r"device \(1, 3\)", id="onto a CPU that is not there"),
        pytest.param({"stream": 1}, "stream=None", id="on a stream"),
    ],
)
def test_what_an_array_on_the_cpu_cannot_be_exported_as(arguments, message):
    with pytest.raises(BufferError, match=message):
        Tensor([1.0]).__dlpack__(**arguments)


@pytest.mark.parametrize("device", [(2, 7), (8, 0), (10, 0)], ids=["no such GPU", "Metal", "ROCm"])
def test_a_device_that_is_not_here_is_refused(device):
    with pytest.raises(BufferError, match=rf"device \({device[0]}, {device[1]}\)"):
        dlpack.from_dlpack(Producer(None, device))


class Head(ctypes.Structure):
    """The start of a `DLManagedTensorVersioned`."""

    _fields_ = (("major", ctypes.c_uint32), ("minor", ctypes.c_uint32))


def head_of(capsule) -> Head:
    """The version of a capsule, to be written to."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    return Head.from_address(pointer(capsule, b"dltensor_versioned"))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"lanes": 4}, id="vectors as elements"),
        pytest.param({"code": 4, "bits": 32}, id="bfloat of 32 bits"),
        pytest.param({"code": 3, "bits": 64}, id="handles"),
        pytest.param({"code": 2, "bits": 8}, id="float of 8 bits"),
        pytest.param({"code": 10, "bits": 8}, id="float8_e5m2"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_elements_that_we_do_not_have_are_refused(dtype, change):
    capsule = Tensor(numbers(dtype)).__dlpack__()
    field = dlpack._dtype_in(capsule)
    for name, value in change.items():
        setattr(field, name, value)
    with pytest.raises(BufferError, match="DLPack"):
        dlpack.from_dlpack(Producer(capsule))


def test_a_version_that_we_do_not_read_is_refused():
    capsule = Tensor([1.0]).__dlpack__(max_version=(1, 0))
    head_of(capsule).major = 2
    with pytest.raises(BufferError, match=r"version 1, got 2"):
        dlpack.from_dlpack(Producer(capsule))
    head_of(capsule).major = 1  # so that NumPy frees it


def test_something_that_is_no_capsule_is_refused():
    with pytest.raises(BufferError, match="expected a capsule"):
        dlpack.from_dlpack(Producer(object()))


def test_a_tensor_in_a_graph_keeps_its_gradient_to_itself():
    x = Tensor([1.0], requires_grad=True)
    with pytest.raises(GradientError, match="graph"):
        (x * 2).__dlpack__()
    assert np.shares_memory(from_dlpack(x).data, x.data)


def test_a_tensor_says_where_it_is():
    assert Tensor([1.0]).__dlpack_device__() == (1, 0)
    assert from_dlpack(Tensor([1.0]), device="cpu").device == CPU


def test_a_list_is_not_exported():
    with pytest.raises(DTypeError, match="__dlpack__, got list"):
        from_dlpack([1.0])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_gpu_array_is_shared_with_cupy_and_copied_to_the_cpu(dtype, gpu):
    tensor = Tensor(numbers(dtype), device="cuda:0")
    back = from_dlpack(tensor)
    assert back.data.data.ptr == tensor.data.data.ptr
    assert back.dtype == tensor.dtype
    host = dlpack.from_dlpack(Producer(tensor.__dlpack__(dl_device=(1, 0), max_version=(1, 0))))
    np.testing.assert_array_equal(host, numbers(dtype))
    with pytest.raises(BufferError, match="copy=False"):
        tensor.__dlpack__(dl_device=(1, 0), copy=False)
