"""Which layer takes what: the blobs of a Caffe file, whose names are used again and again, as values made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .inputs import SOURCES, Input, layer_inputs
from .records import LayerRecord
from .text_format import error_at
from .translate import TRANSLATORS

SOFTMAX = frozenset({"Softmax"})
# What measures a network, or ends it: ours is trained and measured by whoever has it.
MEASURES = frozenset(
    {
        *("Accuracy", "ArgMax", "ContrastiveLoss", "EuclideanLoss", "HDF5Output", "HingeLoss", "InfogainLoss"),
        *("MultinomialLogisticLoss", "SigmoidCrossEntropyLoss", "Silence", "SoftmaxWithLoss"),
    }
)
KNOWN = frozenset({*TRANSLATORS, *SOURCES, *SOFTMAX, *MEASURES})


@dataclass(frozen=True, slots=True)
class Value:
    """What a blob holds between two layers that write it."""

    blob: str
    made_by: LayerRecord | Input


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A layer with the values it takes and gives, as indices into `Wiring.values`."""

    record: LayerRecord
    taken: tuple[int, ...]
    given: tuple[int, ...]

    @property
    def computes(self) -> bool:
        """Whether it is a part of the network itself."""
        return self.record.kind in TRANSLATORS


@dataclass(frozen=True, slots=True)
class Wiring:
    """A network as values and steps.

    Attributes:
        values: in the order they are made, inputs first.
        steps: in the order of the file, without layers that read data.
        last: the last value of every blob.
        makers: the step that gives a value; inputs have none.
        takers: the steps of the network itself that take a value.
    """

    values: list[Value]
    steps: list[Step]
    last: dict[str, int]
    makers: dict[int, Step]
    takers: dict[int, list[Step]]


def connect(inputs: Sequence[Input], records: Sequence[LayerRecord]) -> Wiring:
    """Find what every layer takes.

    Raises:
        FormatError: a type is unknown, a blob is taken that nothing gives, or given twice.
    """
    wiring = Wiring([], [], {}, {}, {})

    def make(blob: str, maker: LayerRecord | Input) -> int:
        wiring.values.append(Value(blob, maker))
        wiring.last[blob] = len(wiring.values) - 1
        return wiring.last[blob]

    for source in inputs:
        if source.blob in wiring.last:
            raise error_at(source.place, f"the input {source.blob!r} is declared twice")
        make(source.blob, source)
    for record in records:
        if record.kind not in KNOWN:
            raise record.error(f"unknown type: expected one of {', '.join(sorted(KNOWN))}")
        for i, top in enumerate(record.tops):
            if (top in wiring.last and top not in record.bottoms) or top in record.tops[:i]:
                raise record.error(f"the blob {top!r} is given a second time, and not in place")
        if record.kind in SOURCES:
            for source in layer_inputs(record):
                make(source.blob, source)
            continue
        for bottom in record.bottoms:
            if bottom not in wiring.last:
                known = ", ".join(wiring.last) or "none"
                raise record.error(f"nothing before it gives the blob {bottom!r}: expected one of {known}")
        taken = tuple(wiring.last[bottom] for bottom in record.bottoms)
        step = Step(record, taken, tuple(make(top, record) for top in record.tops))
        wiring.steps.append(step)
        wiring.makers.update(dict.fromkeys(step.given, step))
        for value in dict.fromkeys(taken) if step.computes else ():
            wiring.takers.setdefault(value, []).append(step)
    return wiring
