"""Fused kernels compile for CPUs of other makers and ages, and call nothing there either."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nasturtium.core.compiler.llvm import Kernel, Target, describe_target
from nasturtium.core.compiler.llvm.dropout import emit_dropout_mask
from nasturtium.core.compiler.llvm.elementwise import Tile, emit_flat, emit_image
from nasturtium.core.compiler.llvm.formula import FUNCTIONS, Formula, Pattern
from nasturtium.core.compiler.llvm.normalisation import standardise_row
from nasturtium.core.compiler.llvm.pooling import emit_max_pool_gradient
from nasturtium.core.compiler.llvm.reduction import RowTile, emit_rows

AVX512 = "+avx2,+fma,+avx512f,+avx512vl,+avx512dq,+avx512bw"
CPUS = [
    ("x86_64-unknown-linux-gnu", "x86-64-v2", "+sse4.2"),
    ("aarch64-unknown-linux-gnu", "neoverse-n1", ""),
]
MORE = [
    ("x86_64-pc-windows-msvc", "haswell", "+avx2,+fma"),
    ("x86_64-unknown-linux-gnu", "skylake-avx512", AVX512),
    ("arm64-apple-darwin", "apple-m1", ""),
]


def every_operation() -> Pattern:
    f = Formula()
    x = f.full("x")
    total = x + f.full("label", "i64").cast("f32") + f.full("flag", "bool").select(x, 0.0)
    for name in sorted(FUNCTIONS):
        total = total + f.function(name, x)
    for name in ("pow", "atan2", "copysign", "max", "min"):
        total = f.binary(name, total, x)
    f.store("y", total + x.cast("i32").cast("i64").cast("f32"))
    f.store("positive", x > 0.0, dtype="bool")
    f.total_sum("total", total)
    return f.pattern()


def rows() -> Pattern:
    f = Formula()
    y = standardise_row(f.strided("x").exp(), 1e-5).value + f.table("table", f.pixel("row", "i32"))
    f.store("y", y, layout="strided")
    f.store("mean", y.row_sum(), layout="pixel")
    f.channel_sum("sums", y)
    return f.pattern()


def moments() -> Pattern:
    f = Formula()
    mean, variance = f.moments("before")
    f.channel_moments("moments", (f.full("x") - mean) * (variance + 1.0).rsqrt())
    return f.pattern()


def calls(binding: Any, kernel: Kernel, target: Target) -> set[str]:
    """Names of functions in the assembly that are called."""
    machine = binding.Target.from_triple(target.triple).create_target_machine(
        cpu=target.name, features=target.features, opt=2
    )
    module = binding.parse_assembly(kernel.source)
    module.triple, module.data_layout = target.triple, str(machine.target_data)
    module.verify()
    names = re.findall(r"^\s+(?:callq?|bl|b|jmp)\s+(\S+)", machine.emit_assembly(module), re.MULTILINE)
    return {name for name in names if "BB" not in name and not name.startswith(("*", "__chkstk"))}


@pytest.mark.parametrize(
    ("triple", "cpu", "features"),
    [*CPUS, *(pytest.param(*each, marks=pytest.mark.soak) for each in MORE)],
)
def test_other_cpus(triple: str, cpu: str, features: str):
    binding = pytest.importorskip("llvmlite.binding", reason="llvmlite is not installed")
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    target = describe_target(cpu, triple, features)
    for kernel in (
        emit_flat(target, every_operation()),
        emit_rows(target, rows(), RowTile(1, True, False)),
        emit_image(target, moments(), Tile(2, True)),
        emit_dropout_mask(target),
        emit_max_pool_gradient(target, Tile(1, True)),
    ):
        try:
            assert not calls(binding, kernel, target), kernel.name
        except RuntimeError as exc:
            pytest.skip(f"this LLVM has no code for {triple}: {exc}")
