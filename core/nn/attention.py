"""Attention between the steps of sequences, and the transformer's encoder layer. Samples are (T, features)."""

from __future__ import annotations

from typing import Self

import numpy as np

from .. import ops
from ..device import Array
from ..random import key_from
from ..tensor import Tensor
from .dropout import Dropout
from .expect import expect, sequence
from .init import xavier_uniform, zeros
from .layer import LayerPlan, Shape, layer
from .layers import ACTIVATIONS
from .module import Module, Parameter
from .norm import LayerNorm, RMSNorm


class _Affine(Module):
    """Affine map of every step, as transformers start it: uniform by Glorot & Bengio 2010, zero bias."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool, rng: np.random.Generator) -> None:
        self.weight = Parameter(xavier_uniform((out_features, in_features), rng))
        self.bias = Parameter(zeros((out_features,))) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features)."""
        return x @ self.weight.T if self.bias is None else ops.linear(x, self.weight, self.bias)


@layer("multi_head_attention")
class MultiHeadAttention(Module):
    """Several attentions side by side, each on a part of the features: (N, T, features) -> (N, T, features).

    Args:
        features: of a step; a multiple of `heads`.
        heads: how many attentions.
        groups: how many heads keys and values have, a divisor of `heads`; `heads` by default, 1 is multi-query.
        causal: step i sees steps 0 to i only.
        dropout: share of the weights that is dropped in training, in [0, 1).
        bias: of the four affine maps.
        rng: of the initial weights, and of what is dropped.

    Sources: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; Ainslie et al. 2023 for the groups,
    https://arxiv.org/abs/2305.13245.
    """

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        groups: int | None = None,
        causal: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
        rng: np.random.Generator,
    ) -> None:
        self.heads = heads
        self.groups = heads if groups is None else groups
        narrow = features // heads * self.groups
        self.query = _Affine(features, features, bias=bias, rng=rng)
        self.key = _Affine(features, narrow, bias=bias, rng=rng)
        self.value = _Affine(features, narrow, bias=bias, rng=rng)
        self.output = _Affine(features, features, bias=bias, rng=rng)
        self.causal = causal
        self.dropout = Dropout(dropout, rng=rng.spawn(1)[0]) if dropout else None

    @classmethod
    def plan(
        cls,
        shape: Shape,
        *,
        heads: int,
        groups: int | None = None,
        causal: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> LayerPlan:
        """Shape unchanged. Multiply-accumulates are those of all pairs of steps, also where `causal` saves half."""
        steps, features = sequence(shape)
        expect(heads >= 1 and features % heads == 0, f"expected heads that divide {features} features, got {heads}")
        expect(
            groups is None or (groups >= 1 and heads % groups == 0),
            f"expected groups that divide {heads} heads, got {groups}",
        )
        expect(0 <= dropout < 1, f"expected 0 <= dropout < 1, got {dropout}")
        narrow = features // heads * (heads if groups is None else groups)
        weights = 2 * features * features + 2 * features * narrow
        biases = (2 * features + 2 * narrow) * bias
        # Queries, keys and values with the input they are made of, or with what they attend to.
        peak = 2 * steps * (features + narrow)
        macs = steps * weights + 2 * steps * steps * features
        return LayerPlan(shape, weights + biases, macs, tensors=4 * (1 + bias), peak=peak, late_peak=peak)

    @classmethod
    def build(
        cls,
        shape: Shape,
        rng: np.random.Generator,
        *,
        heads: int,
        groups: int | None = None,
        causal: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> Self:
        """For sequences of any length."""
        return cls(shape[1], heads, groups=groups, causal=causal, dropout=dropout, bias=bias, rng=rng)

    def forward(self, x: Tensor, context: Tensor | None = None, *, mask: Tensor | Array | None = None) -> Tensor:
        """Attend.

        Args:
            x: whose steps ask, (N, T, features).
            context: whose steps answer, (N, S, features); `x` itself by default.
            mask: which steps of the context each step sees, booleans or numbers to add to the scores: (N, T, S),
                (N, 1, S) or (T, S).
        """
        context = x if context is None else context
        q = self._heads(self.query(x), self.heads)
        k, v = (self._heads(part(context), self.groups) for part in (self.key, self.value))
        if mask is not None:
            mask = mask if isinstance(mask, Tensor) else Tensor(x.device.put(mask))
            mask = mask.reshape(mask.shape[0], 1, *mask.shape[1:]) if mask.ndim == 3 else mask
        rate = self.dropout.rate if self.dropout is not None and self.training else 0.0
        key = key_from(self.dropout.rng) if self.dropout is not None and rate else None
        y = ops.attention(q, k, v, mask, causal=self.causal, dropout=rate, key=key, grouped=self.groups != self.heads)
        return self.output(y.transpose(0, 2, 1, 3).reshape(x.shape))

    @staticmethod
    def _heads(x: Tensor, count: int) -> Tensor:
        """(N, T, count * size) -> (N, count, T, size)."""
        return x.reshape(*x.shape[:2], count, x.shape[2] // count).transpose(0, 2, 1, 3)


@layer("transformer_encoder")
class TransformerEncoderLayer(Module):
    """Self-attention, then two affine maps with an activation in between, each with a residual connection and a norm.

    Args:
        features: of a step.
        heads: of the attention.
        hidden: features between the affine maps; 4 times `features` by default.
        activation: a name in `ACTIVATIONS`.
        norm: "layer" or "rms".
        norm_first: normalise what goes into each part (which trains without warm-up), not what comes out.
        causal, groups: see `MultiHeadAttention`.
        dropout: in training, of attention weights, between the affine maps and of what each part adds.
        rng: of the initial weights, and of what is dropped.

    Sources: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; Xiong et al. 2020 for the order of the norms,
    https://arxiv.org/abs/2002.04745.
    """

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        hidden: int | None = None,
        activation: str = "gelu",
        norm: str = "layer",
        norm_first: bool = True,
        causal: bool = False,
        groups: int | None = None,
        dropout: float = 0.0,
        rng: np.random.Generator,
    ) -> None:
        hidden = 4 * features if hidden is None else hidden
        self.attention = MultiHeadAttention(features, heads, groups=groups, causal=causal, dropout=dropout, rng=rng)
        self.expand = _Affine(features, hidden, bias=True, rng=rng)
        self.reduce = _Affine(hidden, features, bias=True, rng=rng)
        self.norms = [RMSNorm(features) if norm == "rms" else LayerNorm(features, over="last") for _ in range(2)]
        self.activation = ACTIVATIONS[activation]
        self.norm_first = norm_first
        self.dropouts = [Dropout(dropout, rng=child) for child in rng.spawn(3)] if dropout else []

    @classmethod
    def plan(
        cls,
        shape: Shape,
        *,
        heads: int,
        hidden: int | None = None,
        activation: str = "gelu",
        norm: str = "layer",
        norm_first: bool = True,
        causal: bool = False,
        groups: int | None = None,
        dropout: float = 0.0,
    ) -> LayerPlan:
        """Shape unchanged."""
        attention = MultiHeadAttention.plan(shape, heads=heads, groups=groups, causal=causal, dropout=dropout)
        steps, features = shape
        hidden = 4 * features if hidden is None else hidden
        expect(hidden >= 1, f"expected hidden >= 1, got {hidden}")
        expect(activation in ACTIVATIONS, f"unknown activation {activation!r}, known: {', '.join(ACTIVATIONS)}")
        expect(norm in ("layer", "rms"), f"expected the norm 'layer' or 'rms', got {norm!r}")
        parameters = 2 * features * hidden + hidden + features + (4 if norm == "layer" else 2) * features
        macs = 2 * steps * features * hidden + 4 * steps * features
        size, inner = steps * features, steps * hidden
        # The second part: around the activation, where the last map narrows, and the sum with what comes in.
        late_peak = max(size + 2 * inner, 2 * size + inner, 3 * size)
        return LayerPlan(
            shape,
            attention.parameters + parameters,
            attention.macs + macs,
            tensors=attention.tensors + 4 + (4 if norm == "layer" else 2),
            peak=max(attention.peak_for(size, kept=True), late_peak),
            late_peak=late_peak,
        )

    @classmethod
    def build(
        cls,
        shape: Shape,
        rng: np.random.Generator,
        *,
        heads: int,
        hidden: int | None = None,
        activation: str = "gelu",
        norm: str = "layer",
        norm_first: bool = True,
        causal: bool = False,
        groups: int | None = None,
        dropout: float = 0.0,
    ) -> Self:
        """For sequences of any length."""
        return cls(
            shape[1],
            heads,
            hidden=hidden,
            activation=activation,
            norm=norm,
            norm_first=norm_first,
            causal=causal,
            groups=groups,
            dropout=dropout,
            rng=rng,
        )

    def forward(self, x: Tensor, *, mask: Tensor | Array | None = None) -> Tensor:
        """Encode (N, T, features); `mask` as for `MultiHeadAttention`."""
        first, second = self.norms
        if self.norm_first:
            x = x + self._drop(self.attention(first(x), mask=mask), 0)
            return x + self._drop(self._map(second(x)), 2)
        x = first(x + self._drop(self.attention(x, mask=mask), 0))
        return second(x + self._drop(self._map(x), 2))

    def _map(self, x: Tensor) -> Tensor:
        return self.reduce(self._drop(self.activation(self.expand(x)), 1))

    def _drop(self, x: Tensor, place: int) -> Tensor:
        return self.dropouts[place](x) if self.dropouts else x
