"""Record-level differential privacy: a `Trainer` whose every step takes a noisy sum of clipped gradients (DP-SGD).

>>> import numpy as np
>>> from nasturtium.core import TrainingConfig, nn
>>> rng = np.random.default_rng(0)
>>> inputs = rng.standard_normal((200, 4)).astype("float32")
>>> labels = (inputs[:, 0] > 0).astype("int64")
>>> config = TrainingConfig(learning_rate=0.1, batch_size=50, epochs=2)
>>> privacy = DpSgd(clip_norm=1.0, noise_multiplier=1.5)
>>> trainer = PrivateTrainer(nn.Sequential(nn.Linear(4, 2, rng=rng)), config, rng, privacy)
>>> curves = trainer.fit(inputs, labels)
>>> dict(trainer.releases)
{GaussianRelease(noise_multiplier=1.5, sampling_probability=0.25): 8}

Each step takes a Poisson sample of the records, every one with the same chance and independently of the others; clips
the gradient of each by its L2 norm over all parameters; adds Gaussian noise to their sum; and divides by the expected
size of the sample, never by the size it happened to have. A sample may be empty: its step is noise alone. What the
optimiser, schedules and averages make of it costs no further privacy.

Threat model. The site is honest, and its machine is not watched. Whoever reads any of the models after any step, knows
all records but one, and wants to know whether that one is there, learns no more than the accountant says of
`PrivateTrainer.releases`. That holds for one record; for k records of one person, epsilon is about k times as large.

- Sampling and noise come from the operating system, not from a seed: who knows which records were in a batch gets no
  benefit of sampling, and who knows the noise takes it away. For the same reason the generators of dropout layers are
  exchanged for ones that nobody has the seed of: a mask depends on the place of a row in its batch, so known masks
  would tell of records added or left out. A run is therefore never the same twice.
- A record with a loss or a gradient that is not finite counts as none, so that it cannot end the training. Parameters
  that are not finite do, and are no secret.
- Not protected: the loss and the curves that the trainer shows are exact, so they, checkpoints and logs stay on the
  site, or are paid for otherwise. So are validation rows, and what they decide: early stopping and the best epoch. The
  number of records counts as known to everyone.
- Steps that are lost in a crash are not counted, as nobody has seen their models: save a checkpoint before a model is
  handed out in the middle of a run. Steps that the same trainer undoes by an older checkpoint still count.
- Gradients are floating-point numbers: see `clipped_sum` for their rounding, and `gaussian_noise` for the noise's.

Source: Abadi et al. 2016, algorithm 1, https://arxiv.org/abs/1607.00133; with Poisson sampling as Mironov et al. 2019
account for it, https://arxiv.org/abs/1908.10530.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import inf, nan
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from ...core import CPU, ConfigError, Curves, FormatError, Tensor, Trainer, TrainingConfig, optim
from ...core.nn import Module
from ...core.train import RowCriterion, SnapshotReader, TrainingStep
from .clipped_sum import clipped_sum
from .events import GaussianRelease, event_from_json, event_to_json
from .gaussian_noise import RandomBytes, add_gaussian
from .poisson_feed import PoissonFeed

Array = Any  # of NumPy or CuPy


@dataclass(frozen=True, slots=True, kw_only=True)
class DpSgd:
    """How a step hides a record.

    Attributes:
        clip_norm: largest L2 norm of a record's gradient in the sum, in units of the loss per parameter; > 0, finite.
        noise_multiplier: deviation of the noise in each element of the sum / `clip_norm`; > 0, finite. See
            `calibration.noise_multiplier_for`.

    Raises:
        ConfigError: out of range.
    """

    clip_norm: float
    noise_multiplier: float

    def __post_init__(self) -> None:
        for name in ("clip_norm", "noise_multiplier"):
            if not 0 < getattr(self, name) < inf:
                raise ConfigError(f"expected {name} > 0 and finite, got {getattr(self, name)}")


class PrivateTrainer(Trainer):
    """A `Trainer` by DP-SGD. Use it as a `Trainer`; every step is a release.

    An epoch has as many steps as a `Trainer`'s: the number of records / `config.batch_size`, rounded up. Every step
    samples a record with the chance `config.batch_size` / number of records, or takes all where it is larger. The
    config's `clip_norm` is of the noisy gradient, and seldom of use.

    Args:
        model: as for `Trainer`; without batch norm, which mixes records. See above for its dropout layers.
        config: as for `Trainer`; of precision "float32". `micro_batch_size` bounds memory, and rounding too.
        rng: as for `Trainer`; neither sampling nor noise come from it.
        privacy: clipping and noise.
        random_bytes: gives that many random bytes; another source than the operating system is for tests.
        options: as of `Trainer`, but for the scaler. A criterion tells the loss of each row, as those of the core do.

    Raises:
        ConfigError: lower precision, a criterion without the loss of each row, or the best epoch is told by the
            training loss, which is not protected.
    """

    def __init__(
        self,
        model: Module,
        config: TrainingConfig,
        rng: np.random.Generator,
        privacy: DpSgd,
        *,
        random_bytes: RandomBytes = os.urandom,
        **options: Any,
    ) -> None:
        if config.precision != "float32" or options.get("scaler") is not None:
            raise ConfigError(
                f"expected precision 'float32' and no scaler, got {config.precision!r} and {options.get('scaler')}",
                hint="the rounding of shorter floats could add more to a sum than the clip bound allows",
            )
        if config.monitor == "train_loss":
            raise ConfigError(
                "the training loss is not protected, so it may not tell the best epoch",
                hint="use monitor='val_loss', on rows that need no protection",
            )
        self._privacy = privacy
        self._random_bytes = random_bytes
        super().__init__(model, config, rng, **options)
        self._identity["privacy"] = asdict(privacy)
        _reseed(self.model, random_bytes)

    @property
    def releases(self) -> Mapping[GaussianRelease, int]:
        """What was released until now, and how often: for an accountant."""
        return MappingProxyType(self._noisy.releases)

    def planned(self, records: int, *, until: int | None = None) -> Mapping[GaussianRelease, int]:
        """What `fit` would release more, if it ran to the end of epoch `until`: to ask a budget before.

        Args:
            records: how many there are, >= 1.
            until: as of `fit`.
        """
        epochs = self.config.epochs if until is None else min(until, self.config.epochs)
        progress = self.progress()
        steps = max(0, (epochs - self.epoch) * steps_per_epoch(records, self.config.batch_size) - progress.batch)
        return {self._release(records): steps} if steps else {}

    def fit_batches(self, *_: Any, **options: Any) -> Curves:
        """Not for private training.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "the batches of a loader are no Poisson samples, which the privacy of a step is accounted for",
            hint="use `fit` with arrays",
        )

    def _release(self, records: int) -> GaussianRelease:
        return GaussianRelease(
            noise_multiplier=self._privacy.noise_multiplier,
            sampling_probability=min(1.0, self.config.batch_size / records),
        )

    def _make_step(
        self, optimizer: optim.Optimizer, average: optim.EMA | None, scaler: optim.LossScaler | None
    ) -> TrainingStep:
        if not isinstance(self._criterion, RowCriterion):
            raise ConfigError(
                f"{type(self._criterion).__name__} does not tell the loss of each row",
                hint="give it a method losses(outputs, targets), of which loss is the mean",
            )
        self._noisy = _NoisyStep(
            self._privacy,
            self._random_bytes,
            self.model,
            self.config,
            self._criterion,
            optimizer,
            average=average,
            scaler=scaler,
        )
        return self._noisy

    def _make_feed(self, inputs: np.ndarray, targets: np.ndarray) -> PoissonFeed:
        dtype = self._noisy.state.parameters.dtype
        feed = PoissonFeed(inputs, targets, self.config.batch_size, self.device, dtype, self._random_bytes)
        self._noisy.sampled(self._release(len(inputs)), feed.expected_rows)
        return feed


class _NoisyStep(TrainingStep):
    """A step by the noisy mean of clipped gradients."""

    def __init__(self, privacy: DpSgd, random_bytes: RandomBytes, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.releases: Counter[GaussianRelease] = Counter()
        self._privacy = privacy
        self._random_bytes = random_bytes
        self._release: GaussianRelease | None = None
        self._expected_rows = 0

    def sampled(self, release: GaussianRelease, expected_rows: int) -> None:
        """Say how the batches that follow are sampled."""
        self._release, self._expected_rows = release, expected_rows

    def numbers(self) -> dict[str, Any]:
        """What a checkpoint holds of this as JSON."""
        return {
            **super().numbers(),
            "releases": [{**event_to_json(event), "count": n} for event, n in self.releases.items()],
        }

    def restoring(self, found: SnapshotReader) -> Callable[[], None]:
        """As of any step. What was released after the checkpoint still counts, where this step did it."""
        apply_others, releases = super().restoring(found), _parsed_releases(found.value("releases", list))

        def apply() -> None:
            apply_others()
            self.releases |= releases

        return apply

    def _gradient(self, inputs: Array, targets: Array) -> tuple[Array, float]:
        assert self._release is not None
        total, loss_sum = self._clipped_sum(inputs, targets)
        self.releases[self._release] += 1
        deviation = self._privacy.noise_multiplier * self._privacy.clip_norm
        mean = add_gaussian(total, deviation, self._random_bytes) / self._expected_rows
        buffer = self.state.buffer
        if not bool(buffer.xp.isfinite(buffer.vector).all()):
            loss_sum = nan  # diverged, as anyone can see from the model
        return self.state.gather(buffer.device.put(mean.astype(buffer.vector.dtype))), loss_sum

    def _clipped_sum(self, inputs: Array, targets: Array) -> tuple[np.ndarray, float]:
        """The sum of the batch's clipped gradients, shape (n,) float64, and of its losses."""
        total, loss_sum = np.zeros(self.state.buffer.size), 0.0
        rows = len(targets)
        size = self._config.micro_batch_size or max(rows, 1)
        for start in range(0, rows, size):
            part = slice(start, start + size)
            part_sum, gradients = clipped_sum(
                self._losses, self.parameters, inputs[part], targets[part], clip_norm=self._privacy.clip_norm
            )
            total += CPU.put(self.state.gather(gradients))
            loss_sum += part_sum
        return total, loss_sum

    def _losses(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return cast(RowCriterion, self._criterion).losses(self._model(inputs), targets)


def steps_per_epoch(records: int, batch_size: int) -> int:
    """How many steps an epoch has.

    Raises:
        ConfigError: `records` or `batch_size` is not positive.
    """
    if records < 1 or batch_size < 1:
        raise ConfigError(f"expected records and batch_size >= 1, got {records} and {batch_size}")
    return -(-records // batch_size)


def _reseed(model: Module, random_bytes: RandomBytes) -> None:
    """Give every layer that draws random numbers a generator that nobody has the seed of."""
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, np.random.Generator):
                setattr(module, name, np.random.default_rng(int.from_bytes(random_bytes(32), "little")))


def _parsed_releases(rows: list[Any]) -> Counter[GaussianRelease]:
    """What a checkpoint holds of releases.

    Raises:
        FormatError: something else.
    """
    releases: Counter[GaussianRelease] = Counter()
    for row in rows:
        fields = dict(cast(dict[str, Any], row)) if isinstance(row, dict) else {}
        count = fields.pop("count", None)
        release = event_from_json(fields)
        if not isinstance(release, GaussianRelease) or type(count) is not int or count < 1:
            raise FormatError(f"expected a GaussianRelease and its count, got {row!r:.80}")
        releases[release] += count
    return releases
