"""`read_prototxt`: a network of Caffe as a `ModelSpec` of ours."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ..errors import ConfigError, FormatError
from ..nn.graph import MAX_NAME, Node
from ..nn.layer import LAYERS, LayerSpec, Shape, layer_spec
from ..spec import ModelSpec
from .fields import Fields
from .inputs import Input, net_inputs, shape_of
from .notes import Notes
from .records import OF_TRAINING, PHASES, LayerRecord, NetState, read_records
from .text_format import MAX_CHARACTERS, parse_text_format
from .translate import TRANSLATORS
from .wiring import MEASURES, SOFTMAX, SOURCES, Step, Wiring, connect

_JOINING = frozenset({"Concat", "Eltwise"})


@dataclass(frozen=True, slots=True)
class CaffeNetwork:
    """What a `.prototxt` file describes.

    Attributes:
        name: that the file gives the network; perhaps empty.
        spec: the network. Layers one after the other stay that; else it is one graph, whose nodes have Caffe's names.
        inputs: blobs, in the order of the spec's inputs.
        output: the blob that holds the result, before a softmax.
        notes: what was left out, one line each.
    """

    name: str
    spec: ModelSpec
    inputs: tuple[str, ...]
    output: str
    notes: tuple[str, ...]


def read_prototxt(
    source: str | Path,
    *,
    phase: str = "TRAIN",
    stages: Collection[str] = (),
    level: int = 0,
    input_shapes: Mapping[str, Shape] | None = None,
    output: str | None = None,
) -> CaffeNetwork:
    """Read the description of a network in Caffe's text format, without Caffe.

    Convolution, Deconvolution, Pooling, InnerProduct, BatchNorm with Scale, LRN, the usual activations, Dropout,
    Concat, Eltwise, Slice, Split, Flatten and Reshape become layers of ours, with Caffe's rounding and defaults;
    weights with shared names are shared. What reads data, measures (losses, Accuracy) or is softmax is left out: the
    network ends in logits. Both syntaxes are read, `layer` and the older `layers`.

    >>> net = read_prototxt(\"\"\"
    ...     layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 28 dim: 28 } } }
    ...     layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
    ...             convolution_param { num_output: 20 kernel_size: 5 } }
    ...     layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
    ... \"\"\")
    >>> plan = net.spec.plan()
    >>> plan.output_shape, plan.parameters, plan.macs
    ((20, 24, 24), 520, 288000)

    Args:
        source: a text, or the path of a file as a `Path`.
        phase: "TRAIN" or "TEST", for layers with rules; the file's own `state` goes before.
        stages, level: likewise.
        input_shapes: shapes of samples by blob, as (channels, height, width), where the file does not say them or is to
            be overruled.
        output: the blob that is the result; by default what the last layer makes that nothing takes.

    Raises:
        FormatError: not a network that we can have; says the line and column.
        ConfigError: there is no such phase or blob.
    """
    if isinstance(source, Path):
        try:
            return _read(_text_of(source), NetState(phase, level, frozenset(stages)), input_shapes or {}, output)
        except FormatError as exc:
            raise FormatError(f"{source}: {exc.message}", hint=exc.hint) from exc
    if "{" not in source and ":" not in source:
        raise FormatError(f"not the text of a network: {source[:80]!r}", hint="for a file give a pathlib.Path")
    return _read(source, NetState(phase, level, frozenset(stages)), input_shapes or {}, output)


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(4 * MAX_CHARACTERS + 1)  # of four bytes at most
        return content.decode("utf-8-sig")
    except OSError as exc:
        raise FormatError(f"cannot be read: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise FormatError(
            f"not a text: {exc}", hint="weights, .caffemodel files, are not read: only .prototxt files are"
        ) from exc


def _read(text: str, state: NetState, shapes: Mapping[str, Shape], output: str | None) -> CaffeNetwork:
    net = Fields(parse_text_format(text), "the network")
    if net.has("base_lr") or net.has("train_net") or net.has("net"):
        raise FormatError("this describes a training, not a network", hint="read the file that its `net` names")
    name, state = net.text("name"), _state(net, state)
    records = read_records(net, state)
    wiring = connect(net_inputs(net), records)
    net.finish(("force_backward", "debug_info"))
    unknown = sorted(set(shapes) - {value.blob for value in wiring.values if isinstance(value.made_by, Input)})
    if unknown:
        raise ConfigError(f"input_shapes: the network has no inputs {', '.join(unknown)}")
    notes = Notes()
    for record in records:
        if record.kind in SOURCES and record.fields.has("transform_param"):
            notes.add("scaling, means and cropping (transform_param) are left out, preprocessing is apart", record)
        if record.kind in MEASURES:
            notes.add("losses and measures are left out", record)
        if record.kind in SOFTMAX:
            notes.add("a softmax at the end is left out, the network gives logits", record)
    result = _result(wiring, output)
    needed = _needed(wiring, result)
    assembly = _Assembly(wiring, notes, shapes, needed)
    for step in wiring.steps:
        if needed & set(step.given):
            assembly.add(step)
        elif step.computes:
            notes.add("left out, as the result does not depend on them", step.record)
    spec, inputs = assembly.finish()
    return CaffeNetwork(name, spec, inputs, wiring.values[result].blob, notes.texts())


def _state(net: Fields, given: NetState) -> NetState:
    """The state that rules are compared with: the file's own, and the caller's where it says nothing."""
    own = net.fields("state")
    state = NetState(
        own.member("phase", PHASES, given.phase),
        own.integer("level", given.level),
        frozenset(own.texts("stage")) or given.stages,
    )
    own.finish()
    return state


def _result(wiring: Wiring, output: str | None) -> int:
    """The value that is the network's result."""
    if output is None:
        ends = [value for step in wiring.steps if step.computes for value in step.given if value not in wiring.takers]
        if not ends:
            raise FormatError("the network has no layers that compute anything")
        return ends[-1]
    if output not in wiring.last:
        raise ConfigError(f"output: the network has no blob {output!r}: expected one of {', '.join(wiring.last)}")
    value = wiring.last[output]
    maker = wiring.makers.get(value)
    while maker is not None and maker.record.kind in SOFTMAX and len(maker.taken) == 1:
        value = maker.taken[0]
        maker = wiring.makers.get(value)
    if maker is None or not maker.computes:
        raise ConfigError(f"output: the blob {output!r} is not computed by a layer of the network")
    return value


def _needed(wiring: Wiring, result: int) -> frozenset[int]:
    """The values that a value depends on, and itself."""
    needed = {result}
    for step in reversed(wiring.steps):
        if wanted := needed & set(step.given):
            if not step.computes:
                taker = wiring.takers[wanted.pop()][0].record
                raise taker.error(
                    f"it takes what {step.record} gives, which is left out: expected that at the end only"
                )
            needed |= set(step.taken)
    return frozenset(needed)


class _Assembly:
    """Nodes as they are put together."""

    def __init__(self, wiring: Wiring, notes: Notes, input_shapes: Mapping[str, Shape], needed: frozenset[int]) -> None:
        self.wiring = wiring
        self.needed = needed
        self.notes = notes
        self.input_shapes = input_shapes
        self.nodes: list[Node] = []
        self.inputs: dict[str, Shape] = {}
        self.blobs: list[str] = []
        self.sources: dict[int, tuple[str, Shape]] = {}  # value -> the node or input that holds it, and its shape
        self.names: dict[str, int] = {}  # that are taken, and how often they were wanted
        self.owners: dict[str, tuple[tuple[str, ...], Node]] = {}  # name of shared weights -> all of them, their node

    def add(self, step: Step) -> None:
        """Translate a layer into nodes."""
        record = step.record
        joins = record.kind in _JOINING
        if len(step.taken) != 1 and not (joins and step.taken):
            raise record.error(f"expected {'at least ' * joins}one bottom, got {len(step.taken)}")
        if record.kind == "Scale":
            self._check_scale(step)
        if record.kind == "BatchNorm" and not self._is_scaled(step):
            self.notes.add("a scale and a shift are learned too, as no Scale follows", record)
        taken = [self._source(value) for value in step.taken]
        chains = TRANSLATORS[record.kind](record, tuple(shape for _, shape in taken), self.notes)
        if len(step.given) != len(chains):
            raise record.error(f"expected {len(chains)} top, got {len(step.given)}")
        if "blobs" in record.fields.finish(OF_TRAINING):
            self.notes.add("weights in the file are left out", record)
        if record.tuned:
            self.notes.add("learning rates and decays of single layers are left out", record)
        for i, (value, chain) in enumerate(zip(step.given, chains, strict=True)):
            if value not in self.needed:
                continue
            names, shapes = [name for name, _ in taken], [shape for _, shape in taken]
            base = record.name or record.kind
            for spec in chain:
                last = spec is chain[-1]
                name = self._unused(f"{base}{f'/{i}' * (len(chains) > 1)}{f'/{spec.kind}' * (not last)}")
                shapes = [_planned(record, spec, shapes)]
                self.nodes.append(Node(name, self._owned(record, name, spec) if last else spec, tuple(names)))
                names = [name]
            self.sources[value] = names[0], shapes[0]

    def finish(self) -> tuple[ModelSpec, tuple[str, ...]]:
        """The network, and the blobs that are its inputs."""
        if not self.nodes:
            raise FormatError("the network has no layers that compute anything")
        names = [*self.inputs, *(node.name for node in self.nodes)]
        in_a_row = len(self.inputs) == 1 and all(
            node.inputs == (before,) and isinstance(node.layer, LayerSpec)
            for before, node in zip(names, self.nodes, strict=False)
        )
        shape, *others = self.inputs.values()
        if in_a_row:
            return ModelSpec(shape, tuple(cast(LayerSpec, node.layer) for node in self.nodes)), tuple(self.blobs)
        options = {"other_shapes": tuple(others)} if others else {}
        graph = layer_spec("graph", nodes=tuple(self.nodes), inputs=tuple(self.inputs), **options)
        return ModelSpec(shape, (graph,)), tuple(self.blobs)

    def _source(self, value: int) -> tuple[str, Shape]:
        """The name and shape of a value; an input becomes one when it is first taken."""
        if value not in self.sources:
            source = self.wiring.values[value].made_by
            assert isinstance(source, Input)
            shape, name = shape_of(source, self.input_shapes), self._unused(source.blob)
            self.inputs[name] = shape
            self.blobs.append(source.blob)
            self.sources[value] = name, shape
        return self.sources[value]

    def _check_scale(self, step: Step) -> None:
        """Caffe's Scale is the second half of a batch norm, or else nothing of ours."""
        maker = self.wiring.makers.get(step.taken[0])
        if maker is None or maker.record.kind != "BatchNorm" or not self._is_scaled(maker):
            raise step.record.error("expected it right after a BatchNorm whose result nothing else takes")

    def _is_scaled(self, norm: Step) -> bool:
        takers = [taker for value in norm.given for taker in self.wiring.takers.get(value, ())]
        return [taker.record.kind for taker in takers] == ["Scale"]

    def _owned(self, record: LayerRecord, name: str, spec: LayerSpec) -> LayerSpec | str:
        """A layer with weights of its own, or the name of the node that has them."""
        known = [self.owners[weights] for weights in record.shared if weights in self.owners]
        if not known:
            node = Node(name, spec, ())
            self.owners.update({weights: (record.shared, node) for weights in record.shared if weights})
            return spec
        shared, node = known[0]
        if shared != record.shared or "" in shared or node.layer != spec or len(known) != len(shared):
            raise record.error(
                f"it shares weights with layer {node.name!r}: expected the same options, and the same names for all "
                f"weights, {list(shared)}, got {list(record.shared)}"
            )
        return node.name

    def _unused(self, name: str) -> str:
        """A name that no node and no input has, and that a graph takes."""
        name = "".join(c if c.isprintable() and c != "." else "_" for c in name)[: MAX_NAME - 8] or "_"
        candidate = name
        while candidate in self.names:
            self.names[name] += 1
            candidate = f"{name}_{self.names[name]}"
        self.names[candidate] = 1
        return candidate


def _planned(record: LayerRecord, spec: LayerSpec, shapes: list[Shape]) -> Shape:
    """The shape after a layer; an error says which layer of the file it is."""
    known = LAYERS[spec.kind]
    try:
        return known.plan(tuple(shapes) if known.joins else shapes[0], **spec.options).output_shape
    except FormatError as exc:
        raise record.error(f"on samples of shape {', '.join(map(str, shapes))}: {exc.message}", hint=exc.hint) from exc
