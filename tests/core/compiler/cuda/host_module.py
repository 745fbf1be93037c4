"""CUDA modules on the CPU: `cupy.RawModule` of the stand-in compiles generated CUDA C++ for the host and runs it there.

A block's threads are run one after the other as far as the next `__syncthreads`, each on a stack of its own, so shared
memory and barriers do what they do on a GPU. Streams record what is launched while they capture; a graph runs it when
it is launched, and what CuPy refuses while it captures is refused here.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ...strict_array import StrictArray
from ...strict_cupy import Launch, StrictCupy, check_geometry

SHIM = r"""
#include <cmath>
#include <csetjmp>
#include <cstring>
#include <ucontext.h>
struct Dim3 { unsigned x, y, z; };
static Dim3 blockIdx, threadIdx, blockDim, gridDim;
#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)
static inline float __int_as_float(int x) { float y; std::memcpy(&y, &x, 4); return y; }
template <typename T> static inline T min(T a, T b) { return a < b ? a : b; }
template <typename T> static inline T max(T a, T b) { return a > b ? a : b; }

// Threads of a block as coroutines: switched by longjmp, which asks no kernel.
static jmp_buf scheduler, fibers[1024];
static ucontext_t contexts[1024], home;
static char stacks[1024][16384];
static bool done[1024];
static unsigned current, left;
static void (*body)(void**);
static void** arguments;
static void __syncthreads() { if (!_setjmp(fibers[current])) _longjmp(scheduler, 1); }
static void fiber() { body(arguments); done[current] = true; _longjmp(scheduler, 1); }
static void place(unsigned t) {
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
}

static void run(const unsigned* grid, const unsigned* block, void** args, void (*function)(void**), bool barriers) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    body = function;
    arguments = args;
    const unsigned threads = block[0] * block[1] * block[2];
    for (unsigned b = 0; b < grid[0] * grid[1] * grid[2]; ++b) {
        blockIdx = {b % grid[0], b / grid[0] % grid[1], b / grid[0] / grid[1]};
        if (!barriers) {
            for (unsigned t = 0; t < threads; ++t) { place(t); function(args); }
            continue;
        }
        for (current = 0; current < threads; ++current) {
            done[current] = false;
            getcontext(&contexts[current]);
            contexts[current].uc_stack.ss_sp = stacks[current];
            contexts[current].uc_stack.ss_size = sizeof stacks[current];
            contexts[current].uc_link = &home;
            makecontext(&contexts[current], fiber, 0);
            place(current);
            if (!_setjmp(scheduler)) setcontext(&contexts[current]);
        }
        do {
            left = 0;
            for (current = 0; current < threads; ++current) {
                if (done[current]) continue;
                place(current);
                if (!_setjmp(scheduler)) _longjmp(fibers[current], 1);
                left += !done[current];
            }
        } while (left);
    }
}
"""
KERNEL = re.compile(r'extern "C" __global__ void __launch_bounds__\(\d+\) (nst_\w+)\(([^)]*)\) \{')
FLAGS = ["-std=c++17", "-O0", "-w", "-ffp-contract=off", "-fwrapv", "-U_FORTIFY_SOURCE", "-shared", "-fPIC"]


class HostLibrary:
    """Sources compiled for the CPU together: each kernel once, by its name, which is made of its source.

    Args:
        folder: where to compile.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._functions: dict[str, Any] = {}
        self._count = 0

    def add(self, sources: Iterable[str]) -> None:
        """Compile what is not there yet; skips the test where there is no C++ compiler."""
        compiler = shutil.which("g++") or shutil.which("clang++")
        if compiler is None:
            pytest.skip("no C++ compiler to run CUDA source on the CPU")
        parts: dict[str, str] = {}
        start = ""
        for source in sources:
            start, kernels = split(source)
            parts |= {name: text for name, text in kernels.items() if name not in self._functions}
        if not parts:
            return
        self._count += 1
        path = self._folder / f"kernels{self._count}.cpp"
        path.write_text(SHIM + start + "".join(text + _entry(name, text) for name, text in parts.items()))
        library = path.with_suffix(".so")
        subprocess.run([compiler, *FLAGS, str(path), "-o", str(library)], check=True, timeout=600)
        loaded = ctypes.CDLL(str(library))
        for name in parts:
            self._functions[name] = getattr(loaded, f"run_{name}")

    def run(self, name: str, grid: Sequence[int], block: Sequence[int], pointers: Sequence[int]) -> None:
        """Run a grid."""
        values = [ctypes.c_void_p(pointer) for pointer in pointers]
        addresses = (ctypes.c_void_p * max(len(values), 1))(*(ctypes.addressof(value) for value in values))
        extent = ctypes.c_uint * 3
        self._functions[name](extent(*grid), extent(*block), addresses)


def split(source: str) -> tuple[str, dict[str, str]]:
    """What a module begins with, and its kernels by name, each with the functions before it."""
    start, end, rest = source.partition("#endif\n")
    kernels: dict[str, str] = {}
    at = 0
    for match in KERNEL.finditer(rest):
        stop = rest.index("\n}\n", match.end()) + 3
        kernels[match[1]] = rest[at:stop]
        at = stop
    return start + end, kernels


def _entry(name: str, text: str) -> str:
    match = KERNEL.search(text)
    assert match is not None
    types = [part.replace("__restrict__", "").rsplit(" ", 1)[0] for part in match[2].split(", ")]
    given = ", ".join(f"*({kind}*)args[{index}]" for index, kind in enumerate(types))
    barriers = "true" if "__syncthreads" in text or "nst_reduce" in text else "false"
    return (
        f"static void body_{name}(void** args) {{ {name}({given}); }}\n"
        f'extern "C" void run_{name}(const unsigned* grid, const unsigned* block, void** args) '
        f"{{ run(grid, block, args, body_{name}, {barriers}); }}\n"
    )


class HostCuda:
    """Modules and streams for a stand-in.

    Args:
        xp: the stand-in.
        library: where kernels are.

    Attributes:
        captured: how many launches were captured.
        fails: a capture ends in CUDA's error.
    """

    def __init__(self, xp: StrictCupy, library: HostLibrary) -> None:
        self.xp = xp
        self.library = library
        self.captured = 0
        self.fails = False
        self.recording: list[Callable[[], None]] | None = None
        matmul = xp.matmul

        def refusing(*args: Any, **kwargs: Any) -> Any:
            if self.recording is not None:
                raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
            return matmul(*args, **kwargs)

        xp.__dict__["matmul"] = refusing
        xp._own["cupy.RawModule"] = lambda code, options=(), backend="nvrtc": HostModule(self, code)
        xp.cuda.__dict__["Stream"] = lambda non_blocking=False: HostStream(self)


class HostModule:
    """`cupy.RawModule`."""

    def __init__(self, cuda: HostCuda, code: str) -> None:
        self._cuda = cuda
        cuda.library.add([code])
        self._names = set(split(code)[1])

    def get_function(self, name: str) -> Callable[..., None]:
        assert name in self._names

        def launch(grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
            check_geometry(grid, block)
            for value in args:
                assert isinstance(value, StrictArray), type(value)
                assert value.flags.c_contiguous
                assert value._device_id == self._cuda.xp.current_device_id
            pointers = [value.data.ptr for value in args]
            self._cuda.xp.launches.append(Launch(name, grid, block, 0, self._cuda.xp.current_device_id))
            if self._cuda.recording is not None:
                self._cuda.captured += 1
                self._cuda.recording.append(lambda: self._cuda.library.run(name, grid, block, pointers))
                return
            self._cuda.library.run(name, grid, block, pointers)

        return launch


class HostStream:
    """`cupy.cuda.Stream`, as far as capturing goes."""

    def __init__(self, cuda: HostCuda) -> None:
        self._cuda = cuda

    def __enter__(self) -> HostStream:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin_capture(self) -> None:
        assert self._cuda.recording is None
        self._cuda.recording = []

    def end_capture(self) -> HostGraph:
        recorded, self._cuda.recording = self._cuda.recording, None
        assert recorded is not None
        if self._cuda.fails:
            raise RuntimeError("cudaErrorStreamCaptureInvalidated: operation failed")
        return HostGraph(recorded)


class HostGraph:
    """`cupy.cuda.Graph`."""

    def __init__(self, launches: list[Callable[[], None]]) -> None:
        self._launches = launches

    def launch(self) -> None:
        for each in self._launches:
            each()


def same(actual: Any, wanted: np.ndarray, *, rtol: float = 3e-5, atol: float = 1e-5) -> None:
    """Whether an array of the device is one of the host."""
    found = actual.get() if isinstance(actual, StrictArray) or hasattr(actual, "get") else actual
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=atol)
