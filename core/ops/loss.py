"""Losses, composed from ops. Each takes predictions first and says what it averages over.

`reduction` is "mean", "sum" or "none". The mean of no elements is 0, so that an empty batch does no harm.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import builtins
from collections.abc import Sequence
from math import e, prod
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ConfigError, DTypeError, ShapeError
from ..op import Invalid, Jvp, Sample, normal
from ..shapes import Spec, is_floating, normalize_axis, result_dtype, to_floating
from ..tensor import PLAIN, Tensor, wrap
from .activation import softplus
from .compare import equal
from .declare import elementwise, floating, op, promoted_floating
from .elementwise import absolute, astype, exp, log, maximum, minimum, where
from .embedding import as_indices
from .gather import take, take_along_axis
from .position import one_hot
from .reduce import log_softmax, sum
from .shape import expand_dims, reshape

REDUCTIONS = ("mean", "sum", "none")


def reduced(losses: Tensor, reduction: str, *, count: Any = None) -> Tensor:
    """Losses as they are, their sum, or their mean.

    Args:
        losses: any shape.
        reduction: "none", "sum" or "mean".
        count: what the mean divides the sum by, a number or 0-d tensor; the number of losses by default.

    Raises:
        ConfigError: another reduction.
    """
    if reduction not in REDUCTIONS:
        raise ConfigError(f"expected a reduction among {', '.join(REDUCTIONS)}, got {reduction!r}")
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    if isinstance(count, Tensor):
        return total / where(equal(count, 0.0), 1.0, count)
    return total * (1.0 / builtins.max(prod(losses.shape) if count is None else count, 1))


# --- classification ---


def _mean_nll_spec(log_probabilities: Spec, target: Spec, *, count: int) -> Spec:
    if log_probabilities.shape != target.shape:
        raise ShapeError(f"mean_nll: expected equal shapes, got {log_probabilities.shape} and {target.shape}")
    return Spec((), to_floating(result_dtype(log_probabilities.dtype, target.dtype)))


def _mean_nll_batch(size: int, batched: Sequence[bool], log_probabilities: Any, target: Any, *, count: int) -> Any:
    product = log_probabilities * target  # one of them may be shared
    return -sum(product, axis=tuple(range(1, len(product.shape)))) * (1.0 / count)


@op(
    infer=_mean_nll_spec,
    reference=lambda log_probabilities, target, count: np.asarray(
        -np.einsum("i,i->", log_probabilities.ravel(), target.ravel()) / count
    ),
    vjp=(
        lambda g, y, log_probabilities, target, count: target * -(g * (1.0 / count)),
        lambda g, y, log_probabilities, target, count: log_probabilities * -(g * (1.0 / count)),
    ),
    saves=("log_probabilities", "target"),
    jvp=Jvp.MULTILINEAR,
    batch=_mean_nll_batch,
    per_sample=None,
    samples=(
        Sample(normal(5, 4), normal(5, 4), count=5),
        Sample(normal(2, 3, 4), normal(2, 3, 4), count=8),
        Sample(normal(4), normal(4), count=1),
        Sample(normal(0, 4), normal(0, 4), count=1),
    ),
    invalid=(Invalid(normal(5, 4), normal(5), count=5, error=ShapeError, match="expected equal shapes"),),
)
def mean_nll(xp: ArrayModule, log_probabilities: Array, target: Array, *, count: int) -> Array:
    """Negative log-probabilities weighted by target probabilities, added up and divided by the number of samples."""
    if log_probabilities.shape != target.shape:
        _mean_nll_spec(
            Spec(log_probabilities.shape, log_probabilities.dtype), Spec(target.shape, target.dtype), count=count
        )
    return -(log_probabilities * target).sum() * (1.0 / count)


def _smoothed(labels: Tensor, logits: Tensor, axis: int, smoothing: float) -> Tensor:
    """Target probabilities: 1 at the label, less what is spread over all classes."""
    kind, classes = logits.dtype.type, logits.shape[axis]
    rest = np.asarray(kind(smoothing / classes))
    at_label = rest + kind(1 - smoothing)
    if labels.__class__ in PLAIN and labels.device.kind == "cpu" and logits.ndim == 2:
        indices = labels.data
        if indices.size and int(indices.astype(np.uint64, copy=False).max()) >= classes:  # negative ones are huge
            raise ShapeError(
                f"cross_entropy: labels must lie in [0, {classes}), got {indices.min()} to {indices.max()}"
            )
        target = np.full(logits.shape, rest)
        target[np.arange(len(indices)), indices] = at_label
        return wrap(target)
    hot = one_hot(labels, num_classes=classes, axis=axis, dtype="bool")
    return where(hot, Tensor(logits.device.put(np.asarray(at_label))), Tensor(logits.device.put(rest)))


def cross_entropy(
    logits: Tensor,
    labels: Tensor | Array,
    *,
    label_smoothing: float = 0.0,
    weight: Tensor | Array | None = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Softmax cross-entropy in nats.

    Args:
        logits: unnormalised log-probabilities, shape (N, classes), (N, classes, ...) or (classes,), floating.
        labels: class indices in [0, classes), of that shape without the classes; or probabilities of the classes,
            floating, of the shape of `logits`.
        label_smoothing: part of each target spread evenly over all classes, in [0, 1).
        weight: of each class, shape (classes,), >= 0.
        ignore_index: a label that counts as no sample; it need not be a class.
        reduction: "mean" over samples, weighted by the weight of their label; "sum"; or "none", one loss per sample.

    Raises:
        ShapeError: the shapes do not fit, or a label is out of range.
        DTypeError: the labels are neither integers nor floating.
        ConfigError: `label_smoothing` or `reduction` is out of range, or `ignore_index` is given with probabilities.

    Source: Szegedy et al. 2016 for the smoothing, https://arxiv.org/abs/1512.00567, section 7.
    """
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"cross_entropy: expected 0 <= label_smoothing < 1, got {label_smoothing}")
    labels = _as_tensor(labels, logits)
    axis = _class_axis("cross_entropy", logits)
    if labels.dtype.kind not in "iu":
        if ignore_index is not None:
            raise ConfigError("cross_entropy: ignore_index goes with class indices, the labels are probabilities")
        return _soft_cross_entropy(logits, labels, axis, label_smoothing, weight, reduction)
    _check_labels("cross_entropy", logits, labels, axis)
    if weight is None and ignore_index is None and reduction == "mean":
        target = _smoothed(labels, logits, axis, label_smoothing)
        return mean_nll(log_softmax(logits, axis=axis), target, count=builtins.max(prod(labels.shape), 1))
    counted, labels = _counted(labels, ignore_index)
    scores = log_softmax(logits, axis=axis) * _smoothed(labels, logits, axis, label_smoothing)
    if weight is not None:
        scores = scores * _per_class(weight, logits, axis)
    return _over_samples(-sum(scores, axis=axis), labels, counted, weight, logits, reduction)


def nll_loss(
    log_probabilities: Tensor,
    labels: Tensor | Array,
    *,
    weight: Tensor | Array | None = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of class indices under log-probabilities; arguments as for `cross_entropy`."""
    labels = _as_tensor(labels, log_probabilities)
    axis = _class_axis("nll_loss", log_probabilities)
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"nll_loss: expected integer labels, got {labels.dtype}", hint="use labels.astype('int64')")
    _check_labels("nll_loss", log_probabilities, labels, axis)
    counted, labels = _counted(labels, ignore_index)
    chosen = take_along_axis(log_probabilities, expand_dims(labels, axis=axis), axis=axis)
    losses = -reshape(chosen, shape=labels.shape)
    if weight is not None:
        losses = losses * _weights_of(labels, weight, log_probabilities)
    return _over_samples(losses, labels, counted, weight, log_probabilities, reduction)


def _soft_cross_entropy(
    logits: Tensor, target: Tensor, axis: int, smoothing: float, weight: Tensor | Array | None, reduction: str
) -> Tensor:
    if not is_floating(target.dtype) or target.shape == (*logits.shape[:axis], *logits.shape[axis + 1 :]):
        raise DTypeError(
            f"cross_entropy: expected integer labels, or probabilities of shape {logits.shape}, got {target.dtype}",
            hint="use labels.astype('int64')",
        )
    if target.shape != logits.shape:
        raise ShapeError(
            f"cross_entropy: expected probabilities of the shape of the logits {logits.shape}, got {target.shape}"
        )
    if smoothing:
        target = target * (1 - smoothing) + smoothing / logits.shape[axis]
    scores = log_softmax(logits, axis=axis) * target
    if weight is not None:
        scores = scores * _per_class(weight, logits, axis)
    return reduced(-sum(scores, axis=axis), reduction)


def _class_axis(name: str, logits: Tensor) -> int:
    if not logits.ndim:
        raise ShapeError(f"{name}: expected logits (N, classes), (N, classes, ...) or (classes,), got a single number")
    return 1 if logits.ndim > 1 else 0


def _check_labels(name: str, logits: Tensor, labels: Tensor, axis: int) -> None:
    if labels.shape != (*logits.shape[:axis], *logits.shape[axis + 1 :]):
        raise ShapeError(f"{name}: expected logits (N, classes) and labels (N,), got {logits.shape} and {labels.shape}")


def _as_tensor(labels: Tensor | Array, like: Tensor) -> Tensor:
    if isinstance(labels, Tensor):
        return labels
    return wrap(like.device.put(labels if hasattr(labels, "dtype") else np.asarray(labels)))


def _counted(labels: Tensor, ignore_index: int | None) -> tuple[Tensor | None, Tensor]:
    """Which labels count (None: all), and labels of which all are classes."""
    if ignore_index is None:
        return None, labels
    ignored = equal(labels, ignore_index)
    return astype(ignored, dtype="bool") == False, where(ignored, labels * 0, labels)  # noqa: E712 - elementwise


def _over_samples(
    losses: Tensor,
    labels: Tensor,
    counted: Tensor | None,
    weight: Tensor | Array | None,
    logits: Tensor,
    reduction: str,
) -> Tensor:
    """Losses with the ignored ones as zeros, and their mean by the weights of the labels."""
    if counted is not None:
        losses = where(counted, losses, 0.0)
    if reduction != "mean" or (counted is None and weight is None):
        return reduced(losses, reduction)
    shares = losses * 0.0 + 1.0 if weight is None else _weights_of(labels, weight, logits)
    return reduced(losses, reduction, count=sum(shares if counted is None else where(counted, shares, 0.0)))


def _per_class(weight: Tensor | Array, logits: Tensor, axis: int) -> Tensor:
    weight = _as_tensor(weight, logits)
    if weight.shape != (logits.shape[axis],):
        raise ShapeError(f"expected one weight for each of {logits.shape[axis]} classes, got shape {weight.shape}")
    return reshape(weight, shape=(-1, *(1,) * (logits.ndim - axis - 1)))


def _weights_of(labels: Tensor, weight: Tensor | Array, logits: Tensor) -> Tensor:
    axis = _class_axis("weight", logits)
    return take(reshape(_per_class(weight, logits, axis), shape=(logits.shape[axis],)), labels, axis=0)


def binary_cross_entropy(
    probabilities: Tensor, target: Tensor | Array, *, weight: Tensor | Array | None = None, reduction: str = "mean"
) -> Tensor:
    """Cross-entropy of yes-no answers in nats, -target log p - (1 - target) log(1 - p).

    Args:
        probabilities: in [0, 1]; the logarithms are limited to -100. Prefer the form with logits, which is exact.
        target: in [0, 1], of the same shape.
        weight: of each element, broadcasts.
        reduction: over all elements.
    """
    target = _same_shape("binary_cross_entropy", probabilities, target)
    losses = -(target * _limited_log(probabilities) + (1.0 - target) * _limited_log(1.0 - probabilities))
    return reduced(_weighted(losses, weight), reduction)


def _limited_log(p: Tensor) -> Tensor:
    return log(maximum(p, float(e**-100)))


def binary_cross_entropy_with_logits(
    logits: Tensor,
    target: Tensor | Array,
    *,
    weight: Tensor | Array | None = None,
    pos_weight: Tensor | Array | float | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy of yes-no answers in nats, of sigmoid(logits); exact for large logits.

    Args:
        logits: any shape.
        target: in [0, 1], of the same shape.
        weight: of each element, broadcasts.
        pos_weight: of the positive answers, broadcasts: above 1 it favours recall, below 1 precision.
        reduction: over all elements.
    """
    target = _same_shape("binary_cross_entropy_with_logits", logits, target)
    surprise = softplus(-logits)  # -log sigmoid(logits)
    if pos_weight is not None:
        scale = pos_weight if isinstance(pos_weight, float | int) else _as_tensor(pos_weight, logits)
        surprise = surprise * (target * (scale - 1.0) + 1.0)
    return reduced(_weighted((1.0 - target) * logits + surprise, weight), reduction)


def hinge_loss(scores: Tensor, target: Tensor | Array, *, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """max(0, margin - target * scores) for targets -1 and 1: the loss of a support vector machine.

    Source: Cortes & Vapnik 1995, https://doi.org/10.1007/BF00994018.
    """
    target = _same_shape("hinge_loss", scores, target)
    return reduced(maximum(margin - target * scores, 0.0), reduction)


def multi_margin_loss(
    scores: Tensor, labels: Tensor | Array, *, margin: float = 1.0, power: int = 1, reduction: str = "mean"
) -> Tensor:
    """Mean over the wrong classes of max(0, margin - (score of the right class - score)) ** power.

    Args:
        scores: (N, classes).
        labels: class indices, (N,).
        margin: by which the right class should lead.
        power: 1 or 2.
        reduction: over samples.

    Source: Crammer & Singer 2001, https://www.jmlr.org/papers/v2/crammer01a.html, summed over all classes.
    """
    labels = as_indices(labels, scores, op="multi_margin_loss")
    if scores.ndim != 2 or power not in (1, 2):
        raise ShapeError(
            f"multi_margin_loss: expected scores (N, classes) and power 1 or 2, got {scores.shape}, {power}"
        )
    _check_labels("multi_margin_loss", scores, labels, 1)
    right = take_along_axis(scores, expand_dims(labels, axis=1), axis=1)
    excess = maximum(margin - right + scores, 0.0)
    excess = excess if power == 1 else excess * excess
    wrong = one_hot(labels, num_classes=scores.shape[1], axis=1, dtype="bool")
    losses = sum(where(wrong, 0.0, excess), axis=1) * (1.0 / scores.shape[1])
    return reduced(losses, reduction)


# --- regression ---


def mse_loss(prediction: Tensor, target: Tensor | Array, *, reduction: str = "mean") -> Tensor:
    """Squared error."""
    error = prediction - _same_shape("mse_loss", prediction, target)
    return reduced(error * error, reduction)


def l1_loss(prediction: Tensor, target: Tensor | Array, *, reduction: str = "mean") -> Tensor:
    """Absolute error; its gradient where the error is 0 is 1."""
    return reduced(absolute(prediction - _same_shape("l1_loss", prediction, target)), reduction)


def _huber_rule(g: Any, y: Any, error: Any, *, delta: float) -> Any:
    return g * maximum(minimum(error, delta), -delta)


@elementwise(
    kernel="fabs(error) <= delta ? 0.5 * error * error : delta * (fabs(error) - 0.5 * delta)",
    infer=promoted_floating,
    reference=lambda error, delta: np.where(
        np.abs(error) <= delta, 0.5 * error**2, delta * np.abs(error) - 0.5 * delta**2
    ),
    vjp=(_huber_rule,),
    saves=("error",),
    samples=(
        Sample(normal(3, 4), delta=1.0),
        Sample(normal(5), delta=0.3),
        Sample(normal(), delta=2.0),
        Sample(normal(0, 2), delta=1.0),
    ),
)
def huber(xp: ArrayModule, error: Array, *, delta: float) -> Array:
    """Half the squared error up to `delta` > 0, linear beyond. Source: Huber 1964, Robust estimation of a location."""
    error = floating(xp, error)
    limited = xp.clip(error, -delta, delta)
    return limited * (error - 0.5 * limited)


def huber_loss(prediction: Tensor, target: Tensor | Array, *, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """`huber` of the errors: squared near 0, absolute times `delta` beyond `delta` > 0."""
    if not delta > 0:
        raise ConfigError(f"huber_loss: expected delta > 0, got {delta}")
    return reduced(huber(prediction - _same_shape("huber_loss", prediction, target), delta=delta), reduction)


def smooth_l1_loss(prediction: Tensor, target: Tensor | Array, *, beta: float = 1.0, reduction: str = "mean") -> Tensor:
    """Absolute error, rounded off below `beta` > 0. Source: Girshick 2015, https://arxiv.org/abs/1504.08083."""
    if not beta > 0:
        raise ConfigError(f"smooth_l1_loss: expected beta > 0, got {beta}", hint="use l1_loss for 0")
    return huber_loss(prediction, target, delta=beta, reduction=reduction) * (1.0 / beta)


# --- between distributions and directions ---


def kl_div(
    log_probabilities: Tensor, target: Tensor | Array, *, log_target: bool = False, reduction: str = "mean"
) -> Tensor:
    """Kullback-Leibler divergence of `target` from a model, target (log target - log p), elementwise, in nats.

    Args:
        log_probabilities: of the model.
        target: probabilities, or their logarithms if `log_target`; of the same shape. 0 contributes 0.
        log_target: see `target`.
        reduction: "mean" is over all elements, which is not the divergence: sum, and divide by the number of samples.
    """
    target = _same_shape("kl_div", log_probabilities, target)
    if log_target:
        losses = exp(target) * (target - log_probabilities)
    else:
        positive = target > 0.0
        losses = where(positive, target * (log(where(positive, target, 1.0)) - log_probabilities), 0.0)
    return reduced(losses, reduction)


def cosine_similarity(a: Tensor, b: Tensor, *, axis: int = 1, epsilon: float = 1e-8) -> Tensor:
    """Inner product along an axis over the product of the norms, each at least `epsilon`; the others broadcast."""
    normalize_axis(axis, builtins.max(a.ndim, b.ndim), op="cosine_similarity")
    return sum(a * b, axis=axis) / (_norm(a, axis, epsilon) * _norm(b, axis, epsilon))


def _norm(x: Tensor, axis: int, epsilon: float) -> Tensor:
    return maximum(sum(x * x, axis=axis), epsilon * epsilon) ** 0.5


def cosine_embedding_loss(
    a: Tensor, b: Tensor, target: Tensor | Array, *, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 - cos(a, b) for pairs (N, features) with target 1, max(0, cos(a, b) - margin) for those with target -1."""
    target = _as_tensor(target, a)
    cosine = cosine_similarity(a, b, axis=-1)
    if cosine.shape != target.shape:
        raise ShapeError(f"cosine_embedding_loss: expected one target per pair, {cosine.shape}, got {target.shape}")
    return reduced(where(target > 0, 1.0 - cosine, maximum(cosine - margin, 0.0)), reduction)


def _same_shape(name: str, prediction: Tensor, target: Tensor | Array) -> Tensor:
    """The target as a tensor; another shape would broadcast to a loss of pairs, which nobody means."""
    target = _as_tensor(target, prediction)
    if target.shape != prediction.shape:
        raise ShapeError(
            f"{name}: expected prediction and target of one shape, got {prediction.shape} and {target.shape}",
            hint="reshape one of them: (N, 1) and (N,) would broadcast to (N, N)",
        )
    return target


def _weighted(losses: Tensor, weight: Tensor | Array | None) -> Tensor:
    return losses if weight is None else losses * _as_tensor(weight, losses)
