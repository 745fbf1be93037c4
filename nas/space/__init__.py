"""Search spaces: templates of networks with choices in them, as data, and their fixed flat encoding."""

from ...core import parse_toml, to_toml
from .decided import ROOT, Decided, Flat
from .expand import Expanded
from .graph import LabelledGraph
from .leaf import draw, from_unit, to_unit
from .nodes import (
    Cell,
    CellStack,
    Chain,
    Choice,
    Float,
    Incoming,
    Int,
    Layer,
    Leaf,
    Multiple,
    Node,
    Optional,
    Outputs,
    Repeat,
    Residual,
    Scalar,
    StackPart,
    Stride,
    layers,
)
from .registry import SPACES, SpaceMaker, load_space, space
from .search_space import TRAINING, Point, Space

__all__ = [
    "ROOT",
    "SPACES",
    "TRAINING",
    "Cell",
    "CellStack",
    "Chain",
    "Choice",
    "Decided",
    "Expanded",
    "Flat",
    "Float",
    "Incoming",
    "Int",
    "LabelledGraph",
    "Layer",
    "Leaf",
    "Multiple",
    "Node",
    "Optional",
    "Outputs",
    "Point",
    "Repeat",
    "Residual",
    "Scalar",
    "Space",
    "SpaceMaker",
    "StackPart",
    "Stride",
    "draw",
    "from_unit",
    "layers",
    "load_space",
    "parse_toml",
    "space",
    "to_toml",
    "to_unit",
]
