"""Masks of dropout by the Philox generator: bit for bit those of `core.random.dropout_mask`.

Each block of four 64-bit words is a function of the key and its number, so threads draw any part in any order. A
quarter of a word decides over an element.

Source: Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011); see `core/philox.py`.
"""

from __future__ import annotations

from functools import lru_cache

from ...philox import MULTIPLIERS, ROUNDS, WEYL, WORD
from .ir import INT, POINTER, Value, Writer, number, vector
from .kernel import Kernel, Slot
from .target import Target

LANES = 16  # elements that a block decides over


@lru_cache(8)
def emit_dropout_mask(target: Target) -> Kernel:
    """A byte per element: 1 where its 16 random bits are below `kept`.

    Returns:
        Slots: `count`; `key0`, `key1`, the words of the key as int64; `kept`, from 1 to 2^16; `mask`.
    """
    slots = (*(Slot(name, "i64") for name in ("count", "key0", "key1", "kept")), Slot("mask", "ptr"))
    k = Writer("dropout_mask", target, slots)
    keys = _keys(k)
    wide, bytes_ = vector(LANES, "i32"), vector(LANES, "i8")
    kept = k.splat(k.cast("trunc", k["kept"], "i32"), LANES)

    def block(index: Value) -> tuple[Value, Value]:
        words = Value("poison", vector(4, INT))
        for place, word in enumerate(_block(k, index, keys)):
            words = k.define(f"insertelement {words.type} {words.text}, i64 {word.text}, i64 {place}", words.type)
        bits = k.cast("zext", k.cast("bitcast", words, vector(LANES, "i16")), wide)
        first = k.mul(index, LANES)
        return k.cast("zext", k.compare("ult", bits, kept), bytes_), k.at(k["mask"], first, element="i8")

    whole = k.div(k["count"], LANES)
    with k.loop(*k.share(whole)) as loop:
        mask, place = block(loop.index)
        k.store(mask, place, align=1)
    left = k.sub(k["count"], k.mul(whole, LANES))
    last = k.sub(k.nt, 1)
    with k.when(k.binary("and", k.compare("eq", k.tid, last), k.compare("sgt", left, 0))):
        mask, place = block(whole)
        lanes = k.lanes_below(left, LANES)
        k.perform("llvm.masked.store", mask, place, number(1, "i32"), lanes, overloads=(bytes_, POINTER))
    return k.kernel()


def signed(word: int) -> int:
    """A word of a key as a slot takes it."""
    return word - WORD if word >= WORD // 2 else word


def _keys(k: Writer) -> list[tuple[Value, Value]]:
    """Those of each round."""
    keys = [(k["key0"], k["key1"])]
    for _ in range(ROUNDS - 1):
        before = keys[-1]
        first, second = (
            k.define(f"add i64 {key.text}, {signed(step)}", INT) for key, step in zip(before, WEYL, strict=True)
        )
        keys.append((first, second))
    return keys


def _block(k: Writer, index: Value, keys: list[tuple[Value, Value]]) -> tuple[Value, Value, Value, Value]:
    """The words of a block."""
    zero = number(0, INT)
    c0, c1, c2, c3 = index, zero, zero, zero
    for key0, key1 in keys:
        high0, low0 = _product(k, c0, MULTIPLIERS[0])
        high1, low1 = _product(k, c2, MULTIPLIERS[1])
        c0, c2 = (k.binary("xor", k.binary("xor", a, b), key) for a, b, key in ((high1, c1, key0), (high0, c3, key1)))
        c1, c3 = low1, low0
    return c0, c1, c2, c3


def _product(k: Writer, word: Value, factor: int) -> tuple[Value, Value]:
    """Upper and lower half of a product of unsigned words."""
    wide = k.define(f"mul nuw i128 {k.cast('zext', word, 'i128').text}, {factor}", "i128")
    return k.cast("trunc", k.define(f"lshr i128 {wide.text}, 64", "i128"), INT), k.cast("trunc", wide, INT)
