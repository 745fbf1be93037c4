"""How a compiled function runs, found out by running it without its effects: see `Explanation`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..device import Array, Device
from ..dispatch import apply
from ..errors import CompileError
from ..tensor import as_array
from .arithmetic import macs_of, operations_of
from .explanation import Arena, Explanation, Launch, ProgramReport, Stage
from .graph import Graph, Node, Value
from .native.group import VIEWS
from .native.planning import STAGES
from .native.program import NativeProgram
from .passes import Pass, optimize
from .reference import Program, ReferenceProgram
from .roofline import Roofline, machine_roofline
from .trace import TracedStep
from .undisturbed import undisturbed

if TYPE_CHECKING:
    from .cuda.kernel import Work as CudaWork

RUNS: Final = 7  # of which the median is told


def explain(
    step: TracedStep,
    program: Program,
    pullback: Program | None,
    arguments: Sequence[Array],
    device: Device,
    *,
    asked: str,
) -> Explanation:
    """Explain the programs of a function; leaves its parameters, statistics and generators as they are.

    Args:
        step: what was traced.
        program: of its graph.
        pullback: of its backward pass.
        arguments: of a run.
        device: where it runs.
        asked: the back end that was asked for; "auto" for any.
    """
    machine = machine_roofline()
    report, results = _report(step.graph, program, arguments, device, machine, asked)
    reports = [report]
    if step.pullback is not None and pullback is not None:
        graph, count = step.pullback.graph, step.pullback.saved
        saved = results[len(results) - count :] if results else []
        seeds = [np.ones(value.shape, value.dtype) for value in graph.arguments[count:]]
        reports.append(_report(graph, pullback, [*saved, *seeds], device, machine, asked)[0])
    return Explanation(programs=tuple(reports), machine=machine)


def _report(
    graph: Graph, program: Program, arguments: Sequence[Array], device: Device, machine: Roofline, asked: str
) -> tuple[ProgramReport, list[Array]]:
    """What is to be said of one program, and its results."""
    optimized = optimize(graph)
    passes: Sequence[tuple[str, Pass]] = ()
    arena: Arena | None = None
    why: str | None = None
    results: list[Array] = []
    if isinstance(program, NativeProgram):
        from .native.explain import explained

        name, passes = "llvm", STAGES
        launches, arena, results = explained(program, arguments, machine, runs=RUNS)
    elif isinstance(program, ReferenceProgram):
        name, why = "numpy", _why_not(optimized, device) if asked == "auto" else "it was asked for"
        times, results = _rehearse(optimized, arguments) if device.kind == "cpu" else ([None] * len(graph.nodes), [])
        launches = [_node(*each, machine) for each in zip(range(len(times)), optimized.nodes, times, strict=False)]
    else:
        from .cuda.program import CudaProgram

        name, launches = "cuda", []
        if isinstance(program, CudaProgram):
            launches = [_queued(number, work) for number, work in enumerate(program.works)]
    stages = [_stage("traced", graph), _stage("optimized", optimized)]
    for each, run in passes:
        optimized = run(optimized)
        stages.append(_stage(each, optimized))
    report = ProgramReport(
        name=graph.name, back_end=name, why=why, stages=tuple(stages), launches=tuple(launches), arena=arena
    )
    return report, results


def _stage(name: str, graph: Graph) -> Stage:
    return Stage(name=name, nodes=len(graph.nodes), text=graph.text(lines=False))


def _queued(number: int, work: CudaWork) -> Launch:
    """A launch on a GPU: it is not timed, and the roofline is another."""
    read = {parameter.buffer: parameter.buffer.nbytes for parameter in work.parameters if not parameter.written}
    written = {parameter.buffer: parameter.buffer.nbytes for parameter in work.parameters if parameter.written}
    return Launch(
        number=number,
        title=work.label,
        ops=tuple(work.label.split()),
        kernel=getattr(work, "name", "cuBLAS"),
        phase=number,
        read_bytes=sum(read.values()),
        written_bytes=sum(written.values()),
        macs=0,
        operations=0,
        predicted_ns=None,
        measured_ns=None,
    )


def _why_not(graph: Graph, device: Device) -> str | None:
    """Why the back end with kernels for a device does not run a graph."""
    from .compile import BACK_ENDS

    try:
        BACK_ENDS["llvm" if device.kind == "cpu" else "cuda"](graph, device)
    except CompileError as exc:
        return f"no kernels for {exc}" if type(exc).__name__ == "Unsupported" else str(exc)
    return None


def _rehearse(graph: Graph, arguments: Sequence[Array]) -> tuple[list[float | None], list[Array]]:
    """Run the nodes without the effects: nanoseconds of each, and the results."""
    arrays: dict[Value, Any] = dict(zip(graph.arguments, arguments, strict=True)) | dict(graph.constants)
    arrays |= {capture.value: capture.read() for capture in graph.captures}
    with undisturbed(graph.draws):
        for draw in graph.draws:
            made = draw.make()
            if draw.value is not None:
                arrays[draw.value] = made
    last = {value: number for number, node in enumerate(graph.nodes) for value in node.values}
    kept = {*graph.results, *graph.sources()}
    times: list[float | None] = []
    for number, node in enumerate(graph.nodes):
        inputs = [arrays[item] if isinstance(item, Value) else item for item in node.inputs]
        taken: list[int] = []
        made: Any = None
        for _ in range(RUNS):
            start = time.perf_counter_ns()
            made = apply(node.op, inputs, node.params)
            taken.append(time.perf_counter_ns() - start)
        times.append(float(median(taken)))
        items: Any = made if made.__class__ is tuple else (made,)
        arrays.update(zip(node.outputs, map(as_array, items), strict=True))
        for value in node.values:
            if last[value] == number and value not in kept:
                arrays.pop(value, None)
    return times, [np.array(arrays[value]) for value in graph.results]


def _node(number: int, node: Node, measured_ns: float | None, machine: Roofline) -> Launch:
    view = node.op.name in VIEWS
    read = 0 if view else sum(value.nbytes for value in dict.fromkeys(node.values))
    written = 0 if view else sum(output.nbytes for output in node.outputs)
    macs, operations = macs_of(node), 0 if view else operations_of(node)
    return Launch(
        number=number,
        title=node.op.name,
        ops=(node.op.name,),
        lines=(node.where,) if node.where else (),
        phase=number,
        read_bytes=read,
        written_bytes=written,
        macs=macs,
        operations=operations,
        predicted_ns=1e9 * machine.seconds(2 * macs + operations, read + written),
        measured_ns=measured_ns,
    )
