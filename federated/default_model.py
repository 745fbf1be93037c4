"""The network that is trained when no search has found one."""

from __future__ import annotations

from ..core import ConfigError, ModelSpec
from ..core.data import Task
from ..core.nn import LayerSpec, layer_spec


def default_spec(task: Task) -> ModelSpec:
    """A small CNN for images of at least 4 x 4 pixels, a small MLP for everything else.

    Without batch norm: its running statistics mix badly over sites with different classes (Hsieh et al. 2020,
    https://arxiv.org/abs/1910.00189).
    """
    layers: list[LayerSpec] = []
    if task.is_image and min(task.input_shape[1:]) >= 4:
        for channels in (16, 32):
            layers += [
                layer_spec("conv2d", out_channels=channels, kernel=3),
                layer_spec("activation", function="relu"),
                layer_spec("max_pool2d", size=2),
            ]
        layers.append(layer_spec("flatten"))
    else:
        if len(task.input_shape) > 1:
            layers.append(layer_spec("flatten"))
        for width in (64, 32):
            layers += [layer_spec("linear", out_features=width), layer_spec("activation", function="relu")]
    return ModelSpec(task.input_shape, (*layers, layer_spec("linear", out_features=len(task.classes))))


def check_fits(spec: ModelSpec, task: Task) -> None:
    """Refuse a network made for other data.

    Raises:
        ConfigError: its input or its number of classes is not the task's.
    """
    classes = spec.plan().output_shape
    if spec.input_shape != task.input_shape or classes != (len(task.classes),):
        raise ConfigError(
            f"the model does not fit the data: it takes {spec.input_shape} and gives {classes}, "
            f"the data has {task.input_shape} and {len(task.classes)} classes",
            hint="choose the run of a search on the same data",
        )
