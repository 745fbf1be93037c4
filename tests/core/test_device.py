"""Devices: names, what is missing, and what importing the core must not load."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from nasturtium.core import CPU, ConfigError, DeviceError, DTypeError, MissingExtraError, Tensor, device
from nasturtium.core import device as resolve
from nasturtium.core.device import Device, _cupy, current_device, device_of


@pytest.fixture
def without_cupy(monkeypatch):
    """As on a machine where the extra is not installed."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    _cupy.cache_clear()
    yield
    _cupy.cache_clear()


class FakeCupy:
    """CuPy where the driver sees no device."""

    class cuda:
        @staticmethod
        def is_available() -> bool:
            return False


@pytest.fixture
def cupy_without_device(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", FakeCupy)
    _cupy.cache_clear()
    yield
    _cupy.cache_clear()


def test_the_cpu_is_numpy():
    assert device("cpu") is CPU
    assert device(CPU) is CPU
    assert CPU.xp is np
    assert str(CPU) == "cpu"
    assert Tensor([1.0]).device == CPU


def test_an_array_that_is_there_already_is_not_copied():
    array = np.ones(3)
    assert CPU.put(array) is array
    assert Tensor(array).to("cpu").data is array


@pytest.mark.parametrize("name", ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda:0 "])
def test_an_unknown_name_is_shown_with_what_was_expected(name):
    with pytest.raises(ConfigError, match="expected 'cpu' or 'cuda:N', got") as caught:
        device(name)
    assert repr(name) in str(caught.value)


@pytest.mark.usefixtures("without_cupy")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_cuda_without_cupy_names_the_extra(name):
    with pytest.raises(MissingExtraError, match=r'pip install "nasturtium\[gpu\]"') as caught:
        device(name)
    assert caught.value.extra == "gpu"
    assert isinstance(caught.value, ImportError)


@pytest.mark.usefixtures("without_cupy")
def test_a_tensor_for_cuda_fails_the_same_way():
    with pytest.raises(MissingExtraError):
        Tensor([1.0]).to("cuda")


@pytest.mark.usefixtures("cupy_without_device")
@pytest.mark.parametrize(("name", "index"), [("cuda", 0), ("cuda:7", 7)])
def test_a_device_that_is_not_there_is_named_with_the_count(name, index):
    with pytest.raises(DeviceError, match=rf"cuda:{index} is not there: CuPy sees 0 CUDA devices"):
        device(name)


# Where arrays are, on the stand-in for CuPy.


@pytest.mark.parametrize("name", ["cpu", "cuda:0", "cuda:1"])
def test_an_array_lives_where_it_was_put(strict_cupy, name):
    place = device(name)
    array = place.put(np.arange(3.0))
    assert device_of(array) == place
    assert place.put(array) is array
    assert place.xp is (np if name == "cpu" else strict_cupy)
    assert str(place) == name
    place.synchronize()


@pytest.mark.parametrize("source", ["cpu", "cuda:0", "cuda:1"])
@pytest.mark.parametrize("target", ["cpu", "cuda:0", "cuda:1"])
def test_an_array_moves_between_any_two_devices(strict_cupy, source, target):
    host = np.arange(6, dtype=np.float32).reshape(2, 3).T
    moved = device(target).put(device(source).put(host))
    assert device_of(moved) == device(target)
    assert moved.dtype == host.dtype
    np.testing.assert_array_equal(CPU.put(moved), host)


def test_what_was_moved_is_a_copy(strict_cupy):
    host = np.zeros(3)
    there = device("cuda:0").put(host)
    elsewhere = device("cuda:1").put(there)
    host += 1
    there += 2
    np.testing.assert_array_equal(CPU.put(there), [2, 2, 2])
    np.testing.assert_array_equal(CPU.put(elsewhere), [0, 0, 0])


@pytest.mark.usefixtures("strict_cupy")
def test_a_device_beyond_the_last_is_refused():
    with pytest.raises(DeviceError, match="cuda:2 is not there: CuPy sees 2 CUDA devices"):
        device("cuda:2")


@pytest.mark.parametrize("value", [[1.0], 1.0, None, memoryview(b"x")], ids=["list", "number", "none", "buffer"])
def test_what_is_no_array_has_no_device(value):
    with pytest.raises(DTypeError, match=r"expected a NumPy or CuPy array, got builtins\."):
        device_of(value)


def test_numpy_scalars_live_on_the_cpu():
    assert device_of(np.float32(1)) is CPU


def test_an_active_device_is_where_cupy_works(strict_cupy):
    place = device("cuda:1")
    with place.active():
        assert device_of(place.xp.ones(2)) == place
        with CPU.active():  # nothing to switch
            assert device_of(place.xp.ones(2)) == place
    assert device_of(strict_cupy.ones(2)) == device("cuda:0")


# The default device.


@pytest.mark.usefixtures("strict_cupy")
def test_a_block_makes_its_device_the_default():
    assert current_device() is CPU
    with device("cuda:1") as place:
        assert current_device() == place == device(None) == device("cuda:1")
        with device("cpu"):
            assert current_device() is CPU
            with place:  # the same device again
                assert current_device() == place
        assert current_device() == place
    assert current_device() is CPU


@pytest.mark.usefixtures("strict_cupy")
def test_a_block_ends_with_an_error_too():
    with pytest.raises(KeyError), device("cuda:0"):
        raise KeyError
    assert current_device() is CPU


@pytest.mark.usefixtures("strict_cupy")
def test_the_default_is_a_threads_and_a_tasks_own():
    async def task(name: str, started: asyncio.Event, other: asyncio.Event) -> Device:
        with device(name):
            started.set()
            await other.wait()
            return current_device()

    async def both() -> list[Device]:
        a, b = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(task("cuda:0", a, b), task("cuda:1", b, a))

    seen: list[Device] = []
    with device("cuda:1"):
        thread = threading.Thread(target=lambda: seen.append(current_device()))
        thread.start()
        thread.join()
    assert seen == [CPU]
    assert [str(place) for place in asyncio.run(both())] == ["cuda:0", "cuda:1"]


@pytest.mark.gpu
def test_arrays_move_to_a_gpu_and_back(gpu):
    host = np.arange(6, dtype=np.float32).reshape(2, 3).T
    there = gpu.put(host)
    assert device_of(there) == gpu
    gpu.synchronize()
    np.testing.assert_array_equal(CPU.put(there), host)


def test_importing_the_core_loads_nothing_heavy():
    heavy = ["cupy", "polars", "optuna", "flwr", "sqlalchemy", "torch", "onnxruntime", "tenseal", "scipy"]
    code = f"import sys, nasturtium.core; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_function_and_the_module_of_one_name_do_not_collide():
    """`device` is a function of the package, though a module of that name holds it."""
    assert resolve is importlib.import_module("nasturtium.core.device").device
