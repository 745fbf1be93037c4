"""Launches as records of a program: a small network, forward and backward, by any number of native threads."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core.compiler.llvm import BARRIER, KernelCache, Pointer, Pool, Program
from nasturtium.core.compiler.llvm.convolution import forward, input_gradient
from nasturtium.core.compiler.llvm.geometry import Convolution
from nasturtium.core.compiler.llvm.launch import Images
from nasturtium.core.compiler.llvm.packing import pack_weights, packed_size, turn_weights, turned_size
from nasturtium.core.compiler.llvm.tiling import Epilogue
from nasturtium.core.compiler.llvm.weight_gradient import weight_gradient

from .launching import memory, placed, target_of


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_program_of_launches(kernel_cache: KernelCache, threads: int):
    target, rng = target_of(kernel_cache), np.random.default_rng(0)
    conv = Convolution(inputs=5, outputs=20, kernel=(3, 3), padding=(1, 1))
    like_x = Images.dense(4, 8, 8, 5, border=(1, 1, 1, 1))
    like_y = Images.dense(4, 8, 8, 20, border=(1, 1, 1, 1))
    plan = weight_gradient(target, conv, like_x, like_y)
    buffers = {
        "x": placed(rng.standard_normal((4, 8, 8, 5)), like_x),
        "w": memory(pack_weights(rng.standard_normal((20, 5, 3, 3)), conv)),
        "y": placed(np.zeros((4, 8, 8, 20)), like_y),
        "turned": memory(turned_size(conv)),
        "dx": memory(like_x.size),
        "dw": memory(packed_size(conv)),
        "partials": memory(plan.partials),
    }
    pool = Pool(kernel_cache, threads)
    at = {name: Pointer(name) for name in buffers}
    program = Program(
        [
            *(
                launch.call(x=at["x"], w=at["w"], y=at["y"])
                for launch in forward(target, conv, like_x, like_y, epilogue=Epilogue(relu=True))
            ),
            turn_weights(target, conv).call(source=at["w"], result=at["turned"]),
            BARRIER,
            *(
                launch.call(x=at["y"], w=at["turned"], y=at["dx"], mask=at["x"])
                for launch in input_gradient(target, conv, like_y, like_x, epilogue=Epilogue(mask=True))
            ),
            *(
                launch.call(x=at["x"], y=at["y"], result=at["partials" if plan.partials else "dw"])
                for launch in plan.launches
            ),
            BARRIER,
            *(launch.call(partials=at["partials"], result=at["dw"]) for launch in plan.sums),
        ],
        kernel_cache,
        pool,
    )
    results: list[bytes] = []
    for count in (1, threads):
        for name, floats in buffers.items():
            program.bind(name, floats.ctypes.data, floats)
        program.run(threads=count)
        results.append(b"".join(buffers[name].tobytes() for name in ("y", "dx", "dw")))
    assert results[0] == results[1]
    assert np.abs(buffers["dw"][: packed_size(conv)]).max() > 1
    pool.close()
