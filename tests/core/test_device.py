"""Devices: names, what is missing, and what importing the core must not load."""

from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np
import pytest

from nasturtium.core import CPU, ConfigError, DeviceError, MissingExtraError, Tensor, device
from nasturtium.core import device as resolve
from nasturtium.core.device import _cupy


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


def test_importing_the_core_loads_nothing_heavy():
    heavy = ["cupy", "polars", "optuna", "flwr", "sqlalchemy", "torch", "onnxruntime", "tenseal", "scipy"]
    code = f"import sys, nasturtium.core; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_function_and_the_module_of_one_name_do_not_collide():
    """`device` is a function of the package, though a module of that name holds it."""
    assert resolve is importlib.import_module("nasturtium.core.device").device
