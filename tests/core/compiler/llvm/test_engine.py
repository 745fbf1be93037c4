"""LLVM behind its door: what it takes, what it refuses, and machines where it cannot be."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from nasturtium.core.compiler.llvm import CompilerUnavailable, Engine, Kernel, KernelError, Slot, describe_target
from nasturtium.core.compiler.llvm.engine import LONGEST_SOURCE, symbol_of
from nasturtium.core.compiler.llvm.kernel import digest_of
from nasturtium.core.compiler.llvm.native_loop import FUNCTIONS, family_of, loop_source
from nasturtium.core.compiler.llvm.target import WIDTHS
from nasturtium.core.compiler.llvm.tile import emit_tile

SEVEN = "define i64 @seven() nounwind {\n  ret i64 7\n}\n"


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Another interpreter; its kernels are not kept."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "NASTURTIUM_CACHE": "off"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_text_becomes_code_that_runs(llvm_engine: Engine):
    code = llvm_engine.compile(SEVEN, ["seven"])
    (address,) = llvm_engine.load([code], [symbol_of(digest_of(SEVEN), "seven")])
    assert ctypes.CFUNCTYPE(ctypes.c_int64)(address)() == 7


def test_functions_of_one_name_do_not_clash(llvm_engine: Engine):
    sources = [SEVEN.replace("7", str(number)) for number in (8, 9)]
    codes = [llvm_engine.compile(source, ["seven"]) for source in sources]
    addresses = llvm_engine.load(codes, [symbol_of(digest_of(source), "seven") for source in sources])
    assert [ctypes.CFUNCTYPE(ctypes.c_int64)(address)() for address in addresses] == [8, 9]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        pytest.param("define void @seven( {", "expected type", id="not-ir"),
        pytest.param("define void @eight() {\n  ret void\n}", "seven", id="another-function"),
        pytest.param("declare void @exit(i32)\n" + SEVEN, "declaration of exit", id="a-function-of-a-library"),
        pytest.param("@errno = external global i32\n" + SEVEN, "declaration of errno", id="a-variable-of-a-library"),
        pytest.param(SEVEN + ";" * LONGEST_SOURCE, "at most", id="too-long"),
    ],
)
def test_what_is_no_kernel_is_refused(llvm_engine: Engine, source: str, says: str):
    with pytest.raises(KernelError, match=says):
        llvm_engine.compile(source, ["seven"])


def test_several_threads_compile_the_same_code(llvm_engine: Engine):
    targets = [replace(llvm_engine.target, width=width) for width in WIDTHS]
    kernels = [emit_tile(target, pixels=pixels, blocks=1) for target in targets for pixels in (1, 2, 3, 4)]
    modules = [(kernel.source, [kernel.name]) for kernel in kernels]
    one, four = (llvm_engine.compile_all(modules, threads=threads) for threads in (1, 4))
    assert one == four == [llvm_engine.compile(*module) for module in modules]
    with pytest.raises(KernelError, match="another"):
        llvm_engine.compile_all([*modules, ("define void @seven( {", ["another"])], threads=4)


def test_a_function_that_is_not_in_the_code_is_refused(llvm_engine: Engine):
    code = llvm_engine.compile("define void @nine() {\n  ret void\n}", ["nine"])
    with pytest.raises(KernelError, match="ten"):
        llvm_engine.load([code], ["ten"])


def test_without_llvmlite_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    with pytest.raises(CompilerUnavailable, match=r"nasturtium\[compiler\]"):
        Engine()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_MDWE is Linux's")
def test_where_executable_memory_is_refused_it_says_so_and_does_not_crash():
    done = run_python(
        """
        import ctypes, sys
        PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
        if ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0):
            sys.exit(42)
        from nasturtium.core.compiler.llvm import CompilerUnavailable, Engine
        assert "llvmlite" not in sys.modules  # before it is needed
        try:
            Engine()
        except CompilerUnavailable as exc:
            print(exc)
        """
    )
    if done.returncode == 42:
        pytest.skip("this kernel has no PR_SET_MDWE")
    assert done.returncode == 0, done.stderr
    assert "executable memory" in done.stdout


X86 = "x86_64-unknown-linux-gnu"


@pytest.mark.parametrize(
    ("triple", "features", "expected"),
    [
        pytest.param(X86, "+sse2", (4, 16, False), id="oldest"),
        pytest.param(X86, "+avx2,+fma", (8, 16, True), id="avx2"),
        pytest.param(X86, "+avx2,+fma,+avx512f,+avx512vl,+avx512dq,+avx512bw", (16, 32, True), id="avx512"),
        pytest.param(X86, "+avx2,+fma,+avx512f,-avx512vl", (8, 16, True), id="first-avx512"),
        pytest.param("aarch64-unknown-linux-gnu", "+neon", (4, 32, True), id="arm"),
        pytest.param("riscv64-unknown-linux-gnu", "", (4, 32, False), id="another"),
    ],
)
def test_targets_follow_from_features(triple: str, features: str, expected: tuple[int, int, bool]):
    target = describe_target("cpu", triple, features)
    assert (target.width, target.registers, target.fma) == expected


def test_a_kernel_must_define_what_it_is_called():
    with pytest.raises(AssertionError, match="does not define"):
        Kernel(name="a", ir="define void @b(ptr %args) {\n  ret void\n}", slots=())
    with pytest.raises(AssertionError, match="two slots"):
        Kernel(name="a", ir="define void @a(ptr %args) {\n  ret void\n}", slots=(Slot("x", "ptr"), Slot("x", "i64")))


@pytest.mark.parametrize("triple", ["aarch64-unknown-linux-gnu", "arm64-apple-darwin", "riscv64-unknown-linux-gnu"])
def test_the_native_loop_is_right_for_other_machines(llvm_engine: Engine, triple: str):
    """As far as LLVM can tell without one: their code generators are not initialised here."""
    from llvmlite import binding

    module = binding.parse_assembly(loop_source(describe_target("cpu", triple, "")), binding.create_context())
    module.verify()
    assert {each.name for each in module.functions if not each.is_declaration} >= set(FUNCTIONS)


def test_machines_have_families():
    found = [family_of(describe_target("cpu", triple, "")) for triple in (X86, "arm64-apple-darwin", "s390x-linux")]
    assert found == ["x86", "arm", "other"]
