"""The layout pass: what is computed of images is computed with their channels last.

Convolutions and pools keep their form, (N, C, *spatial), and get and give images that lie otherwise: as transposed
views of arrays (N, *spatial, C). Everything elementwise between them, and sums over channels or pixels, is rewritten to
the last form, in which a batch norm's statistics are sums over leading axes. The graph stays one of ordinary ops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..op import OPS
from .graph import Graph, Input, Node, Value
from .passes import Rewriting

IMAGE_OPS: Final = frozenset(
    {"conv", "conv_input_grad", "max_pool", "avg_pool", "pool_select", "pool_scatter", "pool_spread"}
)
ALONG: Final = frozenset({"sum", "mean", "max", "min", "standardize", "rms_standardize", "log_softmax"})  # with an axis


def channels_last(graph: Graph) -> Graph:
    """The same graph with images channels last between convolutions and pools."""
    if not any(node.op.name in IMAGE_OPS for node in graph.nodes):
        return graph
    return _ChannelsLast(graph).run()


class _ChannelsLast(Rewriting):
    """Attributes: last: of images (N, C, *spatial), the same with the channels last."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.last: dict[Value, Value] = {}
        self._wide: dict[tuple[Value, int], Value] = {}  # with axes of length 1 in front
        self._is_image: set[Value] = set()

    def visit(self, node: Node, inputs: tuple[Input, ...]) -> Sequence[Value]:
        name = node.op.name
        if name in IMAGE_OPS:
            outputs = super().visit(node, inputs)
            self._is_image.update(outputs)
            return outputs
        images = [item for item in inputs if isinstance(item, Value) and item in self._is_image]
        if not images:
            return super().visit(node, inputs)
        if node.op.elementwise and len(node.outputs) == 1 and len(node.outputs[0].shape) == len(images[0].shape):
            rank = len(images[0].shape)
            turned = [self._turned(item, rank) if isinstance(item, Value) else item for item in inputs]
            return [self._back(self.add(node.op, turned, node.params, node.where)[0])]
        if name in ALONG:
            return [self._along(node, images[0])]
        return super().visit(node, inputs)

    def _along(self, node: Node, image: Value) -> Value:
        """A reduction, or what else has axes."""
        rank = len(image.shape)
        order = (0, *range(2, rank), 1)  # of the axes, channels last
        axis: int | tuple[int, ...] | None = node.params["axis"]
        axes = tuple(range(rank)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        moved = tuple(sorted(order.index(a % rank) for a in axes))
        params = {**node.params, "axis": moved if axis is None or isinstance(axis, tuple) else moved[0]}
        (output,) = self.add(node.op, [self._turned(image, rank)], params, node.where)
        if len(output.shape) == rank:
            return self._back(output)
        left = [a for a in order if order.index(a) not in moved]
        if left == sorted(left):
            return output
        turned = tuple(left.index(a) for a in sorted(left))
        return self.add(OPS["transpose"], [output], {"axes": turned}, node.where)[0]

    def _turned(self, value: Value, rank: int) -> Value:
        """A value with its channels last, and of full rank."""
        whole = value
        if len(value.shape) < rank:  # an image of another rank, perhaps: its own last form does not count
            shape = (1,) * (rank - len(value.shape)) + value.shape
            found = self._wide.get((value, rank))
            whole = self.add(OPS["reshape"], [value], {"shape": shape})[0] if found is None else found
            self._wide[value, rank] = whole
        known = self.last.get(whole)
        if known is None:
            (known,) = self.add(OPS["transpose"], [whole], {"axes": (0, *range(2, rank), 1)})
            self.last[whole] = known
        return known

    def _back(self, last: Value) -> Value:
        """An image in its usual form."""
        rank = len(last.shape)
        (image,) = self.add(OPS["transpose"], [last], {"axes": (0, rank - 1, *range(1, rank - 1))})
        self.last[image] = last
        self._is_image.add(image)
        return image
