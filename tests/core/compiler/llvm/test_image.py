"""Code without a linker: what is linked runs where it is put, and what cannot be is refused."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from nasturtium.core.compiler.llvm import Engine, KernelError
from nasturtium.core.compiler.llvm.engine import symbol_of
from nasturtium.core.compiler.llvm.image import ImageError, link, load
from nasturtium.core.compiler.llvm.kernel import digest_of

# A table, a constant in memory, and a function that is called; each in a section of its own, or by a distance.
SOURCE = """
@table = private constant [4 x i64] [i64 3, i64 1, i64 4, i64 1]
define internal i64 @third(i64 %n) noinline nounwind {
  %at = getelementptr [4 x i64], ptr @table, i64 0, i64 %n
  %v = load i64, ptr %at
  ret i64 %v
}
define i64 @pick(i64 %n) nounwind {
  %v = call i64 @third(i64 %n)
  ret i64 %v
}
define double @half(double %x) nounwind {
  %v = fmul double %x, 0.5
  ret double %v
}
"""
NAMES = ("pick", "half")


@pytest.fixture
def images(llvm_engine: Engine) -> Engine:
    if not llvm_engine.links:
        pytest.skip("LLVM links objects here")
    return llvm_engine


def test_parts_of_a_module_find_each_other(images: Engine):
    image = images.compile(SOURCE, NAMES)
    memories = [load([image]) for _ in range(2)]  # anywhere
    for _, functions in memories:
        assert {name.split(".")[0] for name in functions} == {"pick", "half"}
        pick, half = (functions[symbol_of(digest_of(SOURCE), name)] for name in NAMES)
        assert [ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(pick)(n) for n in range(4)] == [3, 1, 4, 1]
        assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(half)(5.0) == 2.5


def test_images_lie_side_by_side(images: Engine):
    sources = [SOURCE.replace("i64 4", f"i64 {number}") for number in (7, 8, 9)]
    _, functions = load([images.compile(source, NAMES) for source in sources])
    found = [functions[symbol_of(digest_of(source), "pick")] for source in sources]
    assert [ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(each)(2) for each in found] == [7, 8, 9]
    assert all(each % 16 == 0 for each in found)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        pytest.param(
            "@kept = internal global i64 0\ndefine i64 @pick(i64 %n) {\n"
            "  %v = load i64, ptr @kept\n  store i64 %n, ptr @kept\n  ret i64 %v\n}",
            "code and constants",
            id="memory-to-write",
        ),
        pytest.param(
            "@kept = internal constant ptr @pick\ndefine ptr @pick(i64 %n) {\n"
            "  %v = load volatile ptr, ptr @kept\n  ret ptr %v\n}",
            "code and constants|distances",
            id="an-address",
        ),
        pytest.param(
            "declare float @llvm.pow.f32(float, float)\ndefine float @pick(float %n) {\n"
            "  %v = call float @llvm.pow.f32(float %n, float %n)\n  ret float %v\n}",
            "distances",
            id="a-function-of-a-library",
        ),
    ],
)
def test_what_would_need_a_linker_is_refused(images: Engine, source: str, says: str):
    with pytest.raises(KernelError, match=says):
        images.compile(source, ["pick"])


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
def test_objects_of_others_are_read_as_the_standard_says(images: Engine, tmp_path: Path):
    """What a C compiler makes of a switch, with a table of distances."""
    cases = "".join(f"case {n}: return {n * n + 3};" for n in range(9))
    (tmp_path / "a.c").write_text(f"long pick(long n) {{ switch (n) {{ {cases} default: return -1; }} }}")
    options = ["-O2", "-fPIC", "-fvisibility=hidden", "-fno-asynchronous-unwind-tables", "-c", "a.c", "-o", "a.o"]
    subprocess.run(["gcc", *options], cwd=tmp_path, check=True)
    _, functions = load([link((tmp_path / "a.o").read_bytes())])
    pick = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long)(functions["pick"])
    assert [pick(n) for n in range(10)] == [n * n + 3 for n in range(9)] + [-1]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x7fELF" + bytes(60), id="no-machine"),
        pytest.param(b"\x7fELF\x02\x01" + bytes(12) + struct.pack("<H", 183) + bytes(60), id="another-machine"),
        pytest.param(b"MZ" + bytes(100), id="another-format"),
    ],
)
def test_other_objects_are_refused(content: bytes):
    with pytest.raises(ImageError, match="expected an ELF object for x86-64"):
        link(content)


@pytest.mark.parametrize("content", [b"", b"image {}", b"another\ncode"])
def test_what_is_no_image_is_not_loaded(content: bytes):
    with pytest.raises(ImageError, match="expected an image"):
        load([content])
