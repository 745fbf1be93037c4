"""Training and evaluation: shuffled batches, early stopping, callbacks, checkpoints that resume bit by bit.

>>> import numpy as np
>>> from nasturtium.core import ModelSpec, build, metrics, optim
>>> from nasturtium.core.nn import layer_spec
>>> rng = np.random.default_rng(0)
>>> rows = rng.standard_normal((200, 3)).astype("float32")
>>> values = rows @ np.array([1.0, -2.0, 0.5], "float32")
>>> model = build(ModelSpec((3,), (layer_spec("linear", out_features=1),)), rng)
>>> trainer = Trainer(
...     model,
...     TrainingConfig(epochs=20, patience=5, monitor="val_r2", maximize=True, clip_norm=1.0),
...     rng,
...     criterion=MeanSquaredError(metrics={"r2": metrics.r2_score}),
...     optimizer=optim.SGD(learning_rate=0.1, momentum=0.9, nesterov=True),
... )
>>> curves = trainer.fit(rows[:150], values[:150], (rows[150:], values[150:]))
>>> trainer.restore_best()
>>> trainer.measure(rows[150:], values[150:])["r2"] > 0.99
True
"""

from .callback import Callback, Checkpointing, Reporting
from .checkpoint import load_checkpoint, save_checkpoint
from .config import Precision, ScheduleName, TrainingConfig
from .criterion import Criterion, CrossEntropy, MeanSquaredError, Metric, RowCriterion
from .evaluation import Metrics, evaluate, predict_logits
from .feed import ArrayFeed, Batches, Feed, Order
from .snapshot import Snapshot, SnapshotReader, description
from .step import TrainingStep
from .trainer import Curves, Progress, Trainer

__all__ = [
    "ArrayFeed",
    "Batches",
    "Callback",
    "Checkpointing",
    "Criterion",
    "CrossEntropy",
    "Curves",
    "Feed",
    "MeanSquaredError",
    "Metric",
    "Metrics",
    "Order",
    "Precision",
    "Progress",
    "Reporting",
    "RowCriterion",
    "ScheduleName",
    "Snapshot",
    "SnapshotReader",
    "Trainer",
    "TrainingConfig",
    "TrainingStep",
    "description",
    "evaluate",
    "load_checkpoint",
    "predict_logits",
    "save_checkpoint",
]
