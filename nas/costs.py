"""What a network costs, from its specification alone: nothing is built and nothing is run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from ..core import ModelSpec
from ..privacy import UpdateSize

ELEMENT_BYTES: Final = 4  # of a float32


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a network costs.

    Attributes:
        parameters: trainable elements.
        buffers: elements of its state beside them, such as running means.
        macs: multiply-accumulates for one sample.
        peak_activation_bytes: of the float32 values alive at the worst moment while one sample is computed, input and
            output included, weights not. A value is let go after its last use; what a kernel needs for itself, as the
            patches of a convolution, is not counted (see `LayerPlan`).
        model_bytes: of parameters and buffers as float32, which is what the arrays in a saved model's file take. The
            file has a header of names and places besides, some 80 bytes for each array.
        upload_bytes: of one encrypted update of one site in a round of federated training: seeds and ciphertexts of
            the packed scheme and the signed envelope. Without noise and masks.
    """

    parameters: int
    buffers: int
    macs: int
    peak_activation_bytes: int
    model_bytes: int
    upload_bytes: int

    def figures(self) -> dict[str, float]:
        """By name, as objectives and constraints are told."""
        return {name: float(value) for name, value in asdict(self).items()}


def costs(spec: ModelSpec, *, clients: int = 10, bits: int = 8) -> Costs:
    """What a network costs.

    Args:
        spec: the network.
        clients: sites whose updates are summed, 2 to 1000; more need more room in a ciphertext.
        bits: of a quantised change, 1 to 16.

    Raises:
        ConfigError: `clients` or `bits` is out of range, or no encryption is exact for both.
    """
    plan = spec.plan()
    update = UpdateSize(quantised=plan.parameters, tensors=plan.tensors, exact=plan.buffers)
    return Costs(
        parameters=plan.parameters,
        buffers=plan.buffers,
        macs=plan.macs,
        peak_activation_bytes=ELEMENT_BYTES * plan.peak,
        model_bytes=ELEMENT_BYTES * (plan.parameters + plan.buffers),
        upload_bytes=update.upload_bytes(clients, bits),
    )
