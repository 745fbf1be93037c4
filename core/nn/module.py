"""`Module`: a network as an ordinary Python object, whose parameters are found by looking at its attributes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, NamedTuple, Self, cast

from ..device import Array, Device, device
from ..errors import ConfigError, FormatError
from ..tensor import Tensor


class Parameter(Tensor):
    """A tensor that training changes."""

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(data, requires_grad=True)


class Buffer(Tensor):
    """A tensor that belongs to a module's state but has no gradient, such as a running mean."""

    __slots__ = ()


class StateReport(NamedTuple):
    """What `Module.load_state` found not to match.

    Attributes:
        missing: tensors of the module that the state does not have; they are as before.
        unknown: arrays of the state that the module has no place for.
    """

    missing: tuple[str, ...]
    unknown: tuple[str, ...]


Hook = Callable[["Module", tuple[Any, ...], Any], Any]


class Module:
    """Base of all layers and networks.

    Assign parameters, buffers and sub-modules (or lists of them) as attributes and write `forward`; the order of
    assignment is the order of the state. Nothing is registered, so a module can be changed while it runs: `forward` is
    ordinary Python, and `net.block = other` or `net.replace("layers.3", other)` is all that surgery takes.
    """

    training: bool = True
    _hooks: tuple[Hook, ...] = ()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; sub-classes say for which shapes."""
        raise NotImplementedError(f"{type(self).__name__} is abstract: it has no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward`, and the hooks after it."""
        output = self.forward(*args, **kwargs)
        for hook in self._hooks:
            changed = hook(self, args, output)
            output = output if changed is None else changed
        return output

    def add_hook(self, hook: Hook) -> Callable[[], None]:
        """Call `hook(module, inputs, output)` after every forward; what it returns, if not None, replaces the output.

        Returns:
            A function that takes the hook away again.
        """
        self._hooks = (*self._hooks, hook)

        def remove() -> None:
            self._hooks = tuple(known for known in self._hooks if known is not hook)

        return remove

    def children(self) -> Generator[tuple[str, Module]]:
        """Direct sub-modules with their names; those in a list are named `list.0`, `list.1`, ..., those in a dict
        `dict.key`.
        """
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list | tuple):
                items = cast(Iterable[object], value)
                yield from ((f"{name}.{i}", item) for i, item in enumerate(items) if isinstance(item, Module))
            elif isinstance(value, dict):
                pairs = cast(Mapping[str, object], value).items()
                yield from ((f"{name}.{key}", item) for key, item in pairs if isinstance(item, Module))

    def modules(self) -> Generator[Module]:
        """The module itself and all below it."""
        for _, module in self.named_modules():
            yield module

    def named_modules(self, prefix: str = "") -> Generator[tuple[str, Module]]:
        """The module itself (under the name `prefix`) and all below it with dotted names."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def find(self, path: str) -> Module:
        """The module at a dotted path, such as `layers.3.body`.

        Raises:
            ConfigError: there is none; lists what there is at that place.
        """
        return _place(self, path)[2]

    def replace(self, path: str, module: Module) -> Module:
        """Put another module at a dotted path; returns the one that was there.

        Raises:
            ConfigError: there is none at that path.
        """
        owner, name, before = _place(self, path)
        attribute, _, key = name.partition(".")
        held = getattr(owner, attribute)
        if isinstance(held, dict):
            setattr(owner, attribute, {**cast(dict[str, object], held), key: module})
        elif key:
            items = list(held)
            items[int(key)] = module
            setattr(owner, attribute, items)
        else:
            setattr(owner, attribute, module)
        return before

    def named_tensors(self, kind: type[Tensor] = Tensor, prefix: str = "") -> Generator[tuple[str, Tensor]]:
        """Parameters and buffers (or only those of `kind`) with dotted names, in a fixed order."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter | Buffer) and isinstance(value, kind):
                yield prefix + name, value
        for name, child in self.children():
            yield from child.named_tensors(kind, f"{prefix}{name}.")

    def parameters(self) -> list[Tensor]:
        """The tensors that training changes: all parameters that are not frozen, shared ones once."""
        found = {id(tensor): tensor for _, tensor in self.named_tensors(Parameter) if tensor.requires_grad}
        return list(found.values())

    def freeze(self, frozen: bool = True) -> Self:
        """Exclude all parameters below from training, or take them in again."""
        for _, tensor in self.named_tensors(Parameter):
            tensor.requires_grad = not frozen
        return self

    def state(self) -> dict[str, Array]:
        """Copies of all parameters and buffers by name."""
        return {name: tensor.data.copy() for name, tensor in self.named_tensors()}

    def load_state(self, state: Mapping[str, Array], *, strict: bool = True) -> StateReport:
        """Overwrite parameters and buffers in place; nothing changes unless every name, shape and dtype fits.

        Args:
            state: arrays by name, on any device.
            strict: False leaves what the state does not have as it is, and passes over what the module does not have.

        Raises:
            FormatError: names are missing or unknown (if strict), or a shape or dtype differs.
        """
        own = dict(self.named_tensors())
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if strict and (missing or unknown):
            raise FormatError(f"the state does not belong to this model: {missing=}, {unknown=}")
        own = {name: tensor for name, tensor in own.items() if name in state}
        for name, tensor in own.items():
            if tensor.shape != state[name].shape:
                raise FormatError(f"the state's {name!r} has shape {state[name].shape}, the model's {tensor.shape}")
            if tensor.dtype != state[name].dtype:
                raise FormatError(f"the state's {name!r} has dtype {state[name].dtype}, the model's {tensor.dtype}")
        for name, tensor in own.items():
            tensor.data[...] = tensor.device.put(state[name])
        return StateReport(tuple(missing), tuple(unknown))

    # PyTorch's names.
    state_dict = state
    load_state_dict = load_state

    def to(self, target: str | Device) -> Self:
        """Move all parameters and buffers to a device, in place."""
        place = device(target)
        for _, tensor in self.named_tensors():
            tensor.data = place.put(tensor.data)
        return self

    def train(self, enabled: bool = True) -> Self:
        """Switch between training and evaluation: batch statistics or running ones, dropout or none."""
        for module in self.modules():
            module.training = enabled
        return self

    def eval(self) -> Self:
        """Switch to evaluation."""
        return self.train(False)


def _place(root: Module, path: str) -> tuple[Module, str, Module]:
    """The module at a dotted path, after the one it belongs to and its name there, as `children` gives it."""
    owner, name, module, left = root, "", root, path.split(".")
    while left:
        known = dict(module.children())
        taken = next((n for n in (1, 2) if ".".join(left[:n]) in known), None)
        if taken is None:
            raise ConfigError(
                f"there is no module {path!r}: expected one of {', '.join(known) or 'none'} at {left[0]!r}"
            )
        owner, name = module, ".".join(left[:taken])
        module, left = known[name], left[taken:]
    return owner, name, module


def functional_call(module: Module, tensors: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
    """Run a module with other tensors in the place of its parameters and buffers: what `grad`, `jvp` and `vmap` of a
    function of the parameters need.

    Args:
        module: is as before afterwards. Not for two threads at once.
        tensors: by dotted name, as in `module.named_tensors()`; names that are left out keep theirs.
        args, kwargs: handed to the module.

    Raises:
        ConfigError: the module has no tensor of some name.
    """
    places = {
        f"{prefix}.{name}" if prefix else name: (owner, name)
        for prefix, owner in module.named_modules()
        for name, value in vars(owner).items()
        if isinstance(value, Parameter | Buffer)
    }
    unknown = sorted(tensors.keys() - places.keys())
    if unknown:
        raise ConfigError(f"functional_call: the module has no tensors {unknown}; it has {', '.join(places)}")
    before = {name: getattr(*places[name]) for name in tensors}
    try:
        for name, tensor in tensors.items():
            setattr(*places[name], tensor)
        return module(*args, **kwargs)
    finally:
        for name, tensor in before.items():
            setattr(*places[name], tensor)


class Sequential(Module):
    """Modules one after the other."""

    def __init__(self, *layers: Module) -> None:
        self.layers = list(layers)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """Apply every layer in order; the first one takes all inputs."""
        for layer in self.layers:
            x, others = layer(x, *others), ()
        return x
