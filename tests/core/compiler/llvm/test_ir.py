"""The writer of kernels: what it folds, and that what it writes runs."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from nasturtium.core.compiler.llvm import Kernel, Slot, describe_target
from nasturtium.core.compiler.llvm.ir import FLOAT, Writer, integer, number, vector

ANY = describe_target("generic", "x86_64-unknown-linux-gnu", "", width=4)


def writer(*slots: Slot) -> Writer:
    return Writer("kernel", ANY, slots)


def run(kernel: Kernel, *arguments: np.ndarray | int, nt: int = 1) -> None:
    binding = pytest.importorskip("llvmlite.binding", reason="llvmlite is not installed")
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    module = binding.parse_assembly(kernel.source)
    module.verify()
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(
        engine.get_function_address(kernel.name)
    )
    slots = np.array([a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments], np.int64)
    for tid in range(nt):
        call(slots.ctypes.data, tid, nt)


def test_constants_are_folded():
    k = writer(Slot("n", "i64"))
    n = k["n"]
    assert integer(k.add(2, 3, 4)) == 9
    assert integer(k.mul(n, 0)) == 0
    assert k.mul(n, 1) == n == k.add(n, 0) == k.sub(n, 0) == k.div(n, 1)
    assert k.at(n, 0) == n
    assert k.lines == []
    k.mul(n, 8)
    assert "shl" in k.lines[-1]


@pytest.mark.parametrize(
    ("value", "type", "text"),
    [
        (1.0, FLOAT, "0x3FF0000000000000"),
        (0.1, FLOAT, "0x3FB99999A0000000"),  # the float32 next to it
        (float("-inf"), FLOAT, "0xFFF0000000000000"),
        (1.0, vector(4), "splat (float 0x3FF0000000000000)"),
        (-3, "i32", "-3"),
    ],
)
def test_constants_are_written_as_llvm_reads_them(value: float, type: str, text: str):
    assert number(value, type).text == text


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_loop_carries_values_and_may_not_run_at_all(n: int):
    k = writer(Slot("out", "ptr"), Slot("n", "i64"))
    with k.loop(0, k["n"], carried=[number(1.0, FLOAT), number(0, "i64")]) as loop:
        doubled, sum_ = loop.values
        loop.carry(k.fmul(doubled, 2.0), k.add(sum_, loop.index))
    power, total = loop.results
    k.store(power, k["out"])
    k.store(k.cast("sitofp", total, FLOAT), k.at(k["out"], 1))
    out = np.empty(2, np.float32)
    run(k.kernel(), out, n)
    assert out.tolist() == [2.0**n, sum(range(n))]


@pytest.mark.parametrize("nt", [1, 2, 3, 7])
def test_threads_share_the_items(nt: int):
    k = writer(Slot("x", "ptr"), Slot("n", "i64"))
    lo, hi = k.share(k["n"])
    with k.loop(lo, hi) as loop:
        place = k.at(k["x"], loop.index)
        k.store(k.fadd(k.load(place), 1.0), place)
    x = np.arange(5, dtype=np.float32)
    run(k.kernel(), x, 5, nt=nt)
    assert x.tolist() == [1, 2, 3, 4, 5]


def test_ways_and_masks():
    k = writer(Slot("x", "ptr"), Slot("y", "ptr"), Slot("n", "i64"))
    wide = vector(4)
    mask = k.lanes_below(k["n"], 4)
    x = k.masked_load(k["x"], wide, mask)
    few = k.compare("slt", k["n"], 3)
    (y,) = k.choose(few, lambda: [k.fadd(x, 10.0)], lambda: [k.fsub(x, 10.0)])
    k.masked_store(y, k["y"], mask)
    with k.when(few):
        k.store(k.total(y), k.at(k["y"], 4))
    for n in range(6):
        x, y = np.arange(4, dtype=np.float32), np.full(5, -1, np.float32)
        run(kernel := k.kernel(), x, y, n)
        change = 10 if n < 3 else -10
        lanes = min(n, 4)
        assert y[:lanes].tolist() == (x[:lanes] + change).tolist()
        assert (y[lanes:4] == -1).all()
        assert y[4] == (x[:lanes].sum() + 40 if n < 3 else -1)
    assert kernel.declares
