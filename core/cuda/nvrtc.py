"""Compile CUDA C++ to machine code with NVRTC, on any machine: no GPU and no driver is needed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from typing import Any

from ..errors import ConfigError, MissingExtraError


class CudaCompileError(ConfigError):
    """CUDA source that does not compile.

    Attributes:
        log: what the compiler said, in full.
    """

    def __init__(self, message: str, *, log: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.log = log


def compile_cubin(source: str, *, name: str = "kernel", arch: str = "sm_90", options: Sequence[str] = ()) -> bytes:
    """Compile CUDA C++ for one GPU architecture.

    Args:
        source: the program; functions to launch are `extern "C" __global__`.
        name: names the program in messages of the compiler.
        arch: a real architecture of the installed NVRTC, "sm_75" (Turing) or later.
        options: further options of NVRTC, as in `("-DT=float", "--fmad=false")`. C++17 is the default, as in CuPy.

    Returns:
        The cubin: an ELF file that the driver of such a GPU loads.

    Raises:
        ConfigError: `arch` is no architecture that this NVRTC knows.
        CudaCompileError: the source does not compile; shows the first error.
        MissingExtraError: NVRTC or its Python bindings are not installed.
    """
    nvrtc = _nvrtc()
    known = [f"sm_{number}" for number in _check(nvrtc, nvrtc.nvrtcGetSupportedArchs())]
    if not re.fullmatch(r"sm_\d+[af]?", arch) or arch.rstrip("af") not in known:
        raise ConfigError(f"unknown GPU architecture: expected one of {', '.join(known)}, got {arch!r}")
    program = _check(nvrtc, nvrtc.nvrtcCreateProgram(source.encode(), f"{name}.cu".encode(), 0, [], []))
    try:
        given = [f"--gpu-architecture={arch}", "--std=c++17", *_include_options(), *options]
        encoded = [option.encode() for option in given]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(encoded), encoded)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            log = _text(nvrtc, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
            first = next((line for line in log.splitlines() if "error" in line), log.strip()[:300])
            raise CudaCompileError(f"CUDA source {name!r} does not compile for {arch}: {first}", log=log)
        cubin = b" " * int(_check(nvrtc, nvrtc.nvrtcGetCUBINSize(program)))
        _check(nvrtc, nvrtc.nvrtcGetCUBIN(program, cubin))
        return cubin
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _nvrtc() -> Any:
    try:
        nvrtc = importlib.import_module("cuda.bindings.nvrtc")
        nvrtc.nvrtcVersion()  # the bindings load the library at their first call
    except (ImportError, RuntimeError) as exc:
        raise MissingExtraError("compiling CUDA source without a GPU", "nvrtc") from exc
    return nvrtc


def _include_options() -> list[str]:
    """Where cuda_fp16.h and its like lie, where a CUDA toolkit or NVIDIA's runtime wheel is installed."""
    pathfinder = importlib.import_module("cuda.pathfinder")
    found: str | None = pathfinder.find_nvidia_header_directory("cudart")
    return [f"--include-path={found}"] if found else []


def _check(nvrtc: Any, result: tuple[Any, ...]) -> Any:
    status, *values = result
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise CudaCompileError(f"NVRTC failed: {status!r}", log="")
    return values[0] if len(values) == 1 else values


def _text(nvrtc: Any, size_of: Any, fill: Any, program: Any) -> str:
    buffer = b" " * int(_check(nvrtc, size_of(program)))
    _check(nvrtc, fill(program, buffer))
    return buffer.rstrip(b"\0").decode(errors="replace")
