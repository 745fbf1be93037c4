"""One engine and one cache for all tests; without llvmlite they skip."""

from __future__ import annotations

import pytest

from nasturtium.core.compiler.llvm import CompilerUnavailable, Engine, KernelCache


@pytest.fixture(scope="session")
def llvm_engine() -> Engine:
    try:
        return Engine()
    except CompilerUnavailable as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="session")
def kernel_cache(llvm_engine: Engine) -> KernelCache:
    """A cache that keeps nothing on disk."""
    return KernelCache(llvm_engine)
