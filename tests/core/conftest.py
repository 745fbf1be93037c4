"""Devices for tests: the strict stand-in for CuPy everywhere, a real GPU where there is one."""

from __future__ import annotations

import importlib

import pytest

from nasturtium.core import Device, device

from .strict_cupy import StrictCupy, install


@pytest.fixture
def strict_cupy(monkeypatch: pytest.MonkeyPatch) -> StrictCupy:
    """`device("cuda:0")` and `device("cuda:1")` are devices of the stand-in during the test."""
    return install(monkeypatch)


@pytest.fixture
def gpu() -> Device:
    """The first CUDA device; skips with the reason where there is none."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError:
        pytest.skip("CuPy is not installed (extra: gpu)")
    if not cupy.is_available():
        pytest.skip("CuPy sees no CUDA device")
    return device("cuda:0")
