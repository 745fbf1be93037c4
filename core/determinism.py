"""Same inputs, same bits: the default, which only a block can lift, and only for ops that say they need it.

Every op of ours computes the same bits on the same machine each time, also on a GPU (sums into shared places are
sorted, not raced). What may differ from run to run is a kernel of one's own that adds with atomics: `kernel_op` takes
`deterministic=False`, and such an op runs only where the caller has allowed it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from .errors import ConfigError

_allowed: ContextVar[bool] = ContextVar("nondeterminism allowed", default=False)


@contextmanager
def allow_nondeterminism() -> Generator[None]:
    """A block in which ops may give other bits from run to run, where they are faster for it."""
    token = _allowed.set(True)
    try:
        yield
    finally:
        _allowed.reset(token)


def require_allowed(name: str) -> None:
    """Refuse to run a non-deterministic op outside `allow_nondeterminism`.

    Raises:
        ConfigError: it has not been allowed.
    """
    if not _allowed.get():
        raise ConfigError(
            f"{name} gives other bits from run to run, and this is a deterministic run",
            hint="run it inside `with allow_nondeterminism():`",
        )
