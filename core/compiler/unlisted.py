"""Ops that stand in no table: what only compiled graphs are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..op import Batch, Flags, Jvp, OpDef, Rule


def unlisted_op(
    name: str,
    forward: Callable[..., Any],
    infer: Callable[..., Any],
    *,
    vjp: Sequence[Rule | None] | Rule,
    macs: Callable[..., int] | None = None,
    flags: Flags = Flags.NONE,
) -> OpDef:
    """An op without samples, which is its own reference; for the arguments see `OpDef`."""
    return OpDef(
        name=name,
        forward=forward,
        infer=infer,
        vjp=vjp,
        saves=frozenset(),
        jvp=Jvp.NONE,
        batch=Batch.LOOP,
        per_sample=None,
        reference=forward,
        samples=(),
        macs=macs,
        flags=flags,
    )
