"""What a compiled function looks at is seen to change, by the compiled half and by Python alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nasturtium.core import Tensor, nn, no_grad
from nasturtium.core.compiler import watched
from nasturtium.core.compiler.watched import Surroundings
from nasturtium.core.native import accelerate

SCALE = 2.0


class Network(nn.Module):
    """Attributes of all sorts."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.layers = [nn.Linear(2, 2, rng=rng), nn.Linear(2, 2, rng=rng)]
        self.rate = 0.5
        self.names = ["a", "b"]
        self.sizes = (1, 2)
        self.hook: Callable[[], None] | None = None

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[1](self.layers[0](x)) * SCALE


def change_global(_: Network) -> None:
    globals()["SCALE"] = 3.0


CHANGES = {
    "nothing": (lambda network: None, True),
    "an-equal-number": (lambda network: setattr(network, "rate", float("0.5")), True),
    "an-equal-list": (lambda network: setattr(network, "layers", list(network.layers)), True),
    "elements-of-a-parameter": (lambda network: network.layers[0].weight.data.fill(1), True),
    "a-number": (lambda network: setattr(network, "rate", 0.25), False),
    "the-same-number-of-another-type": (lambda network: setattr(network, "names", ("a", "b")), False),
    "a-list-for-a-tuple": (lambda network: setattr(network, "sizes", [1, 2]), False),
    "a-tuple-for-a-list": (lambda network: setattr(network, "layers", tuple(network.layers)), False),
    "an-item": (lambda network: network.layers.reverse(), False),
    "a-longer-list": (lambda network: network.names.append("c"), False),
    "an-item-of-plain-values": (lambda network: network.names.__setitem__(0, "z"), False),
    "a-new-attribute": (lambda network: setattr(network, "other", 1), False),
    "an-attribute-less": (lambda network: delattr(network, "hook"), False),
    "training": (lambda network: network.eval(), False),
    "a-function": (lambda network: setattr(network, "hook", lambda: None), False),
    "a-global": (change_global, False),
}


@pytest.fixture(params=["compiled", "python"])
def _half(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    if request.param == "python":
        monkeypatch.setattr(watched, "accelerate", None)
    elif accelerate is None:
        pytest.skip("accelerate.c is not built")


@pytest.mark.usefixtures("_half")
@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_seen(change):
    network = Network()
    surroundings = Surroundings(lambda x: network(x) * SCALE)
    assert surroundings.same()
    change, same = CHANGES[change]
    change(network)
    assert surroundings.same() is same
    assert (surroundings.changed() is None) is same


@pytest.mark.usefixtures("_half")
def test_the_cell_of_a_closure():
    number = 1

    def set_number(value: int) -> None:
        nonlocal number
        number = value

    surroundings = Surroundings(lambda x: x + number)
    assert surroundings.same()
    set_number(2)
    assert not surroundings.same()
    set_number(1)
    assert surroundings.same()


@pytest.mark.usefixtures("_half")
def test_whether_gradients_are_recorded():
    surroundings = Surroundings(lambda x: x)
    with no_grad():
        assert not surroundings.same()
    assert surroundings.same()
