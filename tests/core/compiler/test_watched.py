"""What a compiled function looks at is seen to change, by the compiled half and by Python alike."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace

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


class Schedule:
    """No dataclass, and no network."""

    WARM = 10

    def __init__(self) -> None:
        self.rate = 0.5
        self.inner = SimpleNamespace(floor=0.1, unused=1)
        self.unused = 0
        self.seen = [1]

    @property
    def floor(self) -> float:
        return self.inner.floor

    def now(self) -> float:
        return max(self.rate, self.floor)


OPTIONS = {"width": 3, "unused": 1}
USES = {
    "an-attribute": (lambda s: setattr(s, "rate", 0.25), False),
    "an-attribute-of-an-attribute": (lambda s: setattr(s.inner, "floor", 0.2), False),
    "another-object": (lambda s: setattr(s, "inner", SimpleNamespace(floor=0.1)), False),
    "an-attribute-less": (lambda s: delattr(s, "rate"), False),
    "a-list-of-it": (lambda s: s.seen.append(2), False),
    "a-class-attribute": (lambda s: setattr(Schedule, "WARM", 11), False),
    "an-item": (lambda s: OPTIONS.update(width=4), False),
    "an-item-less": (lambda s: OPTIONS.pop("width"), False),
    "a-module's-number": (lambda s: setattr(settings, "EPSILON", 1e-3), False),
    "what-it-does-not-name": (lambda s: setattr(s, "unused", 1), True),
    "what-it-does-not-name-further-in": (lambda s: setattr(s.inner, "unused", 2), True),
    "an-item-that-it-does-not-name": (lambda s: OPTIONS.update(unused=2), True),
    "an-equal-number": (lambda s: setattr(s, "rate", float("0.5")), True),
    "a-new-attribute": (lambda s: setattr(s, "more", 1), True),
}
settings = ModuleType("settings")


@pytest.mark.usefixtures("_half")
@pytest.mark.parametrize("by", ["function", "lambda", "method"])
@pytest.mark.parametrize("use", USES)
def test_what_code_names_of_plain_objects(use, by, monkeypatch):
    monkeypatch.setattr(Schedule, "WARM", 10)
    monkeypatch.setitem(globals(), "OPTIONS", {"width": 3, "unused": 1})
    monkeypatch.setattr(settings, "EPSILON", 1e-6, raising=False)
    schedule = Schedule()

    def direct(x: float) -> float:
        return (
            x * schedule.rate + schedule.inner.floor + len(schedule.seen) + OPTIONS["width"] + settings.EPSILON + warm()
        )

    def indirect(x: float) -> list[float]:
        return [
            x * schedule.now() * OPTIONS["width"] * settings.EPSILON * len(schedule.seen) * warm() for _ in range(2)
        ]

    def warm() -> int:
        return Schedule.WARM

    class Step:
        def __init__(self) -> None:
            self.schedule = schedule

        def run(self, x: float) -> float:
            return x * self.schedule.now() * OPTIONS["width"] * settings.EPSILON * len(self.schedule.seen) * warm()

    surroundings = Surroundings({"function": direct, "lambda": indirect, "method": Step().run}[by])
    assert surroundings.same()
    change, same = USES[use]
    change(schedule)
    assert surroundings.same() is same
    assert (surroundings.changed() is None) is same


@pytest.mark.usefixtures("_half")
def test_the_network_whose_method_it_is():
    network = Network()
    surroundings = Surroundings(network.forward)
    assert surroundings.same()
    network.rate = 0.25
    assert not surroundings.same()


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
