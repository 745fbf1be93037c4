"""Kernels are compiled once; what lies on disk is whole and ours, or is not run."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from nasturtium.core.compiler.llvm import Engine, KernelCache, default_cache
from nasturtium.core.compiler.llvm import cache as cache_module
from nasturtium.core.compiler.llvm import host as host_module
from nasturtium.core.compiler.llvm.host import identity
from nasturtium.core.errors import ConfigError

from .plain import COUNT, HAND_ON, axpy

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kernels"


@pytest.fixture
def cold(llvm_engine: Engine, folder: Path) -> KernelCache:
    """An empty cache in `folder`."""
    return KernelCache(llvm_engine, folder)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_a_kernel_is_compiled_once_in_a_process(cold: KernelCache):
    first = cold.addresses([axpy(), COUNT, axpy()])
    assert first[0] == first[2] != first[1]
    assert cold.addresses([COUNT, axpy()]) == [first[1], first[0]]
    assert (cold.counts.compiled, cold.counts.read) == (2, 0)


def test_a_kernel_is_compiled_once_on_a_machine(cold: KernelCache, folder: Path):
    cold.addresses([axpy(), COUNT])
    warm = KernelCache(Engine(), folder)
    assert all(warm.addresses([axpy(), COUNT]))
    assert (warm.counts.compiled, warm.counts.read) == (0, 2)


def test_a_new_kernel_does_not_move_the_others(cold: KernelCache):
    before = cold.addresses([axpy()])
    cold.addresses([HAND_ON])
    assert cold.addresses([axpy()]) == before


def flip(content: bytes) -> bytes:
    return content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(flip, id="a-bit"),
        pytest.param(lambda content: content[:-1], id="cut-short"),
        pytest.param(lambda content: content + b"\0", id="too-long"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"another format\n" + content, id="foreign"),
    ],
)
def test_a_damaged_entry_is_compiled_again(cold: KernelCache, folder: Path, damage, caplog: pytest.LogCaptureFixture):
    cold.addresses([COUNT])
    (entry,) = entries(folder)
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    again = KernelCache(Engine(), folder)
    again.addresses([COUNT])
    assert (again.counts.compiled, again.counts.read) == (1, 0)
    assert entry.read_bytes() == whole
    assert "damaged" in caplog.text


@posix
def test_entries_are_private(cold: KernelCache, folder: Path):
    cold.addresses([COUNT])
    (entry,) = entries(folder)
    assert (folder.stat().st_mode & 0o777, entry.stat().st_mode & 0o777) == (0o700, 0o600)


@posix
def test_a_folder_that_others_can_write_is_refused(llvm_engine: Engine, folder: Path):
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ConfigError, match="writable for nobody else"):
        KernelCache(llvm_engine, folder)


@posix
def test_an_entry_that_others_can_write_is_not_read(cold: KernelCache, folder: Path):
    cold.addresses([COUNT])
    (entry,) = entries(folder)
    entry.chmod(0o666)
    again = KernelCache(Engine(), folder)
    again.addresses([COUNT])
    assert again.counts.read == 0


@posix
def test_a_link_is_not_followed(cold: KernelCache, folder: Path, tmp_path: Path):
    cold.addresses([COUNT])
    (entry,) = entries(folder)
    entry.replace(tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    again = KernelCache(Engine(), folder)
    again.addresses([COUNT])
    assert again.counts.read == 0
    assert not entry.is_symlink()


def test_a_folder_that_cannot_be_made_is_refused(llvm_engine: Engine, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be made"):
        KernelCache(llvm_engine, tmp_path / "file" / "kernels")


def test_a_folder_that_is_gone_stops_nothing(cold: KernelCache, folder: Path, caplog: pytest.LogCaptureFixture):
    folder.rmdir()
    assert all(cold.addresses([COUNT, axpy()]))
    assert caplog.text.count("not kept") == 1


def test_entries_used_longest_ago_go_first(folder: Path):
    folder.mkdir()
    for age, name in enumerate(["new", "used", "old"]):
        path = folder / f"{name}.kernel"
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))
    (folder / ".broken.new").touch()
    os.utime(folder / ".broken.new", (1e9, 1e9))
    cache_module._tidy(folder, 250)
    assert [path.name for path in entries(folder)] == ["new.kernel", "used.kernel"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_writers_at_once_leave_whole_entries(llvm_engine: Engine, folder: Path):
    """Processes that compile the same kernels; whoever comes next reads all of them."""
    kernels = [axpy(f"axpy_{number}") for number in range(4)]
    KernelCache(llvm_engine, folder)
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                KernelCache(Engine(), folder).addresses(kernels)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert len(entries(folder)) == len(kernels)
    reader = KernelCache(Engine(), folder)
    reader.addresses(kernels)
    assert (reader.counts.compiled, reader.counts.read) == (0, len(kernels))


@pytest.fixture
def fresh_default():
    """`default_cache` as in a new process."""
    default_cache.cache_clear()
    yield
    default_cache.cache_clear()


@pytest.mark.usefixtures("fresh_default", "llvm_engine")
class TestDefault:
    def test_the_variable_names_a_folder(self, monkeypatch: pytest.MonkeyPatch, folder: Path):
        monkeypatch.setenv("NASTURTIUM_CACHE", str(folder))
        assert default_cache().folder == folder
        assert default_cache() is default_cache()

    def test_the_variable_says_off(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("NASTURTIUM_CACHE", "off")
        assert default_cache().folder is None

    @posix
    def test_a_bad_folder_of_the_variable_is_an_error(self, monkeypatch: pytest.MonkeyPatch, folder: Path):
        folder.mkdir()
        folder.chmod(0o770)
        monkeypatch.setenv("NASTURTIUM_CACHE", str(folder))
        with pytest.raises(ConfigError, match="NASTURTIUM_CACHE"):
            default_cache()

    @pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME")
    def test_the_users_cache_is_used_or_done_without(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        monkeypatch.delenv("NASTURTIUM_CACHE", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert default_cache().folder == tmp_path / "nasturtium" / "kernels"
        default_cache.cache_clear()
        (tmp_path / "nasturtium" / "kernels").chmod(0o777)
        assert default_cache().folder is None
        assert "not kept" in caplog.text


class TestHost:
    """What LLVM said of the machine is remembered, so that it need not be loaded to say it again."""

    CODE = """
        import ctypes, sys
        from nasturtium.core.compiler.llvm import default_cache
        from nasturtium.core.compiler.llvm.tile import emit_tile
        cache = default_cache()
        cache.addresses([emit_tile(cache.engine.target, pixels=2, blocks=1)])
        print(cache.counts.compiled, "llvmlite" in sys.modules, cache.engine.target)
    """

    def run(self, folder: Path, **variables: str) -> str:
        environment = {**os.environ, "NASTURTIUM_CACHE": str(folder), **variables}
        command = [sys.executable, "-c", textwrap.dedent(self.CODE)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout.strip()

    def test_who_compiles_nothing_does_without_llvm(self, folder: Path):
        if identity() is None:
            pytest.skip("LLVM loads what it compiled here")
        first, second = self.run(folder), self.run(folder)
        assert first.startswith("1 True")
        assert second.startswith("0 False")
        assert first.split(" ", 2)[2] == second.split(" ", 2)[2]
        assert self.run(folder, NASTURTIUM_PURE_PYTHON="1").startswith("0 True")  # cannot ask the processor

    def test_what_is_damaged_is_asked_again(self, folder: Path):
        if identity() is None:
            pytest.skip("it is always asked here")
        first = self.run(folder)
        (entry,) = folder.glob("*.host")
        entry.write_bytes(flip(entry.read_bytes()))
        again = self.run(folder)
        assert again.startswith("0 True")
        assert again.split(" ", 2)[2] == first.split(" ", 2)[2]
        assert self.run(folder).startswith("0 False")

    def test_machines_have_names(self, monkeypatch: pytest.MonkeyPatch):
        if identity() is None:
            pytest.skip("nobody asks here")
        assert identity() == identity()
        here = identity()
        processor = host_module.accelerate.processor()
        other = SimpleNamespace(processor=lambda: processor[:-1] + bytes([processor[-1] ^ 1]))
        monkeypatch.setattr(host_module, "accelerate", other)
        assert identity() not in (here, None)
        monkeypatch.setattr(host_module, "accelerate", None)
        assert identity() is None
