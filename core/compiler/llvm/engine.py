"""`Engine`: LLVM, behind one typed door: IR text to code, code to addresses in this process.

No pass of LLVM's optimiser runs. Our kernels are written as vectors, tiles and loops already, and on the register-tiled
convolutions the code generator alone gives the same speed (115-129 GFLOP/s against 110-129) for 4-8 ms a kernel, where
the O1 pipeline takes 20-50 ms. Its level 2 schedules and allocates registers; level 0 is four times faster and gives a
third of the speed.

llvmlite is imported when something is compiled, or when nobody remembers what LLVM calls this machine: 40 ms and 30 MB
that other processes save. On x86-64 Linux code is kept and loaded as images, see `image`; elsewhere LLVM links objects.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import sys
import threading
import weakref
from collections.abc import Sequence
from typing import Any

from ...errors import CompileError
from .host import CompilerUnavailable, Host, describe_host, load_llvmlite
from .image import ImageError, link, load, make_executable, make_memory
from .kernel import digest_of
from .target import Target, describe_target

CODEGEN_LEVEL = 2
LONGEST_SOURCE = 1 << 19  # characters. LLVM's time grows faster than the text: 10 ms for 10 kB, 0.4 s for this


class KernelError(CompileError):
    """IR that LLVM does not take, or code that cannot be loaded: a mistake of whoever wrote the kernel."""


class KernelUnknownError(CompileError):
    """A kernel that is asked for without its text, and is not kept any more: it has to be written again."""


class Engine:
    """Compiles modules of LLVM IR for this CPU, and loads them into this process for as long as it lives.

    Args:
        host: what `describe_host` said here before; it is asked if there is None.
        cpu: another CPU's name than that of this machine, with `features`; what it compiles may not run here.
        features: LLVM's list, "+avx2,+fma,...".

    Raises:
        CompilerUnavailable: llvmlite is not installed or does not load, the system refuses executable memory, or the
            machine is not 64-bit little endian.

    Attributes:
        host: what LLVM says of this machine.
        target: the CPU that it compiles for.
        fingerprint: names all that code depends on besides its source.
        links: whether what it compiles are images; else objects, which LLVM links when they are loaded.
        lock: held while LLVM works, and while the process forks.
    """

    def __init__(self, host: Host | None = None, *, cpu: str | None = None, features: str | None = None) -> None:
        if sys.byteorder != "little" or ctypes.sizeof(ctypes.c_void_p) != 8:
            raise CompilerUnavailable("native kernels need a 64-bit little-endian machine")
        _check_executable_memory()
        self.lock = threading.RLock()  # LLVM's own state is shared: llvmlite locks single calls, not sequences
        self.host = host or describe_host()
        own = self.host.features if cpu is None else features or ""
        self.target: Target = describe_target(cpu or self.host.cpu, self.host.triple, own)
        self.links = sys.platform == "linux" and self.target.triple.startswith("x86_64")
        target = self.target
        self.fingerprint = f"{self.host.version} level {CODEGEN_LEVEL} {target.triple} {target.name} {target.features}"
        self._machines: list[Any] = []  # one for every thread that emits at the same time
        self._memory: list[mmap.mmap] = []  # of images
        self._linker: Any = None  # MCJIT, fed with objects; made when the first is loaded
        _ENGINES.add(self)

    @functools.cached_property
    def _binding(self) -> Any:
        """LLVM."""
        return load_llvmlite()

    def _make_machine(self) -> Any:
        found = self._binding.Target.from_triple(self.target.triple)
        placed = {"reloc": "pic", "codemodel": "small"} if self.links else {"reloc": "default", "jit": True}
        return found.create_target_machine(
            cpu=self.target.name, features=self.target.features, opt=CODEGEN_LEVEL, **placed
        )

    def compile(self, source: str, names: Sequence[str]) -> bytes:
        """The code of one module, for `load`; its functions `names` get the names `symbol_of(digest_of(source), name)`.

        Raises:
            KernelError: the text is too long, LLVM does not take it, or it does not define one of `names`.
        """
        return self.compile_all([(source, names)])[0]

    def compile_all(self, modules: Sequence[tuple[str, Sequence[str]]], *, threads: int = 1) -> list[bytes]:
        """The same of several modules, as many at a time as there are threads.

        Raises:
            KernelError: as `compile` does, of the first module that is at fault.
        """
        threads = max(1, min(threads, len(modules)))
        with self.lock:
            while len(self._machines) < threads:
                self._machines.append(self._make_machine())
            if threads == 1:
                return [self._compile(source, names, self._machines[0]) for source, names in modules]
            from concurrent.futures import ThreadPoolExecutor  # who compiles nothing saves it

            idle = list(self._machines[:threads])

            def compile_one(module: tuple[str, Sequence[str]]) -> bytes:
                machine = idle.pop()
                try:
                    return self._compile(*module, machine)
                finally:
                    idle.append(machine)

            with ThreadPoolExecutor(threads, "nasturtium-compile") as pool:
                return list(pool.map(compile_one, modules))

    def _compile(self, source: str, names: Sequence[str], machine: Any) -> bytes:
        if len(source) > LONGEST_SOURCE:
            raise KernelError(
                f"kernel {names[0]}: expected at most {LONGEST_SOURCE} characters of IR, got {len(source)}",
                hint="unroll less: lengths and counts are arguments",
            )
        try:
            # A context of its own: LLVM keeps the types and constants of a context as long as it lives.
            module = self._binding.parse_assembly(source, self._binding.create_context())
            module.triple = self.target.triple
            module.data_layout = str(machine.target_data)
            module.verify()
            _check_closed(module)
            digest = digest_of(source)
            for name in names:
                module.get_function(name).name = symbol_of(digest, name)
            code = self._emit(machine, module)
            return link(code) if self.links else code
        except (RuntimeError, NameError, ImageError) as exc:
            raise KernelError(f"kernel {names[0]} does not compile: {exc}") from exc

    def _emit(self, machine: Any, module: Any) -> bytes:
        """Object code: `machine.emit_object(module)`, without llvmlite's lock.

        llvmlite lets one thread call LLVM at a time. Where modules have contexts of their own and threads machines of
        their own, LLVM needs no lock, and this call takes nine tenths of the time.
        """
        ffi = self._binding.ffi
        emit = getattr(ffi.lib.LLVMPY_TargetMachineEmitToMemory, "_cfn", None)
        if emit is None:
            return bytes(machine.emit_object(module))
        with ffi.OutputString() as error:
            buffer = emit(machine, module, 1, error)
            if not buffer:
                raise RuntimeError(str(error))
        try:
            start, size = ffi.lib.LLVMPY_GetBufferStart(buffer), ffi.lib.LLVMPY_GetBufferSize(buffer)
            return ctypes.string_at(start, size)
        finally:
            ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)

    def load(self, codes: Sequence[bytes], symbols: Sequence[str]) -> list[int]:
        """The addresses of functions of modules that are loaded now; they stay valid.

        Args:
            codes: as `compile` gives them, of modules that were not loaded before.
            symbols: as `symbol_of` names them; every one is in one of `codes`.

        Raises:
            KernelError: a symbol is not there, or it is no code of ours.
        """
        try:
            with self.lock:
                addresses = self._load_images(codes, symbols) if self.links else self._load_objects(codes, symbols)
        except (RuntimeError, ImageError, OSError) as exc:
            raise KernelError(f"code does not load: {exc}") from exc
        if missing := [symbol for symbol, address in zip(symbols, addresses, strict=True) if not address]:
            raise KernelError(f"code without the functions {', '.join(missing)}")
        return addresses

    def _load_images(self, images: Sequence[bytes], symbols: Sequence[str]) -> list[int]:
        memory, functions = load(images)
        self._memory.append(memory)
        return [functions.get(symbol, 0) for symbol in symbols]

    def _load_objects(self, objects: Sequence[bytes], symbols: Sequence[str]) -> list[int]:
        if self._linker is None:
            empty = self._binding.parse_assembly("", self._binding.create_context())
            # MCJIT owns its machine: the one that emits stays ours.
            self._linker = self._binding.create_mcjit_compiler(empty, self._make_machine())
        for code in objects:
            self._linker.add_object_file(self._binding.ObjectFileRef.from_data(code))
        self._linker.finalize_object()
        return [self._linker.get_function_address(symbol) for symbol in symbols]


def symbol_of(digest: str, name: str) -> str:
    """What function `name` of the module with this digest is called in object code: no two of a process clash."""
    return f"{name}.{digest[:16]}"


def _check_closed(module: Any) -> None:
    """A name that nobody defines would end the process when the object is loaded."""
    named = (*module.functions, *module.global_variables)
    foreign = [each.name for each in named if each.is_declaration and not each.name.startswith("llvm.")]
    if foreign:
        raise KernelError(f"kernels call intrinsics and pointers from slots only, got a declaration of {foreign[0]}")


def _check_executable_memory() -> None:
    """Hardened systems (SELinux's deny_execmem, systemd's MemoryDenyWriteExecute) refuse it; LLVM would then abort."""
    if os.name != "posix":
        return
    try:
        make_executable(make_memory(mmap.PAGESIZE))
    except OSError as exc:
        raise CompilerUnavailable(f"the system refuses executable memory: {exc.strerror}") from exc


_ENGINES: weakref.WeakSet[Engine] = weakref.WeakSet()


class _Forking(threading.local):
    """What this thread holds while it forks: other threads may make engines meanwhile."""

    engines: tuple[Engine, ...] = ()


_FORKING = _Forking()


def _before_fork() -> None:
    """A child forked in the middle of a compilation would find LLVM's state torn."""
    _FORKING.engines = tuple(_ENGINES)
    for engine in _FORKING.engines:
        engine.lock.acquire()


def _after_fork() -> None:
    for engine in _FORKING.engines:
        engine.lock.release()
    _FORKING.engines = ()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
