"""`RobustAdder`: gives out what a robust rule makes of all updates in the form of their sum, so sites open it like one.

A rule gives one value where a sum has n: sites read n times that value, with the weight n, and so take it for the mean.
It works on symbols, which are levels of the same ranges at every site, and on the exact integers. n times a value is
rounded to an integer, by at most half a step in the sum of n steps. Integers become limbs as if n sites had said them,
some of them one more than the others.

What is said of the model goes through the rule. Of the other figures: all sites weigh 1, so the median of the weights
is taken, and that of the use of ranges; counts on validation rows are summed after a look at what is possible. A liar
can therefore tell a false accuracy of up to the public bound of rows, but no more move the model than the rule allows.

Threat model: updates are in the clear, the coordinator reads all of them. Some sites send anything.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ...core import ConfigError
from ...privacy import (
    NO_KEY,
    Adder,
    MalformedUpdateError,
    Mask,
    PlainAdder,
    PrivacyError,
    TooFewSitesError,
)
from ..strategies import RobustRule
from .exchange import Exchange
from .symbols import VALUES, UpdateSymbols

_BLOCK: Final = 1 << 14  # coordinates handled at once
_FIGURES: Final = 4  # weight, rows, correct, summed loss


class RobustAdder:
    """A `PlainAdder` whose sums are made by a rule.

    Args:
        inner: of the scheme.
        symbols: what the symbols of an update mean.
        rule: of the strategy.
        max_rows: the public bound on a site's rows.
    """

    key_id = NO_KEY
    parameters_sha256: str | None = None

    def __init__(self, inner: PlainAdder, symbols: UpdateSymbols, rule: RobustRule, max_rows: int) -> None:
        self.preset = inner.preset
        self.scheme = inner.scheme
        self.fixed_length = inner.fixed_length
        self.ciphertexts, self.update_bytes, self.sum_bytes = inner.ciphertexts, inner.update_bytes, inner.sum_bytes
        self._inner = inner
        self._symbols = symbols
        self._rule = rule
        self._max_rows = max_rows

    @classmethod
    def around(cls, adder: Adder, exchange: Exchange, max_rows: int) -> Adder:
        """An adder of the strategy's rule; the adder itself where the strategy has none.

        Raises:
            ConfigError: the adder cannot read what it adds.
        """
        rule, symbols = exchange.strategy.rule(), exchange.symbols
        if rule is None:
            return adder
        if not (isinstance(adder, PlainAdder) and isinstance(symbols, UpdateSymbols)):
            raise ConfigError(f"{exchange.strategy.name} needs updates in the clear, got the scheme {adder.scheme}")
        return cls(adder, symbols, rule, max_rows)

    def start(self, values: int) -> RobustSum:
        """No updates yet."""
        return RobustSum(self._inner, self._symbols, self._rule, self._max_rows)


class RobustSum:
    """All updates of a sum that grows; they are kept, a byte or two a symbol."""

    def __init__(self, adder: PlainAdder, symbols: UpdateSymbols, rule: RobustRule, max_rows: int) -> None:
        self._adder = adder
        self._symbols = symbols
        self._rule = rule
        self._max_rows = max_rows
        self._dtype = np.min_scalar_type(adder.preset.levels - 1)
        self._updates: list[tuple[bytes, np.ndarray]] = []  # each with its body

    def add(self, body: memoryview) -> None:
        """Keep an update that could be a site's.

        Raises:
            MalformedUpdateError: it could not.
        """
        symbols = self._adder.read(body, self._symbols.values).astype(self._dtype)
        figures = self._symbols.integers(symbols)[-_FIGURES:]
        weight, rows, correct, loss = (int(each) for each in figures)
        if weight not in (0, int(VALUES.encode(np.ones(1))[0])):
            raise MalformedUpdateError("another weight than 1, which all sites have")
        if not (0 <= correct <= rows <= self._max_rows and loss >= 0):
            raise MalformedUpdateError(f"impossible counts: {correct} of {rows} rows, at most {self._max_rows}")
        self._updates.append((bytes(body), symbols))

    def remove(self, mask: Mask) -> None:
        """There are no masks here."""
        raise PrivacyError("masks go under an encryption", hint='use the scheme "packed"')

    def add_noise(self, noise: np.ndarray) -> None:
        """There is no noise here."""
        raise PrivacyError("a robust rule takes no noise of the coordinator")

    def body(self) -> bytes:
        """What the rule gives, as the body of a sum.

        Raises:
            TooFewSitesError: too few updates for the rule.
        """
        count, rule = len(self._updates), self._rule
        if count < rule.fewest:
            raise TooFewSitesError(f"the rule needs {rule.fewest} updates, got {count}")
        # In an order of their own, so that of several choices as good the same is taken, whoever answered first.
        updates = np.stack([symbols for _, symbols in sorted(self._updates, key=lambda each: each[0])])
        integers = np.stack([self._symbols.integers(symbols) for symbols in updates])
        buffers = sum(part.size for part in self._symbols.layout.parts if not part.quantised)
        said, figures = integers[:, :buffers], integers[:, buffers:]
        quantised = updates[:, : self._symbols.quantised]
        chosen = np.arange(count)
        if rule.needs_distances:
            chosen = rule.choose(self._distances(quantised, said))
        sums = np.empty(self._symbols.values, np.uint32)
        sums[: self._symbols.quantised] = self._join(quantised[chosen], count)
        told = np.rint(count * np.median(figures, axis=0)).astype(np.int64)
        told[1 - _FIGURES :] = figures[:, 1 - _FIGURES :].sum(axis=0)
        exact = np.concatenate([self._join(said[chosen], count), told])
        sums[self._symbols.quantised :] = self._symbols.as_if_said(exact, count)
        return self._adder.write(sums, count)

    def _join(self, values: np.ndarray, count: int) -> np.ndarray:
        """`count` times what the rule says, rounded: shape (b,) int64."""
        joined = np.empty(values.shape[1], np.int64)
        # The values of a coordinate lie side by side: sorting them then takes half the time (measured).
        for start in range(0, values.shape[1], _BLOCK):
            part = slice(start, start + _BLOCK)
            joined[part] = np.rint(count * self._rule.join(values[:, part].astype(np.float64, order="F")))
        return joined

    def _distances(self, quantised: np.ndarray, said: np.ndarray) -> np.ndarray:
        """Squared distances of all updates, in units of the ranges; buffers count as they are."""
        middle, half = (self._adder.preset.levels - 1) // 2, (self._adder.preset.levels - 1) / 2
        products = np.zeros((len(quantised), len(quantised)))
        for start in range(0, quantised.shape[1], _BLOCK):
            # Of integers: float64 holds the products exactly, in whatever order they are summed.
            part = quantised[:, start : start + _BLOCK].astype(np.float64) - middle
            products += part @ part.T
        lengths = np.diag(products)
        distances = (lengths[:, None] + lengths[None, :] - 2 * products) / (half * half)
        for i in range(len(said)):
            apart = VALUES.decode(said - said[i])
            distances[i] += (apart * apart).sum(axis=1)
        return distances
