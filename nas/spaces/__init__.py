"""The named search spaces; importing this package fills the registry `SPACES`."""

from ...core.data import Task
from ..space import SPACES, Space
from .cnn import cnn
from .common import usual_name
from .darts import darts
from .mbconv import mbconv
from .mlp import mlp
from .nb201 import nb201
from .resmlp import resmlp
from .rnn import rnn
from .tabular import tabular
from .tcn import tcn
from .transformer import transformer

__all__ = [
    "cnn",
    "darts",
    "default_space",
    "mbconv",
    "mlp",
    "nb201",
    "resmlp",
    "rnn",
    "tabular",
    "tcn",
    "transformer",
]


def default_space(task: Task) -> Space:
    """The space that suits most tasks of a kind: "cnn" for images, "tabular" for tables, "tcn" for sequences."""
    return SPACES[usual_name(task)](task)
