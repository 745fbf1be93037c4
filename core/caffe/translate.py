"""What each type of Caffe layer is in our layers: a table of functions, one per type.

Defaults, rounding and the meaning of options are Caffe's own: pooling rounds its output size up where the windows do
not fit, `stride` is 1 unless said, a batch norm has no scale of its own.

Source: caffe.proto and the layers of https://github.com/BVLC/caffe.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from ..nn.layer import LayerSpec, Shape, layer_spec
from ..registry import Registry
from .fields import Fields
from .notes import Notes
from .records import LayerRecord

Chain = tuple[LayerSpec, ...]  # layers one after the other; none passes the input on
Chains = tuple[Chain, ...]  # one for every top
Translator = Callable[[LayerRecord, tuple[Shape, ...], Notes], Chains]

TRANSLATORS: Registry[Translator] = Registry("Caffe layer type")

_FILLERS = ("weight_filler", "bias_filler", "filler")
_INITIAL = "initial values (fillers) are left out, those of our layers are used"


def translator(kind: str) -> Callable[[Translator], Translator]:
    """Declare the translation of a type of layer: from the layer and the shapes of its inputs."""

    def declare(function: Translator) -> Translator:
        return TRANSLATORS.add(kind, function)

    return declare


@translator("Convolution")
def _convolution(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    return ((_convolve(record, "conv2d", notes),),)


@translator("Deconvolution")
def _deconvolution(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    return ((_convolve(record, "conv_transpose2d", notes),),)


def _convolve(record: LayerRecord, kind: str, notes: Notes) -> LayerSpec:
    options = record.fields.fields("convolution_param")
    channels, groups = options.integer("num_output", low=1), options.integer("group", 1, low=1)
    if channels is None:
        raise record.error("expected num_output in its convolution_param")
    if options.integer("axis", 1) != 1:
        raise record.error("expected a convolution over the axes after the channels, axis: 1")
    spec = layer_spec(
        kind,
        out_channels=channels,
        kernel=_pair(record, options, "kernel", None, low=1),
        stride=_pair(record, options, "stride", 1, low=1),
        padding=_pair(record, options, "pad", 0),
        **_unless("dilation", _pair(record, options, "dilation", 1, low=1), 1),
        **_unless("groups", groups, 1),
        **_unless("bias", options.boolean("bias_term", True), True),
    )
    _finish(record, options, notes, ignored=("engine", "force_nd_im2col"))
    return spec


@translator("Pooling")
def _pooling(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    options = record.fields.fields("pooling_param")
    kind = {"MAX": "max_pool2d", "AVE": "avg_pool2d", "STOCHASTIC": ""}[
        options.member("pool", ("MAX", "AVE", "STOCHASTIC"), "MAX")
    ]
    if not kind:
        raise record.error("stochastic pooling is not known: expected pool: MAX or pool: AVE")
    if len(shapes[0]) != 3:
        raise record.error(f"expected images of shape (C, H, W), got {shapes[0]}")
    image = shapes[0][1:]
    if options.boolean("global_pooling", False):
        if any(options.has(name) for name in ("kernel_size", "kernel_h", "kernel_w")):
            raise record.error("global pooling takes the whole image: expected no kernel besides")
        size = image
    else:
        size = _both(_pair(record, options, "kernel", None, low=1))
    stride = _both(_pair(record, options, "stride", 1, low=1))
    padding = _both(_pair(record, options, "pad", 0))
    up = options.member("round_mode", ("CEIL", "FLOOR"), "CEIL") == "CEIL"
    _finish(record, options, notes, ignored=("engine",))
    over = [(length + 2 * p - k) % s for length, p, k, s in zip(image, padding, size, stride, strict=True)]
    for length, p, k, s, rest in zip(image, padding, size, stride, over, strict=True):
        # Caffe leaves out such a window only where there is padding; else it computes the maximum of nothing.
        if up and not p and rest and (length - k) // s * s + s >= length:
            raise record.error(
                f"the last window begins behind the image, {length} long: expected a kernel of at least the stride, "
                f"got {k} and {s}"
            )
    spec = layer_spec(
        kind,
        size=_one(size),
        stride=_one(stride),
        **_unless("padding", _one(padding), 0),
        **({"ceil_mode": True} if up and any(over) else {}),
    )
    return ((spec,),)


@translator("InnerProduct")
def _inner_product(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    options = record.fields.fields("inner_product_param")
    features, axis = options.integer("num_output", low=1), options.integer("axis", 1, low=-8)
    if features is None:
        raise record.error("expected num_output in its inner_product_param")
    if axis != 1 and not (len(shapes[0]) == 1 and axis == -1):
        raise record.error(f"expected a product over all axes after the batch, axis: 1, got {axis}")
    linear = layer_spec("linear", out_features=features, **_unless("bias", options.boolean("bias_term", True), True))
    options.boolean("transpose", False)  # of how weights are stored
    _finish(record, options, notes)
    return ((linear,) if len(shapes[0]) == 1 else (layer_spec("flatten"), linear),)


@translator("ReLU")
def _relu(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    options = record.fields.fields("relu_param")
    slope = options.number("negative_slope", 0.0)
    options.finish(("engine",))
    return ((layer_spec("leaky_relu", slope=slope) if slope else layer_spec("activation", function="relu"),),)


@translator("PReLU")
def _prelu(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    options = record.fields.fields("prelu_param")
    shared = options.boolean("channel_shared", False)
    _finish(record, options, notes)
    return ((layer_spec("prelu", **_unless("shared", shared, False)),),)


@translator("ELU")
def _elu(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    options = record.fields.fields("elu_param")
    alpha = options.number("alpha", 1.0)
    options.finish()
    return ((layer_spec("elu", **_unless("alpha", alpha, 1.0)),),)


@translator("Sigmoid")
def _sigmoid(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    record.fields.fields("sigmoid_param").finish(("engine",))
    return ((layer_spec("activation", function="sigmoid"),),)


@translator("TanH")
def _tanh(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    record.fields.fields("tanh_param").finish(("engine",))
    return ((layer_spec("activation", function="tanh"),),)


@translator("BNLL")
def _bnll(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    """Binomial normal log likelihood, log(1 + exp(x)), has no options."""
    record.fields.fields("bnll_param").finish()
    return ((layer_spec("activation", function="softplus"),),)


@translator("Dropout")
def _dropout(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    options = record.fields.fields("dropout_param")
    rate = options.number("dropout_ratio", 0.5)
    options.finish()
    return ((layer_spec("dropout", rate=rate),),)


@translator("BatchNorm")
def _batch_norm(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    """Ours has a scale and a shift, which a Scale layer after it brings in Caffe."""
    options = record.fields.fields("batch_norm_param")
    epsilon, kept = options.number("eps", 1e-5), options.number("moving_average_fraction", 0.999)
    if options.has("use_global_stats"):
        options.boolean("use_global_stats", False)
        notes.add("use_global_stats is left out: training normalises by the batch, evaluation by running means", record)
    options.finish()
    if not 0 <= kept < 1 or epsilon <= 0:
        raise record.error(f"expected 0 <= moving_average_fraction < 1 and eps > 0, got {kept} and {epsilon}")
    momentum = round(1 - kept, 12)  # 0.001, where the difference of floats is 0.0010000000000000009
    return ((layer_spec("batch_norm", momentum=momentum, **_unless("epsilon", epsilon, 1e-5)),),)


@translator("Scale")
def _scale(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    """The second half of a batch norm, which is one layer of ours; the network has made sure that it follows one."""
    options = record.fields.fields("scale_param")
    axis, axes = options.integer("axis", 1, low=-8), options.integer("num_axes", 1, low=-1)
    if not options.boolean("bias_term", False):
        notes.add("a shift is learned too, which bias_term: false leaves out", record)
    _finish(record, options, notes)
    if axis != 1 or axes != 1:
        raise record.error(f"expected one factor for every channel, axis: 1 and num_axes: 1, got {axis} and {axes}")
    return ((),)


@translator("LRN")
def _lrn(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    options = record.fields.fields("lrn_param")
    region = options.member("norm_region", ("ACROSS_CHANNELS", "WITHIN_CHANNEL"), "ACROSS_CHANNELS")
    spec = layer_spec(
        "local_response_norm",
        size=options.integer("local_size", 5, low=1),
        alpha=options.number("alpha", 1.0),
        beta=options.number("beta", 0.75),
        k=options.number("k", 1.0),
    )
    options.finish(("engine",))
    if region != "ACROSS_CHANNELS":
        raise record.error("a local response norm within channels is not known: expected ACROSS_CHANNELS")
    return ((spec,),)


@translator("Concat")
def _concat(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    options = record.fields.fields("concat_param")
    axis = _axis(record, options, "concat_dim", len(shapes[0]))
    options.finish()
    return (() if len(shapes) == 1 else (layer_spec("concat", **_unless("axis", axis, 0)),),)


@translator("Eltwise")
def _eltwise(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    options = record.fields.fields("eltwise_param")
    operation = options.member("operation", ("PROD", "SUM", "MAX"), "SUM")
    weights = options.numbers("coeff")
    options.finish(("stable_prod_grad",))
    if len(shapes) < 2 or len(set(shapes)) != 1:
        raise record.error(f"expected at least two inputs of one shape, got {', '.join(map(str, shapes))}")
    if weights and (operation != "SUM" or len(weights) != len(shapes)):
        raise record.error(f"expected one coeff for each of the {len(shapes)} inputs of a SUM, got {len(weights)}")
    if operation == "SUM":
        return ((layer_spec("add", **({"weights": weights} if set(weights) - {1.0} else {})),),)
    return ((layer_spec("multiply" if operation == "PROD" else "maximum"),),)


@translator("Flatten")
def _flatten(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    options = record.fields.fields("flatten_param")
    first, last = options.integer("axis", 1, low=-8), options.integer("end_axis", -1, low=-8)
    options.finish()
    axes = len(shapes[0]) + 1
    if first % axes != 1 or last % axes != axes - 1:
        raise record.error(f"expected to flatten all axes after the batch, 1 to -1, got {first} to {last}")
    return (() if axes == 2 else (layer_spec("flatten"),),)


@translator("Reshape")
def _reshape(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    options = record.fields.fields("reshape_param")
    shape = options.fields("shape")
    wanted = shape.integers("dim", low=-1)
    shape.finish()
    if options.integer("axis", 0, low=-8) != 0 or options.integer("num_axes", -1, low=-1) != -1:
        raise record.error("expected to reshape all axes, axis: 0 and num_axes: -1")
    options.finish()
    if len(wanted) < 2 or wanted[0] != 0:
        raise record.error(f"expected a shape that keeps the batch, dim: 0 and then others, got {list(wanted)}")
    given = shapes[0]
    if any(dim == 0 and i >= len(given) for i, dim in enumerate(wanted[1:])):
        raise record.error(f"a dim of 0 keeps a length: samples of shape {given} have none at its place")
    lengths = [given[i] if dim == 0 else dim for i, dim in enumerate(wanted[1:])]
    known = prod(dim for dim in lengths if dim != -1)
    if lengths.count(-1) > 1 or prod(given) % known or (-1 not in lengths and known != prod(given)):
        raise record.error(f"samples of shape {given} do not become {lengths}")
    target = tuple(prod(given) // known if dim == -1 else dim for dim in lengths)
    return (() if target == given else (layer_spec("reshape", shape=target),),)


@translator("Slice")
def _slice(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    options = record.fields.fields("slice_param")
    axis = _axis(record, options, "slice_dim", len(shapes[0]))
    points = options.integers("slice_point", low=1)
    options.finish()
    length, parts = shapes[0][axis], len(record.tops)
    if not points and length % parts:
        raise record.error(f"axis {axis + 1}, {length} long, is not divided evenly into {parts} tops")
    points = points or tuple(range(length // parts, length, length // parts))
    if len(points) != parts - 1 or list(points) != sorted({p for p in points if p < length}):
        raise record.error(f"expected {parts - 1} ascending slice points below {length}, got {list(points)}")
    bounds = zip((0, *points), (*points, length), strict=True)
    where = _unless("axis", axis, 0)
    return tuple(
        () if stop - start == length else (layer_spec("select", start=start, stop=stop, **where),)
        for start, stop in bounds
    )


@translator("Split")
def _split(record: LayerRecord, shapes: tuple[Shape, ...], notes: Notes) -> Chains:
    return ((),) * len(record.tops)


def _pair(
    record: LayerRecord, options: Fields, name: str, default: int | None, *, low: int = 0
) -> int | tuple[int, int]:
    """An option of height and width, in one of its ways: a number, two, or `_h` and `_w`; one number if both agree."""
    name_of_both = "kernel_size" if name == "kernel" else name
    both = options.integers(name_of_both, low=low)
    height, width = (None, None) if name == "dilation" else (options.integer(f"{name}_{x}", low=low) for x in "hw")
    if (height is None) != (width is None) or (both and height is not None) or len(both) > 2:
        raise record.error(f"expected {name_of_both} with one or two numbers, or both {name}_h and {name}_w")
    if height is not None and width is not None:
        return _one((height, width))
    if both:
        return _one((both[0], both[-1]))
    if default is None:
        raise record.error(f"expected {name_of_both}, or {name}_h and {name}_w")
    return default


def _one(pair: tuple[int, ...]) -> int | tuple[int, int]:
    height, width = pair
    return height if height == width else (height, width)


def _both(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _unless(name: str, value: object, default: object) -> dict[str, object]:
    """An option, left out where it is the default of our layer."""
    return {} if value == default else {name: value}


def _axis(record: LayerRecord, options: Fields, old_name: str, axes: int) -> int:
    """An axis of a sample, in [0, axes), from one that counts the batch."""
    old = options.integer(old_name, 1, low=1)
    axis = options.integer("axis", old, low=-8)
    if axis % (axes + 1) == 0 or not -axes - 1 <= axis <= axes:
        raise record.error(f"expected an axis after the batch, 1 to {axes}, got {axis}")
    return axis % (axes + 1) - 1


def _finish(record: LayerRecord, options: Fields, notes: Notes, *, ignored: tuple[str, ...] = ()) -> None:
    if options.finish((*ignored, *_FILLERS)) & set(_FILLERS):
        notes.add(_INITIAL, record)
