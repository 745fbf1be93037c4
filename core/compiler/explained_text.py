"""An `Explanation` as tables."""

from __future__ import annotations

from pathlib import PurePath

from .explanation import Arena, Explanation, Launch, ProgramReport
from .roofline import Roofline

WIDTH = 120
MOST_PARTS = 24  # of an arena, by size
TITLE, LINE = 43, 24


def text_of(explanation: Explanation) -> str:
    """All programs, one below the other."""
    blocks = [_machine(explanation.machine), *map(_program, explanation.programs)]
    return "\n\n".join(blocks)


def size_text(size: float) -> str:
    """Bytes, with a unit, in at most 8 characters."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def count_text(count: float) -> str:
    """A number, with a unit, in at most 8 characters; nothing for none."""
    if not count:
        return ""
    for unit in ("", " k", " M"):
        if count < 1000:
            return f"{count:.0f}{unit}" if not unit or count >= 100 else f"{count:.1f}{unit}"
        count /= 1000
    return f"{count:.1f} G"


def time_text(nanoseconds: float | None) -> str:
    """A time in microseconds, or in milliseconds where that is shorter."""
    if nanoseconds is None:
        return ""
    micro = nanoseconds / 1e3
    return f"{micro:.2f} us" if micro < 10 else f"{micro:.1f} us" if micro < 1000 else f"{micro / 1e3:.2f} ms"


def line_text(line: str) -> str:
    """File and line, without folders and text."""
    path, _, rest = line.partition(".py:") if ".py:" in line else line.partition(">:")
    number = rest.split(":")[0]
    name = PurePath(path).name + (".py" if ".py:" in line else ">")
    return f"{name}:{number}"


def _machine(machine: Roofline) -> str:
    return (
        f"one core: {machine.flops / 1e9:.0f} GFLOP/s in multiply-adds ({machine.by}), {machine.bytes / 1e9:.1f} GB/s "
        f"in a copy;\nthey balance at {machine.balance:.1f} FLOP a byte. What lies in caches is faster than predicted."
    )


def _program(program: ProgramReport) -> str:
    count = "nodes" if program.back_end == "numpy" else "launches"
    head = f"{program.name}: {program.back_end}, {len(program.launches)} {count}"
    lines = [head + (f" ({program.why})" if program.why else "")]
    lines.append("passes: " + ", ".join(f"{stage.name} {stage.nodes}" for stage in program.stages) + " nodes")
    if program.launches:
        lines += ["", *_table(program)]
    if program.arena is not None:
        lines += ["", *_arena(program.arena)]
    return "\n".join(line[:WIDTH] for line in lines)


def _table(program: ProgramReport) -> list[str]:
    lines = [_row("#", "kernel of", "line", "MAC", "read", "written", "predicted", "measured")]
    before = 0
    for each in program.launches:
        mark = "=" if each.phase > before and program.back_end == "llvm" else ""
        before = each.phase
        line = line_text(each.lines[-1]) if each.lines else ""
        lines.append(
            _row(
                f"{mark}{each.number}",
                _title(each),
                line + (f" +{len(each.lines) - 1}" if len(each.lines) > 1 else ""),
                count_text(each.macs),
                size_text(each.read_bytes),
                size_text(each.written_bytes),
                time_text(each.predicted_ns),
                time_text(each.measured_ns),
            )
        )
    total = program.launches
    lines.append(
        _row(
            "",
            "in all",
            "",
            count_text(sum(each.macs for each in total)),
            size_text(sum(each.read_bytes for each in total)),
            size_text(sum(each.written_bytes for each in total)),
            time_text(program.predicted_ns),
            time_text(program.measured_ns),
        )
    )
    if program.back_end == "llvm":
        lines.append("(=: all threads meet before it. ~: among others it computes again what an earlier launch has.)")
    return lines


def _title(launch: Launch) -> str:
    return ("~" if launch.again else "") + launch.title


def _row(number: str, title: str, line: str, *numbers: str) -> str:
    cells = [f"{number:>4}", f"{_cut(title, TITLE):<{TITLE}}", f"{_cut(line, LINE):<{LINE}}"]
    widths = (8, 8, 8, 9, 9)
    cells += [f"{cell:>{width}}" for cell, width in zip(numbers, widths, strict=True)]
    return " ".join(cells).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 2] + ".."


def _arena(arena: Arena) -> list[str]:
    over = arena.planned_bytes / arena.bound_bytes - 1 if arena.bound_bytes else 0.0
    lines = [
        f"arena: {size_text(arena.planned_bytes)} planned, {100 * over:.1f} % above the bound of "
        f"{size_text(arena.bound_bytes)}; {size_text(arena.unplanned_bytes)} if nothing were shared"
    ]
    shown = sorted(arena.parts, key=lambda part: -part.nbytes)[:MOST_PARTS]
    lines.append(f"  {'offset':>10} {'size':>8}  phases     value")
    for part in sorted(shown, key=lambda part: (part.offset, part.first)):
        alive = f"{part.first}-{part.last}"
        lines.append(f"  {part.offset:>10} {size_text(part.nbytes):>8}  {alive:<9}  {part.label}")
    if len(arena.parts) > len(shown):
        lines.append(f"  and {len(arena.parts) - len(shown)} smaller ones")
    return lines
