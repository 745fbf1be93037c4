"""Training is compiled where it is worth it, and nobody notices but by the clock."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from nasturtium.core import Tensor, nn
from nasturtium.core.train import Trainer, TrainingConfig, load_checkpoint, save_checkpoint
from nasturtium.core.train.compiled import LEAST, UncompiledWarning

pytest.importorskip("llvmlite", reason="native code needs the extra: compiler")

ROWS, BATCH = 100, 16
RNG = np.random.default_rng(0)
INPUTS = RNG.standard_normal((ROWS, 1, 6, 6)).astype(np.float32)
LABELS = RNG.integers(0, 3, ROWS)
EPOCHS = -(-LEAST // (-(-ROWS // BATCH)))


def network() -> nn.Module:
    rng = np.random.default_rng(1)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, rng=rng),
        nn.BatchNorm(8),
        nn.Activation("relu"),
        nn.Dropout(0.1, rng=rng),
        nn.Flatten(),
        nn.Linear(288, 3, rng=rng),
    )


def trainer(model: nn.Module | None = None, *, epochs: int = EPOCHS) -> Trainer:
    config = TrainingConfig(epochs=epochs, batch_size=BATCH, clip_norm=1.0)
    return Trainer(model or network(), config, np.random.default_rng(2))


def compilations(run: Trainer) -> int:
    program = run._step._compiled._program
    return 0 if program is None else program.compilations


def test_a_long_run_is_compiled_once_and_learns_the_same(monkeypatch: pytest.MonkeyPatch):
    run = trainer()
    curves = run.fit(INPUTS, LABELS)["train_loss"]
    assert compilations(run) == 1
    monkeypatch.setenv("NASTURTIUM_COMPILE", "off")
    plain = trainer()
    expected = plain.fit(INPUTS, LABELS)["train_loss"]
    assert compilations(plain) == 0
    np.testing.assert_allclose(list(curves.values()), list(expected.values()), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(run.gradient_norm, plain.gradient_norm, rtol=1e-2)
    assert run.step == plain.step


def test_a_short_run_is_not():
    run = trainer(epochs=EPOCHS // 2)
    run.fit(INPUTS, LABELS)
    assert compilations(run) == 0


@pytest.mark.parametrize("until", [2, 9], ids=["before-it-is-compiled", "after"])
def test_a_run_that_goes_on_from_a_checkpoint_does_the_same_bits(tmp_path, until: int):
    whole = trainer()
    whole.fit(INPUTS, LABELS)
    first = trainer()
    first.fit(INPUTS, LABELS, until=until)
    path = save_checkpoint(tmp_path / "run.ckpt", first)
    second = trainer()
    load_checkpoint(path, second)
    second.fit(INPUTS, LABELS)
    for one, other in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        np.testing.assert_array_equal(one.data, other.data)


class Peeking(nn.Module):
    """Looks at its inputs' elements, which nobody can trace."""

    def __init__(self) -> None:
        self.linear = nn.Linear(36, 3, rng=np.random.default_rng(0))

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x.reshape(x.shape[0], -1))
        return y * 2 if float(y.sum()) > 1e9 else y


def test_what_cannot_be_traced_runs_as_it_is_with_one_warning():
    run = trainer(Peeking())
    with pytest.warns(UncompiledWarning, match="without the compiler") as seen:
        run.fit(INPUTS, LABELS)
    assert len(seen) == 1
    assert run.epoch == EPOCHS


def test_what_has_no_kernels_runs_as_it_is_in_silence():
    class Odd(Peeking):
        def forward(self, x: Tensor) -> Tensor:
            from nasturtium.core import ops

            return self.linear(ops.sort(x.reshape(x.shape[0], -1)))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = trainer(Odd())
        run.fit(INPUTS, LABELS)
    assert compilations(run) == 0
