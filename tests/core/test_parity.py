"""PyTorch on the CPU as the outside reference: ops, layers, optimisers and one whole training run."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core import ModelSpec, Tensor, build, grad, nn, ops, optim
from nasturtium.core.data import load_dataset
from nasturtium.core.nn import layer_spec

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install nasturtium[parity]")
F = torch.nn.functional


def draw(*shapes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def check_equal(ours, theirs, arrays: list[np.ndarray], *, rtol: float = 1e-9) -> None:
    """Output, and the gradients of <weights, output> for every input, in float64."""
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    references = [torch.tensor(array, requires_grad=True) for array in arrays]
    y, expected = ours(*tensors), theirs(*references)
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=rtol, atol=1e-11)
    weights = np.random.default_rng(1).standard_normal(y.shape)
    (expected * torch.tensor(weights)).sum().backward()
    for gradient, reference in zip(grad((y * Tensor(weights)).sum(), tensors), references, strict=True):
        np.testing.assert_allclose(gradient.data, reference.grad.numpy(), rtol=rtol, atol=1e-11)


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 4)], ids=str)
def test_conv2d(kernel, stride, padding):
    check_equal(
        lambda x, w: ops.conv2d(x, w, stride=stride, padding=padding),
        lambda x, w: F.conv2d(x, w, stride=stride, padding=padding),
        draw((2, 3, 7, 8), (4, 3, *kernel)),
    )


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (2, 1), (3, 3)])
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_pooling(kind, size, stride):
    ours = {"max": ops.max_pool2d, "avg": ops.avg_pool2d}[kind]
    theirs = {"max": F.max_pool2d, "avg": F.avg_pool2d}[kind]
    check_equal(lambda x: ours(x, size=size, stride=stride), lambda x: theirs(x, size, stride), draw((2, 3, 7, 8)))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(ops.relu, F.relu, id="relu"),
        pytest.param(ops.gelu, lambda x: F.gelu(x, approximate="tanh"), id="gelu"),
        pytest.param(ops.silu, F.silu, id="silu"),
        pytest.param(ops.tanh, torch.tanh, id="tanh"),
        pytest.param(ops.sigmoid, torch.sigmoid, id="sigmoid"),
        pytest.param(lambda x: ops.log_softmax(x, axis=-1), lambda x: F.log_softmax(x, -1), id="log-softmax"),
        pytest.param(lambda x: ops.softmax(x, axis=0), lambda x: F.softmax(x, 0), id="softmax"),
        pytest.param(lambda x: x.max(1), lambda x: x.amax(1), id="max"),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 30.0], ids=["usual", "large"])
def test_functions(ours, theirs, scale):
    check_equal(ours, theirs, [scale * array for array in draw((6, 9))])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("scale", [1.0, 300.0], ids=["usual", "confident"])
def test_cross_entropy(smoothing, scale):
    labels = np.random.default_rng(0).integers(0, 5, 8)
    check_equal(
        lambda x: ops.cross_entropy(x, labels, label_smoothing=smoothing),
        lambda x: F.cross_entropy(x, torch.tensor(labels), label_smoothing=smoothing),
        [scale * array for array in draw((8, 5))],
    )


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5, 2)], ids=["rows", "images"])
def test_batch_norm(shape):
    """Forward, backward and running statistics over three steps of training, then evaluation."""
    ours = nn.BatchNorm(3)
    theirs = {2: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d}[len(shape)](3)
    gain, shift = draw((3,), (3,), seed=5)
    ours.weight.data[...], ours.bias.data[...] = gain, shift
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(gain))
        theirs.bias.copy_(torch.tensor(shift))
    for seed in range(4):
        x, weights = (array.astype(np.float32) for array in draw(shape, shape, seed=seed))
        if seed == 3:
            ours.eval()
            theirs.eval()
        mine, reference = Tensor(3 * x + 1, requires_grad=True), torch.tensor(3 * x + 1, requires_grad=True)
        y, expected = ours(mine), theirs(reference)
        np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=1e-4, atol=1e-5)
        theirs.zero_grad()
        (expected * torch.tensor(weights)).sum().backward()
        gradients = grad((y * Tensor(weights)).sum(), [mine, ours.weight, ours.bias])
        for gradient, wanted in zip(gradients, (reference, theirs.weight, theirs.bias), strict=True):
            np.testing.assert_allclose(gradient.data, wanted.grad.numpy(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(ours.running_mean.data, theirs.running_mean.numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours.running_var.data, theirs.running_var.numpy(), rtol=1e-5)


@pytest.mark.parametrize("shape", [(4, 6), (4, 3, 5, 2)], ids=["rows", "images"])
def test_layer_norm(shape):
    """Ours scales per channel; PyTorch's group norm of one group does the same for images."""
    layer = nn.LayerNorm(shape[1])

    def ours(x, weight, bias):
        layer.weight, layer.bias = weight, bias
        return layer(x)

    def theirs(x, weight, bias):
        if len(shape) == 2:
            return F.layer_norm(x, shape[1:], weight, bias)
        return F.group_norm(x, 1, weight, bias)

    check_equal(ours, theirs, draw(shape, (shape[1],), (shape[1],)))


OPTIMIZERS = [
    pytest.param(optim.SGD(learning_rate=0.1), lambda p: torch.optim.SGD(p, lr=0.1), id="sgd"),
    pytest.param(
        optim.SGD(learning_rate=0.1, momentum=0.9, weight_decay=0.05),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.05),
        id="sgd-momentum",
    ),
    pytest.param(optim.Adam(learning_rate=0.1), lambda p: torch.optim.Adam(p, lr=0.1), id="adam"),
    pytest.param(
        optim.AdamW(learning_rate=0.1, weight_decay=0.2),
        lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.2),
        id="adamw",
    ),
    pytest.param(
        optim.AdamW(learning_rate=0.1, beta1=0.7, beta2=0.8, epsilon=1e-3),
        lambda p: torch.optim.AdamW(p, lr=0.1, betas=(0.7, 0.8), eps=1e-3),
        id="adamw-with-other-betas",
    ),
]


@pytest.mark.parametrize(("ours", "theirs"), OPTIMIZERS)
def test_ten_steps_of_an_optimiser(ours, theirs):
    shapes = ((3, 4), (4,))
    parameters = [Tensor(array, requires_grad=True) for array in draw(*shapes)]
    references = [torch.tensor(array, requires_grad=True) for array in draw(*shapes)]
    state, reference = ours.init(parameters), theirs(references)
    for seed in range(10):
        gradients = draw(*shapes, seed=seed + 1)
        state = ours.step(state, [Tensor(gradient) for gradient in gradients])
        for tensor, gradient in zip(references, gradients, strict=True):
            tensor.grad = torch.tensor(gradient)
        reference.step()
        for mine, wanted in zip(parameters, references, strict=True):
            np.testing.assert_allclose(mine.data, wanted.detach().numpy(), rtol=1e-10, atol=1e-12)


SPEC = ModelSpec(
    (1, 8, 8),
    (
        # Without a bias: batch norm cancels it, so its gradient is rounding noise, which Adam blows up to full steps.
        layer_spec("conv2d", out_channels=8, kernel=3, bias=False),
        layer_spec("batch_norm"),
        layer_spec("activation", function="relu"),
        layer_spec("max_pool2d"),
        layer_spec("conv2d", out_channels=16, kernel=3, stride=2),
        layer_spec("activation", function="gelu"),
        layer_spec("flatten"),
        layer_spec("linear", out_features=10),
    ),
)


def torch_twin(model: nn.Sequential) -> torch.nn.Sequential:
    """The same network in PyTorch, with the same weights."""
    twin = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 16, 3, stride=2, padding=1),
        torch.nn.GELU(approximate="tanh"),
        torch.nn.Flatten(),
        torch.nn.Linear(64, 10),
    )
    own = twin.state_dict()
    for name, array in model.state().items():
        key = name.removeprefix("layers.")
        own[key] = torch.tensor(array).reshape(own[key].shape)
    twin.load_state_dict(own)
    return twin


def test_a_whole_training_run():
    """Twenty steps of a small CNN on digits: the losses agree to 1e-4, and so do the outputs afterwards."""
    data = load_dataset("digits")
    inputs, labels = data.inputs / 16, data.labels
    model = build(SPEC, np.random.default_rng(0)).train()
    twin = torch_twin(model).train()
    parameters, optimizer = model.parameters(), optim.AdamW(learning_rate=2e-3, weight_decay=1e-2)
    state, reference = optimizer.init(parameters), torch.optim.AdamW(twin.parameters(), lr=2e-3, weight_decay=1e-2)
    losses, expected = [], []
    for step in range(20):
        rows = slice(32 * step, 32 * (step + 1))
        loss = ops.cross_entropy(model(Tensor(inputs[rows])), labels[rows], label_smoothing=0.1)
        state = optimizer.step(state, grad(loss, parameters))
        losses.append(float(loss))
        wanted = F.cross_entropy(twin(torch.tensor(inputs[rows])), torch.tensor(labels[rows]), label_smoothing=0.1)
        reference.zero_grad()
        wanted.backward()
        reference.step()
        expected.append(wanted.item())
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-4)
    assert losses[-1] < 0.8 * losses[0]
    outputs = twin.eval()(torch.tensor(inputs[-100:])).detach().numpy()
    np.testing.assert_allclose(model.eval()(Tensor(inputs[-100:])).data, outputs, rtol=0, atol=1e-4)
