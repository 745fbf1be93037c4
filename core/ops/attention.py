"""Scaled dot-product attention in memory that grows with the sequence, not with its square.

Scores are computed tile by tile and never kept: the forward pass carries a running maximum and sum for every query (an
online softmax), the backward pass computes the tiles again from the logarithm of that sum.

Sources: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; Milakov & Gimelshein 2018,
https://arxiv.org/abs/1805.02867 (online softmax); Dao et al. 2022, https://arxiv.org/abs/2205.14135 (tiles, and the
backward pass).
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import builtins
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import random
from ..device import Array, ArrayModule, Device, device_of
from ..errors import ConfigError, DTypeError, ShapeError
from ..op import Flags, Invalid, Jvp, Sample, booleans, normal
from ..shapes import Spec, accumulate_dtype, broadcast_shapes, result_dtype, to_floating
from ..tensor import Tensor
from .declare import aligned_samples, op, sum_to
from .dropout import masked_scale
from .elementwise import astype, exp, where
from .linalg import matmul
from .reduce import sum
from .shape import concatenate, getitem, reshape, swap_last

# Queries and keys of one tile. Larger tiles cost fewer calls, smaller ones stay in the cache; measured on sequences of
# 256 to 4096 with 64 features, 128 to 512 are within a fifth of each other.
TILE = 256


def _tiles(length: int) -> list[slice]:
    return [slice(start, builtins.min(start + TILE, length)) for start in range(0, length, TILE)]


def _pairs(queries: int, keys: int, causal: bool) -> Iterator[tuple[int, slice, list[tuple[int, slice]]]]:
    """Tiles of queries with their number, each with those tiles of keys it may see."""
    columns = list(enumerate(_tiles(keys)))
    for number, rows in enumerate(_tiles(queries)):
        yield number, rows, [(n, cols) for n, cols in columns if not causal or cols.start < rows.stop]


def _seen(xp: ArrayModule, rows: slice, cols: slice) -> Array | None:
    """Which keys of a tile precede which queries; None when all do."""
    if cols.stop - 1 <= rows.start:
        return None
    return xp.arange(rows.start, rows.stop)[:, None] >= xp.arange(cols.start, cols.stop)


def _cut(mask: Any, rows: slice, cols: slice) -> Any:
    """The part of a mask that belongs to a tile; axes of length 1 broadcast."""
    key = (..., rows if mask.shape[-2] > 1 else slice(None), cols if mask.shape[-1] > 1 else slice(None))
    return getitem(mask, key=key)


def _dropped(
    place: Device,
    rate: float,
    key: Sequence[int],
    lead: tuple[int, ...],
    shared: int,
    tile: tuple[int, int],
    rows: slice,
    cols: slice,
) -> tuple[Array, float]:
    """What dropout keeps of a tile: a function of the key and the tile's place, so that both passes agree."""
    shape = ((1,) * shared + lead[shared:]) + (rows.stop - rows.start, cols.stop - cols.start)
    return random.dropout_mask(random.key_of(key).fold_in(tile[0]).fold_in(tile[1]), shape, rate=rate, device=place)


def _check(name: str, q: Spec, k: Spec, v: Spec, mask: Spec | None) -> tuple[tuple[int, ...], int, int]:
    """Leading axes of the result, number of queries and number of keys."""
    if builtins.min(q.ndim, k.ndim, v.ndim) < 2:
        raise ShapeError(f"{name}: expected (..., length, features), got {q.shape}, {k.shape} and {v.shape}")
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(
            f"{name}: expected queries and keys of the same features and as many values as keys, "
            f"got q {q.shape}, k {k.shape}, v {v.shape}"
        )
    size = (q.shape[-2], k.shape[-2])
    leads = [spec.shape[:-2] for spec in (q, k, v)]
    if mask is not None:
        if mask.ndim < 2 or any(length not in (1, full) for length, full in zip(mask.shape[-2:], size, strict=True)):
            raise ShapeError(
                f"{name}: expected a mask that broadcasts to (..., {size[0]}, {size[1]}), got {mask.shape}"
            )
        leads.append(mask.shape[:-2])
    return broadcast_shapes(*leads, op=name), *size


def _spec(q: Spec, k: Spec, v: Spec, **params: Any) -> tuple[Spec, Spec]:
    lead, queries, _ = _check("attention", q, k, v, None)
    return _results(lead, queries, q, k, v)


def _masked_spec(q: Spec, k: Spec, v: Spec, mask: Spec, **params: Any) -> tuple[Spec, Spec]:
    lead, queries, _ = _check("attention", q, k, v, mask)
    return _results(lead, queries, q, k, v)


def _results(lead: tuple[int, ...], queries: int, q: Spec, k: Spec, v: Spec) -> tuple[Spec, Spec]:
    dtype = to_floating(result_dtype(q.dtype, k.dtype, v.dtype))
    return Spec((*lead, queries, v.shape[-1]), dtype), Spec((*lead, queries), accumulate_dtype(dtype))


def _attend(
    xp: ArrayModule, q: Array, k: Array, v: Array, mask: Array | None, params: dict[str, Any]
) -> tuple[Array, Array]:
    specs = [None if array is None else Spec(array.shape, array.dtype) for array in (q, k, v, mask)]
    lead, queries, keys = _check("attention", *specs)  # pyright: ignore[reportArgumentType]
    scale, causal, rate = params["scale"], params["causal"], params["dropout"]
    dtype = to_floating(result_dtype(q, k, v))
    wide = accumulate_dtype(dtype)
    q, k, v = (array.astype(wide, copy=False) for array in (q, k, v))
    out = xp.zeros((*lead, queries, v.shape[-1]), wide)
    log_sum = xp.full((*lead, queries), -np.inf, wide)
    floor = wide.type(-np.inf)
    for i, rows, columns in _pairs(queries, keys, causal):
        tile_q = q[..., rows, :] * wide.type(scale)
        highest = total = mixed = None
        for j, cols in columns:
            scores = xp.matmul(tile_q, k[..., cols, :].swapaxes(-1, -2))
            if mask is not None:
                part = _cut(mask, rows, cols)
                scores = (
                    xp.where(part, scores, floor) if part.dtype.kind == "b" else scores + part.astype(wide, copy=False)
                )
            seen = _seen(xp, rows, cols) if causal else None
            if seen is not None:
                scores = xp.where(seen, scores, floor)
            peak = scores.max(axis=-1, keepdims=True)
            if highest is not None:
                peak = xp.maximum(peak, highest)
            shift = xp.where(xp.isneginf(peak), 0, peak)  # a query that may see nothing yet
            scores -= shift
            weights = xp.exp(scores, out=scores)
            sums = weights.sum(axis=-1, keepdims=True)
            if rate:
                kept, factor = _dropped(device_of(q), rate, params["key"], lead, params["shared"], (i, j), rows, cols)
                weights = weights * (kept * wide.type(factor))
            product = xp.matmul(weights, v[..., cols, :])
            if highest is None:
                total, mixed = sums, product
            else:
                fade = xp.exp(highest - shift)
                total = total * fade + sums
                mixed = mixed * fade + product
            highest = peak
        if highest is not None:
            empty = total == 0
            out[..., rows, :] = mixed / xp.where(empty, 1, total)
            level = xp.where(empty, floor, highest + xp.log(xp.where(empty, 1, total)))
            log_sum[..., rows] = level[..., 0]
    return out.astype(dtype, copy=False), log_sum


def _attend_vjp(
    g: tuple[Any, Any], y: tuple[Any, Any], q: Any, k: Any, v: Any, mask: Any, params: dict[str, Any]
) -> list[Any]:
    """Gradients for q, k, v and the mask (None where that is boolean or absent)."""
    out, log_sum = y
    wide = accumulate_dtype(out.dtype).name
    shapes = q.shape, k.shape, v.shape
    scale, causal, rate = params["scale"], params["causal"], params["dropout"]
    q, k, v, out, g_out = (x if x.dtype == wide else astype(x, dtype=wide) for x in (q, k, v, out, g[0]))
    place = q.device if isinstance(q, Tensor) else device_of(q)
    lead = tuple(out.shape[:-2])
    inner = sum(g_out * out, axis=-1, keepdims=True) - reshape(g[1], shape=(*g[1].shape, 1))
    level = reshape(where(log_sum == -math.inf, 0.0, log_sum), shape=(*log_sum.shape, 1))
    additive = mask is not None and mask.dtype.kind != "b"
    for_q: list[Any] = []
    for_k: dict[int, Any] = {}
    for_v: dict[int, Any] = {}
    for_mask: list[list[Any]] = []
    for i, rows, columns in _pairs(shapes[0][-2], shapes[1][-2], causal):
        tile = (..., rows, slice(None))
        tile_q, tile_g = getitem(q, key=tile) * scale, getitem(g_out, key=tile)
        tile_level, tile_inner = getitem(level, key=tile), getitem(inner, key=tile)
        total_q: Any = None
        row_mask: list[Any] = []
        for j, cols in columns:
            across = (..., cols, slice(None))
            tile_k, tile_v = getitem(k, key=across), getitem(v, key=across)
            scores = matmul(tile_q, swap_last(tile_k))
            if mask is not None:
                part = _cut(mask, rows, cols)
                scores = scores + part if additive else where(part, scores, -math.inf)
            seen = _seen(place.xp, rows, cols) if causal else None
            if seen is not None:
                scores = where(seen, scores, -math.inf)
            weights = exp(scores - tile_level)
            kept_weights, slopes = weights, matmul(tile_g, swap_last(tile_v))
            if rate:
                kept, factor = _dropped(place, rate, params["key"], lead, params["shared"], (i, j), rows, cols)
                kept_weights = masked_scale(weights, kept, scale=factor)
                slopes = masked_scale(slopes, kept, scale=factor)
            g_scores = weights * (slopes - tile_inner)
            part_q = sum_to(matmul(g_scores, tile_k) * scale, (*shapes[0][:-2], *tile_q.shape[-2:]))
            total_q = part_q if total_q is None else total_q + part_q
            for totals, part, shape in (
                (for_k, matmul(swap_last(g_scores), tile_q), tile_k.shape),
                (for_v, matmul(swap_last(kept_weights), tile_g), tile_v.shape),
            ):
                part = sum_to(part, tuple(shape))
                totals[j] = totals[j] + part if j in totals else part
            if additive:
                row_mask.append(sum_to(g_scores, tuple(_cut(mask, rows, cols).shape)))
        for_q.append(total_q)
        for_mask.append(row_mask)
    return [
        _joined(for_q, shapes[0], q),
        _joined([for_k.get(j) for j in range(len(_tiles(shapes[1][-2])))], shapes[1], k),
        _joined([for_v.get(j) for j in range(len(_tiles(shapes[1][-2])))], shapes[2], v),
        _joined_mask(for_mask, mask, shapes[1][-2]) if additive else None,
    ]


def _joined(parts: Sequence[Any], shape: tuple[int, ...], like: Any) -> Any:
    """Tiles one below the other; those that no query or key met are zeros."""
    full = [
        _zeros(like, (*shape[:-2], rows.stop - rows.start, shape[-1])) if part is None else part
        for part, rows in zip(parts, _tiles(shape[-2]), strict=True)
    ]
    if not full:
        return _zeros(like, shape)
    return full[0] if len(full) == 1 else concatenate(*full, axis=-2)


def _joined_mask(parts: Sequence[Sequence[Any]], mask: Any, keys: int) -> Any:
    """Gradient of an additive mask from those of its tiles; an axis of length 1 sums them."""
    tall, wide = mask.shape[-2] > 1, mask.shape[-1] > 1
    strips: list[Any] = []
    for row in parts:
        if wide:
            missing = [cols.stop - cols.start for cols in _tiles(keys)[len(row) :]]
            row = [*row, *(_zeros(row[0], (*row[0].shape[:-1], length)) for length in missing)]
            strips.append(row[0] if len(row) == 1 else concatenate(*row, axis=-1))
        else:
            strips.append(_added(row))
    if not strips:
        return _zeros(mask, tuple(mask.shape))
    if not tall:
        return _added(strips)
    return strips[0] if len(strips) == 1 else concatenate(*strips, axis=-2)


def _added(parts: Sequence[Any]) -> Any:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _zeros(like: Any, shape: tuple[int, ...]) -> Any:
    place = like.device if isinstance(like, Tensor) else device_of(like)
    with place.active():
        zeros = place.xp.zeros(shape, like.dtype)
    return Tensor(zeros) if isinstance(like, Tensor) else zeros


def _batch(size: int, batched: Sequence[bool], *inputs: Any, **params: Any) -> Any:
    rank = builtins.max(len(x.shape) - own for x, own in zip(inputs, batched, strict=True))
    aligned = [
        reshape(x, shape=(size, *(1,) * (rank + 1 - len(x.shape)), *x.shape[1:])) if own else x
        for x, own in zip(inputs, batched, strict=True)
    ]
    params["shared"] += 1  # all examples share their key, and so one mask
    return (flash_attention if len(inputs) == 3 else masked_flash_attention)(*aligned, **params)


def _macs(specs: Sequence[Spec], out: tuple[Spec, Spec], **params: Any) -> int:
    """All pairs of queries and keys, for the scores and for the mixture of values."""
    q, k, v = specs[:3]
    return out[1].size * k.shape[-2] * (q.shape[-1] + v.shape[-1])


def _keeps_samples(carries: Sequence[bool], *specs: Spec, **params: Any) -> bool:
    """The leading axis is one of several attentions, and not that of a mask that dropout draws for all of them."""
    rank = builtins.max(spec.ndim for spec in specs)
    return rank > 2 and aligned_samples(carries, *specs) and (not params["dropout"] or all(carries))


def _reference(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None = None, **params: Any
) -> tuple[np.ndarray, np.ndarray]:
    scores = np.einsum("...ie,...je->...ij", q, k) * params["scale"]
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    if params["causal"]:
        scores = np.where(np.tri(q.shape[-2], k.shape[-2], dtype=bool), scores, -np.inf)
    total = np.exp(scores).sum(-1)
    weights = np.exp(scores) / total[..., None]
    if params["dropout"]:  # small enough to be one tile
        shape = (1,) * params["shared"] + scores.shape[params["shared"] :]
        kept, factor = random.dropout_mask(
            random.Key(*params["key"]).fold_in(0).fold_in(0), shape, rate=params["dropout"]
        )
        weights = weights * kept * factor
    out = np.einsum("...ij,...jv->...iv", weights, v)
    return out, np.broadcast_to(np.log(total), out.shape[:-1])


_PLAIN: dict[str, Any] = {"scale": 0.5, "causal": False, "dropout": 0.0, "key": (0, 0), "shared": 0}
_CAUSAL = {**_PLAIN, "causal": True}
_DROPPED = {**_PLAIN, "dropout": 0.25, "key": (3, 5)}
_LONG = {**_CAUSAL, "scale": 0.2}
_BAD = (
    Invalid(normal(3, 4), normal(5, 3), normal(5, 4), **_PLAIN, error=ShapeError, match="same features"),
    Invalid(normal(3, 4), normal(5, 4), normal(6, 4), **_PLAIN, error=ShapeError, match="as many values as keys"),
    Invalid(normal(4), normal(5, 4), normal(5, 4), **_PLAIN, error=ShapeError, match="length, features"),
    Invalid(normal(2, 3, 4), normal(3, 5, 4), normal(5, 4), **_PLAIN, error=ShapeError, match="do not broadcast"),
)


def _plain_vjp(g: Any, y: Any, q: Any, k: Any, v: Any, **params: Any) -> list[Any]:
    return _attend_vjp(g, y, q, k, v, None, params)[:3]


@op(
    onnx="Attention",
    infer=_spec,
    reference=_reference,
    vjp=_plain_vjp,
    saves=("q", "k", "v", "out"),
    jvp=Jvp.TRANSPOSED,
    batch=_batch,
    per_sample=_keeps_samples,
    macs=_macs,
    samples=(
        Sample(normal(3, 4), normal(5, 4), normal(5, 2), **_PLAIN),
        Sample(normal(2, 3, 4), normal(2, 3, 4), normal(2, 3, 4), **_CAUSAL),
        Sample(normal(2, 2, 3, 4), normal(2, 1, 5, 4), normal(5, 2), **_PLAIN),
        Sample(normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 2), **_DROPPED),
        Sample(normal(0, 3, 4), normal(0, 5, 4), normal(0, 5, 2), **_PLAIN),
        Sample(normal(259, 2), normal(259, 2), normal(259, 3), **_LONG),
        Sample(normal(5, 2), normal(258, 2), normal(258, 3), **_LONG),
    ),
    invalid=_BAD,
    flags=Flags.HALF,
)
def flash_attention(
    xp: ArrayModule,
    q: Array,
    k: Array,
    v: Array,
    *,
    scale: float,
    causal: bool = False,
    dropout: float = 0.0,
    key: tuple[int, int] = (0, 0),
    shared: int = 0,
) -> tuple[Array, Array]:
    """softmax(scale q k^T) v and the logarithm of the softmax's denominator, (..., L, features) and (..., L).

    q (..., L, E), k (..., S, E), v (..., S, features); leading axes broadcast. With `causal` query i sees keys 0 to i.
    `dropout` drops weights by `key`; the first `shared` leading axes share their mask. 16-bit floats are computed in
    float32, and the second result stays float32. See `attention` for the function to call.
    """
    return _attend(
        xp, q, k, v, None, {"scale": scale, "causal": causal, "dropout": dropout, "key": key, "shared": shared}
    )


def _masked_vjp(g: Any, y: Any, q: Any, k: Any, v: Any, mask: Any, **params: Any) -> list[Any]:
    return _attend_vjp(g, y, q, k, v, mask, params)


@op(
    onnx="Attention",
    infer=_masked_spec,
    reference=_reference,
    vjp=_masked_vjp,
    saves=("q", "k", "v", "mask", "out"),
    jvp=Jvp.TRANSPOSED,
    batch=_batch,
    per_sample=_keeps_samples,
    macs=_macs,
    samples=(
        Sample(normal(3, 4), normal(5, 4), normal(5, 2), normal(3, 5), **_PLAIN),
        Sample(normal(2, 3, 4), normal(2, 3, 4), normal(2, 3, 4), normal(3, 3), **_CAUSAL),
        Sample(normal(3, 4), normal(9, 4), normal(9, 4), booleans(2, 1, 9), **_PLAIN),
        Sample(normal(2, 1, 3, 4), normal(3, 5, 4), normal(5, 2), normal(3, 1, 5), **_PLAIN),
        Sample(normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 2), normal(2, 3, 1), **_DROPPED),
        Sample(normal(258, 2), normal(258, 2), normal(258, 3), normal(258, 258), **_LONG),
        Sample(normal(5, 2), normal(259, 2), normal(259, 3), normal(1, 259), **_LONG),
    ),
    invalid=(
        Invalid(
            normal(3, 4), normal(5, 4), normal(5, 4), normal(3, 4), **_PLAIN, error=ShapeError, match="a mask that"
        ),
        Invalid(normal(3, 4), normal(5, 3), normal(5, 4), normal(3, 5), **_PLAIN, error=ShapeError, match="features"),
    ),
    flags=Flags.HALF,
)
def masked_flash_attention(
    xp: ArrayModule,
    q: Array,
    k: Array,
    v: Array,
    mask: Array,
    *,
    scale: float,
    causal: bool = False,
    dropout: float = 0.0,
    key: tuple[int, int] = (0, 0),
    shared: int = 0,
) -> tuple[Array, Array]:
    """`flash_attention` with a mask (..., L, S) that broadcasts: booleans say which keys a query sees, floating numbers
    are added to the scores and have a gradient. A query that sees nothing gets zeros.
    """
    return _attend(
        xp, q, k, v, mask, {"scale": scale, "causal": causal, "dropout": dropout, "key": key, "shared": shared}
    )


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | Array | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    key: random.Key | None = None,
    grouped: bool = False,
) -> Tensor:
    """Scaled dot-product attention, softmax(q k^T scale + mask) v, without ever holding the matrix of weights.

    Args:
        q: queries (..., L, E); usually (N, heads, L, E).
        k: keys (..., S, E).
        v: values (..., S, features). Leading axes broadcast.
        mask: (..., L, S), broadcasts; booleans say which keys a query sees, floating numbers are added to the scores. A
            query that sees nothing gets zeros.
        causal: query i sees keys 0 to i only.
        scale: 1 / sqrt(E) by default.
        dropout: share of the weights that is dropped, in [0, 1); needs `key`. Under `vmap` all examples share a mask.
        grouped: k and v have fewer heads (axis -3) than q, each serving a run of q's heads.

    Returns:
        (..., L, features).

    Raises:
        ShapeError: the shapes do not fit.
        ConfigError: dropout without a key.

    Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; Ainslie et al. 2023 for groups,
    https://arxiv.org/abs/2305.13245.
    """
    if dropout and key is None:
        raise ConfigError("attention: dropout needs a key", hint="pass key=random.key_from(rng)")
    if not 0 <= dropout < 1:
        raise ConfigError(f"attention: expected 0 <= dropout < 1, got {dropout}")
    params: dict[str, Any] = {
        "scale": 1 / math.sqrt(q.shape[-1] or 1) if scale is None else scale,
        "causal": causal,
        "dropout": dropout,
        "key": key.words if key is not None else (0, 0),
    }
    if mask is not None and not isinstance(mask, Tensor):
        mask = Tensor(q.device.put(mask))
    if mask is not None and mask.dtype.kind in "iu":
        raise DTypeError(f"attention: expected a mask of booleans or floating numbers, got {mask.dtype}")
    shape = q.shape
    if grouped:
        q, k, v, mask = _in_groups(q, k, v, mask)
    if mask is not None and mask.ndim < 2:
        mask = mask.reshape((1,) * (2 - mask.ndim) + mask.shape)
    out = flash_attention(q, k, v, **params)[0] if mask is None else masked_flash_attention(q, k, v, mask, **params)[0]
    return out.reshape(*out.shape[:-4], shape[-3], *out.shape[-2:]) if grouped else out


def _in_groups(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Heads as (groups, heads of a group) for the queries and (groups, 1) for keys and values."""
    if builtins.min(q.ndim, k.ndim, v.ndim) < 3 or k.shape[-3] != v.shape[-3] or q.shape[-3] % (k.shape[-3] or 1):
        raise ShapeError(
            "attention: expected heads of q (axis -3) a multiple of those of k and v, "
            f"got {q.shape}, {k.shape} and {v.shape}"
        )
    groups, heads = k.shape[-3], q.shape[-3]
    q = q.reshape(*q.shape[:-3], groups, heads // groups, *q.shape[-2:])
    k, v = (x.reshape(*x.shape[:-2], 1, *x.shape[-2:]) for x in (k, v))
    if mask is not None and mask.ndim > 2:
        split = (groups, heads // groups) if mask.shape[-3] == heads else (1, 1)
        mask = mask.reshape(*mask.shape[:-3], *split, *mask.shape[-2:])
    return q, k, v, mask
