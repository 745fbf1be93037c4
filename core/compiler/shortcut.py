"""A compiled step that is called again and finds everything as it was: checks, run and result in one call of C.

Around a step of some ten microseconds Python takes as long. What `accelerate.Shortcut` does is what `Compiled.__call__`
and `NativeProgram.__call__` do for tensors and floats. It answers None, and has done nothing that matters, where these
have to look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import RLock
from typing import Any

from ..device import Array
from ..native import accelerate
from ..tensor import Tensor, as_array
from .guards import TensorKinds
from .watched import Surroundings

Shortcut = Callable[[tuple[Any, ...]], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a run of a program consists of.

    Attributes:
        counts: a buffer of two int64: how many threads run, and how often before `Team` compares numbers of threads.
        run: addresses of the native loop, the pool's memory and the program's table; its records and control word.
        tensors: that are captured.
        arrays: the memory of each that is bound; None: none of its own.
        sources: names of buffers that are read, and the numbers of the arguments that lie there.
        given: by name, the array that is bound.
        held: by name, the memory that is bound.
        bind: binds a name to an array.
        bounds: names of buffers of integers, and what each must be below.
        prepare: takes the arguments' arrays before each run; None: nothing to do.
        states: of optimisers, told `advanced` after each run.
        workers: the pool's, who must be enough.
        acquire_pool, release_pool: of the pool's lock.
        results: views of what is returned.
        finish: called when these are copied; None: nothing is left to do.
    """

    counts: Any
    run: tuple[int, int, int, int, int]
    tensors: tuple[Any, ...]
    arrays: list[Array | None]
    sources: tuple[tuple[str, int], ...]
    given: dict[str, Array]
    held: dict[str, Array]
    bind: Callable[[str, Array], bool]
    bounds: tuple[tuple[str, int], ...]
    prepare: Callable[[Sequence[Array]], None] | None
    states: tuple[Any, ...]
    workers: list[Any]
    acquire_pool: Callable[..., bool]
    release_pool: Callable[[], None]
    results: tuple[Array, ...]
    finish: Callable[[], None] | None


def shortcut(
    parts: Parts,
    kinds: TensorKinds,
    surroundings: Surroundings,
    lock: RLock,
    assemble: Callable[[list[Tensor]], Any] | None,
) -> Shortcut | None:
    """The shortcut of a program that has run; None where `accelerate.c` was not built.

    Args:
        parts: of the program.
        kinds: of the arguments that it is for.
        surroundings: in which it is right.
        lock: held by whoever runs the program.
        assemble: makes what is returned of the results; None: it is the only one.
    """
    if accelerate is None:
        return None
    fields: dict[str, Any] = {name: getattr(parts, name) for name in Parts.__slots__}
    counts, run = fields.pop("counts"), fields.pop("run")
    fields |= surroundings.looks | {"kinds": kinds, "acquire": lock.acquire, "release": lock.release}
    fields |= {"convert": as_array, "assemble": assemble}
    return accelerate.Shortcut(counts, run, **fields)
