"""Several devices or processes as one: collectives on arrays, and training on shares of every batch.

`DataParallel` trains a network in one process per device, with the result of one process on the whole batches; here on
two CPU processes, with `devices=[0, 1]` on two GPUs.

>>> import numpy as np
>>> from nasturtium.core import ModelSpec, TrainingConfig
>>> from nasturtium.core.nn import layer_spec
>>> spec = ModelSpec((2,), (layer_spec("linear", out_features=2),))
>>> inputs, labels = np.eye(2, dtype=np.float32)[[0, 1, 0, 1]], np.array([0, 1, 0, 1])
>>> run = DataParallel(spec, TrainingConfig(epochs=3), devices=["cpu", "cpu"], seed=0)
>>> curves = run.fit(inputs, labels)
>>> run.trainer.epoch
3

Underneath, in the order they build on each other: `communicator` says what collectives are; `memory` and `process` do
them between processes of this machine, `nccl` between GPUs; `worker` and `launch` start processes (`run_ranks`) and see
that none outlives a failure; `replica` makes a model compute its part of a batch; `train` and `data_parallel` train it.
"""

from .communicator import Communicator, ReduceOp, SingleCommunicator
from .data_parallel import DataParallel
from .launch import run_ranks
from .nccl import NcclCommunicator, unique_id
from .process import ProcessCommunicator
from .replica import Replica
from .train import ParallelTrainer
from .worker import Rank

__all__ = [
    "Communicator",
    "DataParallel",
    "NcclCommunicator",
    "ParallelTrainer",
    "ProcessCommunicator",
    "Rank",
    "ReduceOp",
    "Replica",
    "SingleCommunicator",
    "run_ranks",
    "unique_id",
]
