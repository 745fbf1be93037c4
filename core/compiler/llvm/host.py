"""`Host`: what LLVM says of itself and of the machine, and how to know without asking that it would say the same."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import CompileError
from ...native import accelerate


class CompilerUnavailable(CompileError):  # noqa: N818  callers do without, as after a StopIteration
    """There is no native code on this machine: callers turn to the NumPy back end."""


class Host(NamedTuple):
    """What LLVM says of itself and of the machine it runs on.

    Attributes:
        version: of llvmlite and LLVM.
        triple: machine and system, as in "x86_64-unknown-linux-gnu".
        cpu: its name.
        features: of the CPU, "+avx2,-avx512f,...".
    """

    version: str
    triple: str
    cpu: str
    features: str


def describe_host() -> Host:
    """Ask LLVM.

    Raises:
        CompilerUnavailable: llvmlite is not installed or does not load.
    """
    binding = load_llvmlite()
    llvmlite: str = importlib.import_module("llvmlite").__version__
    return Host(
        version=f"llvmlite {llvmlite} llvm {'.'.join(map(str, binding.llvm_version_info))}",
        triple=binding.get_process_triple(),
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
    )


def load_llvmlite() -> Any:
    """`llvmlite.binding`, ready to compile for this machine.

    Raises:
        CompilerUnavailable: it is not installed or does not load.
    """
    try:
        binding = importlib.import_module("llvmlite.binding")
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
    except (ImportError, OSError, RuntimeError) as exc:
        raise CompilerUnavailable(f"llvmlite does not load: {exc}", hint='pip install "nasturtium[compiler]"') from exc
    return binding


def identity() -> str | None:
    """Names this machine and its LLVM: where it is the same, so is what `describe_host` says.

    It asks the processor, and looks at llvmlite's files, which it does not import. None where there is no llvmlite, and
    where nothing would be saved: on other systems and machines, whose code llvmlite loads.
    """
    processor = accelerate.processor() if accelerate is not None and sys.platform == "linux" else None
    if processor is None:
        return None
    try:
        found = importlib.util.find_spec("llvmlite")
        if found is None or found.origin is None:
            return None
        package = Path(found.origin).parent
        parts = [str(package)]
        for path in (package / "_version.py", *sorted(package.glob("binding/*llvmlite*"))):
            status = path.stat()
            parts.append(f"{path.name} {status.st_size} {status.st_mtime_ns}")
    except (OSError, ValueError):  # ValueError: it is half imported
        return None
    return hashlib.sha256("\n".join(parts).encode() + processor).hexdigest()
