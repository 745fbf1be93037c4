"""The inputs of a Caffe network: which blobs come from outside, and the shapes of their samples where the file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..nn.layer import Shape
from .fields import Fields
from .records import LayerRecord
from .text_format import Place, error_at

# Layers that read data, whose samples' shapes the file may say in a message of this name.
SOURCES = {
    "Input": "input_param",
    "Data": "data_param",
    "DummyData": "dummy_data_param",
    "HDF5Data": "hdf5_data_param",
    "ImageData": "image_data_param",
    "MemoryData": "memory_data_param",
    "WindowData": "window_data_param",
}


@dataclass(frozen=True, slots=True)
class Input:
    """A blob that comes from outside.

    Attributes:
        blob: its name.
        shape: of one sample, without the batch axis; None where the file does not say.
        place: where the file speaks of it.
        layer: that brings it, in words; empty where the network itself declares it.
    """

    blob: str
    shape: Shape | None
    place: Place
    layer: str = ""


def net_inputs(net: Fields) -> list[Input]:
    """Inputs that the network declares outside of its layers, as `input: "data"`, with `input_shape` or `input_dim`."""
    names, shapes, dims = net.texts("input"), net.all_fields("input_shape"), net.integers("input_dim", low=1)
    place = net.message.place
    lengths = [_dims(shape) for shape in shapes] or [dims[i : i + 4] for i in range(0, len(dims), 4)]
    if (shapes and dims) or len(lengths) != len(names) or len(dims) % 4:
        raise error_at(
            place,
            f"expected an input_shape, or four input_dim, for each of {len(names)} inputs, "
            f"got {len(shapes)} and {len(dims)}",
        )
    return [Input(name, _sample(dims, place), place) for name, dims in zip(names, lengths, strict=True)]


def layer_inputs(record: LayerRecord) -> list[Input]:
    """What a layer that reads data brings, one for every top: the samples first, then their labels."""
    if record.bottoms:
        raise record.error(f"expected no bottoms, got {', '.join(record.bottoms)}")
    options = record.fields.fields(SOURCES[record.kind])
    shapes: list[Shape | None] = [*_SHAPES.get(record.kind, _unknown)(record, options)]
    shapes += [None] * (len(record.tops) - len(shapes))
    return [Input(top, shape, record.place, str(record)) for top, shape in zip(record.tops, shapes, strict=False)]


def shape_of(source: Input, given: Mapping[str, Shape]) -> Shape:
    """The shape of one sample: what the caller gives, or what the file says.

    Raises:
        FormatError: neither does.
    """
    if source.blob in given:
        return tuple(given[source.blob])
    if source.shape is None:
        raise error_at(
            source.place,
            f"{source.layer or 'the network'}: the file does not say what shape the samples of {source.blob!r} have",
            hint=f"say it: input_shapes={{{source.blob!r}: (channels, height, width)}}",
        )
    return source.shape


def _unknown(record: LayerRecord, options: Fields) -> list[Shape]:
    """The shape is in the data, which only Caffe reads."""
    return []


def _input_shapes(record: LayerRecord, options: Fields) -> list[Shape]:
    shapes = [_sample(_dims(shape), record.place) for shape in options.all_fields("shape")]
    options.finish()
    if shapes and len(shapes) not in {1, len(record.tops)}:
        raise record.error(f"expected one shape, or one for each of {len(record.tops)} tops, got {len(shapes)}")
    return shapes * len(record.tops) if len(shapes) == 1 else shapes


def _dummy_shapes(record: LayerRecord, options: Fields) -> list[Shape]:
    shapes = [_sample(_dims(shape), record.place) for shape in options.all_fields("shape")]
    if not shapes:
        columns = [options.integers(name, low=1) for name in ("num", "channels", "height", "width")]
        if len({len(column) for column in columns}) != 1:
            raise record.error("expected as many num, channels, height and width")
        shapes = [tuple(dims[1:]) for dims in zip(*columns, strict=True)]
    options.finish(("data_filler",))
    return shapes * len(record.tops) if len(shapes) == 1 else shapes


def _memory_shapes(record: LayerRecord, options: Fields) -> list[Shape]:
    lengths = [options.integer(name, low=1) for name in ("channels", "height", "width")]
    options.integer("batch_size", low=1)
    options.finish()
    if None in lengths:
        raise record.error("expected channels, height and width in its memory_data_param")
    return [tuple(length for length in lengths if length is not None)]


_SHAPES = {"Input": _input_shapes, "DummyData": _dummy_shapes, "MemoryData": _memory_shapes}


def _dims(shape: Fields) -> tuple[int, ...]:
    dims = shape.integers("dim", low=1)
    shape.finish()
    return dims


def _sample(dims: tuple[int, ...], place: Place) -> Shape:
    """The shape of one sample of a batch; () for labels, one number each."""
    if not dims:
        raise error_at(place, "expected a shape of at least one dim, that of the batch")
    return dims[1:]
