"""Programs of these tests have two threads, whatever the others have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def two_threads() -> Iterator[None]:
    pytest.importorskip("llvmlite", reason="the native back end needs the extra: compiler")
    from nasturtium.core.compiler.llvm import default_pool

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASTURTIUM_NUM_THREADS", "2")
        default_pool.cache_clear()
        yield
    default_pool.cache_clear()
