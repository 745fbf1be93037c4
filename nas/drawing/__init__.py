"""Drawings of architectures as SVG: layers in a column, cells as graphs beside them, differences marked."""

from .picture import draw_svg

__all__ = ["draw_svg"]
