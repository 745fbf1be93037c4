"""`Notes`: what was read and left out, and in which layers, so that nobody misses it unknowingly."""

from __future__ import annotations

from .records import LayerRecord


class Notes:
    """Collects remarks on layers; equal ones are told once, with all their layers."""

    def __init__(self) -> None:
        self._layers: dict[str, list[str]] = {}

    def add(self, remark: str, layer: LayerRecord) -> None:
        """Remark on a layer."""
        names = self._layers.setdefault(remark, [])
        if layer.name not in names:
            names.append(layer.name)

    def texts(self) -> tuple[str, ...]:
        """One line per remark, in the order they were first made."""
        return tuple(f"{remark}: {', '.join(names)}" for remark, names in self._layers.items())
