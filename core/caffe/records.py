"""The layers of a Caffe network as its file has them, in the new syntax or the old one, filtered by their rules."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError, FormatError
from ..nn.layer import MAX_LAYERS
from .fields import Fields
from .text_format import Place, error_at

PHASES = ("TRAIN", "TEST")
OF_TRAINING = frozenset({"propagate_down", "phase", "blobs"})  # fields of layers that say nothing of the network
# The names of types in the old syntax, `layers { type: CONVOLUTION }`.
_OLD_TYPES = {
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}


@dataclass(frozen=True, slots=True)
class NetState:
    """What the rules of layers are compared with."""

    phase: str = "TRAIN"
    level: int = 0
    stages: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise ConfigError(f"expected a phase of {' or '.join(PHASES)}, got {self.phase!r}")


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """One layer of the file.

    Attributes:
        name: not always unique, perhaps empty.
        kind: the type in the new syntax, such as "InnerProduct".
        bottoms, tops: names of the blobs it takes and gives.
        shared: names that its weights are shared under, one for each blob of weights; empty where they are its own.
        tuned: whether it has learning rates or decays of its own.
        fields: the message, for whoever knows the type.
    """

    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    shared: tuple[str, ...]
    tuned: bool
    fields: Fields

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.fields.message.place

    def error(self, message: str, *, hint: str | None = None) -> FormatError:
        """The error of this layer, to be raised."""
        return error_at(self.place, f"{self}: {message}", hint=hint)

    def __str__(self) -> str:
        return f"layer {self.name!r} ({self.kind})"


def read_records(net: Fields, state: NetState) -> list[LayerRecord]:
    """The layers that are there in a state, in the order of the file.

    Raises:
        FormatError: a layer is not as it should be; says the line and column.
    """
    new, old = net.all_fields("layer"), net.all_fields("layers")
    if new and old:
        raise error_at(old[0].message.place, "expected all layers as `layer` or all as `layers`, got both")
    if len(new) + len(old) > MAX_LAYERS:
        raise FormatError(f"expected at most {MAX_LAYERS} layers, got {len(new) + len(old)}")
    records = [_new_record(fields) for fields in new] + [_old_record(fields) for fields in old]
    return [record for record in records if _is_there(record, state)]


def _new_record(fields: Fields) -> LayerRecord:
    name, kind = fields.text("name"), fields.text("type")
    fields.what = f"layer {name!r} ({kind})"
    parameters = fields.all_fields("param")
    tuned = False
    for parameter in parameters:
        multipliers = {parameter.number("lr_mult", 1.0), parameter.number("decay_mult", 1.0)}
        parameter.member("share_mode", ("STRICT", "PERMISSIVE"), "STRICT")
        tuned |= multipliers != {1.0}
    shared = tuple(parameter.text("name") for parameter in parameters)
    for parameter in parameters:
        parameter.finish()
    return _record(fields, name, kind, shared, tuned)


def _old_record(fields: Fields) -> LayerRecord:
    if fields.has("layer"):
        raise error_at(
            fields.message.place,
            "a layer inside of a layer is the syntax of before 2014, which is not read",
            hint="Caffe's upgrade_net_proto_text turns it into the new one",
        )
    name, kind = fields.text("name"), fields.word("type")
    fields.what = f"layer {name!r} ({kind})"
    tuned = bool({*fields.numbers("blobs_lr"), *fields.numbers("weight_decay")} - {1.0})
    return _record(fields, name, _OLD_TYPES.get(kind, kind), fields.texts("param"), tuned)


def _record(fields: Fields, name: str, kind: str, shared: tuple[str, ...], tuned: bool) -> LayerRecord:
    if not kind:
        raise error_at(fields.message.place, f"layer {name!r}: expected a type")
    fields.numbers("loss_weight")
    record = LayerRecord(
        name, kind, fields.texts("bottom"), fields.texts("top"), shared if any(shared) else (), tuned, fields
    )
    options = {known for known, _ in fields.message.fields if known.endswith("_param")}
    fields.finish({"include", "exclude", *OF_TRAINING, *options})  # options are for whoever knows the type
    return record


def _is_there(record: LayerRecord, state: NetState) -> bool:
    """Whether the rules of a layer put it into the network: one `include` that fits, or no `exclude` that does."""
    includes, excludes = record.fields.all_fields("include"), record.fields.all_fields("exclude")
    if includes and excludes:
        raise error_at(excludes[0].message.place, f"{record}: expected include or exclude rules, got both")
    fits = [_fits(rule, state) for rule in includes or excludes]
    return any(fits) if includes else not any(fits)


def _fits(rule: Fields, state: NetState) -> bool:
    phase = rule.member("phase", PHASES, state.phase)
    low, high = rule.integer("min_level", state.level), rule.integer("max_level", state.level)
    wanted, unwanted = set(rule.texts("stage")), set(rule.texts("not_stage"))
    rule.finish()
    return (
        phase == state.phase and low <= state.level <= high and wanted <= state.stages and not unwanted & state.stages
    )
