"""The named search spaces; importing this package fills the registry `SPACES`."""

from .cnn import cnn
from .mlp import mlp

__all__ = ["cnn", "mlp"]
