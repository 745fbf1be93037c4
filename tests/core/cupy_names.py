"""The names of CuPy that the stand-in exposes, with their signatures: read from CuPy, kept in `cupy_names.txt`.

CuPy imports without a GPU, so the list can be remade anywhere CuPy and ml_dtypes are installed:

    python tests/core/cupy_names.py > tests/core/cupy_names.txt

One line per name: the full name, a tab, the kind, and for a function its parameters (`=` marks one with a default), for
a ufunc the number of inputs and outputs and its loops in the order CuPy tries them (`E` is bfloat16).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

VERSION = "14.2.0"
FILE = Path(__file__).with_name("cupy_names.txt")
# How a docstring of Cython begins: `_ndarray_base.sum(self, axis=None, dtype=None) -> _ndarray_base`.
CYTHON_SIGNATURE = re.compile(r"^_?\w+\.\w+\((.*)\)(?: -> .*)?$")


@dataclass(frozen=True)
class Name:
    """What is known of one name of CuPy."""

    kind: str  # function, method, ufunc, class, module, attribute or value
    detail: str = ""

    @property
    def signature(self) -> inspect.Signature | None:
        """The parameters of a function or method; None where CuPy does not say."""
        if not self.detail.startswith("("):
            return None
        parameters = []
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        for text in filter(None, self.detail[1:-1].split(", ")):
            if text == "/":
                parameters = [p.replace(kind=inspect.Parameter.POSITIONAL_ONLY) for p in parameters]
            elif text == "*":
                kind = inspect.Parameter.KEYWORD_ONLY
            elif text.startswith("**"):
                parameters.append(inspect.Parameter(text[2:], inspect.Parameter.VAR_KEYWORD))
            elif text.startswith("*"):
                parameters.append(inspect.Parameter(text[1:], inspect.Parameter.VAR_POSITIONAL))
                kind = inspect.Parameter.KEYWORD_ONLY
            else:
                default = None if text.endswith("=") else inspect.Parameter.empty
                parameters.append(inspect.Parameter(text.rstrip("="), kind, default=default))
        return inspect.Signature(parameters)

    @property
    def loops(self) -> tuple[int, int, list[tuple[str, str]]]:
        """Of a ufunc: inputs, outputs, and the dtype characters of each loop."""
        nin, nout, *loops = self.detail.split()
        return int(nin), int(nout), [tuple(loop.split("->")) for loop in loops]


def read_names(path: Path = FILE) -> dict[str, Name]:
    """The checked-in list, by full name such as `cupy.linalg.norm` or `cupy.ndarray.sum`."""
    names = {}
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            name, kind, *detail = re.split(r"[\t ]", line, maxsplit=2)
            names[name] = Name(kind, *detail)
    return names


def cupy_names() -> dict[str, Name]:
    """The same, read from the CuPy that is installed."""
    import cupy
    from cupy.lib import stride_tricks  # noqa: F401 - binds cupy.lib.stride_tricks

    found: dict[str, Name] = {}
    spaces = ["cupy", "cupy.linalg", "cupy.fft", "cupy.lib", "cupy.lib.stride_tricks"]
    classes = ["cupy.ndarray", "cupy.cuda.Device", "cupy.cuda.Module", "cupy.cuda.Function", "cupy.cuda.Stream"]
    for path in [*spaces, "cupy.cuda", "cupy.cuda.runtime", "cupy.cuda.driver", *classes]:
        owner = cupy
        for part in path.split(".")[1:]:
            owner = getattr(owner, part)
        for name, value in _public(owner):
            found[f"{path}.{name}"] = _describe(value, method=isinstance(owner, type))
    return dict(sorted(found.items()))


def _public(owner: Any) -> Iterator[tuple[str, Any]]:
    skipped = {"annotations", "disable_experimental_feature_warning"}
    for name in dir(owner):
        # The hundreds of constants of the driver, and what a module imports for itself.
        constant = re.match("CU_|CUDA_|cuda[A-Z]", name)
        leaked = name in {"np", "numpy", "warnings", "contextlib", "sys"}
        if not (name.startswith("_") or name in skipped or constant or leaked):
            yield name, getattr(owner, name)


def _describe(value: Any, *, method: bool) -> Name:
    if type(value).__name__ == "ufunc":
        return Name("ufunc", " ".join([str(value.nin), str(value.nout), *value.types]))
    if isinstance(value, ModuleType):
        return Name("module")
    if isinstance(value, type):
        return Name("class")
    if callable(value):
        return Name("method" if method else "function", _parameters(value, method=method))
    return Name("attribute" if method else "value")


def _parameters(function: Any, *, method: bool) -> str:
    try:
        signature = inspect.signature(function)
    except ValueError:
        return _cython_parameters(function, method=method)
    # NumPy's own functions, which CuPy passes on, differ with the version of NumPy.
    if not (function.__module__ or "cupy").startswith("cupy"):
        return ""
    parameters = list(signature.parameters.values())[1 if method else 0 :]
    return _write(parameters)


def _cython_parameters(function: Any, *, method: bool) -> str:
    match = CYTHON_SIGNATURE.match((function.__doc__ or "").strip().split("\n")[0])
    if not match:
        return ""
    texts = match[1].split(", ")[1 if method else 0 :]
    # "int axis=-1" -> "axis=", "*shape" stays.
    names = [re.sub(r"=.*", "=", text.split("=")[0].split()[-1] + text[len(text.split("=")[0]) :]) for text in texts]
    return f"({', '.join(names)})"


def _write(parameters: list[inspect.Parameter]) -> str:
    texts: list[str] = []
    for position, parameter in enumerate(parameters):
        before = parameters[position - 1].kind if position else None
        if before is inspect.Parameter.POSITIONAL_ONLY and parameter.kind is not before:
            texts.append("/")
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and before not in (
            inspect.Parameter.KEYWORD_ONLY,
            inspect.Parameter.VAR_POSITIONAL,
        ):
            texts.append("*")
        star = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        optional = "=" if parameter.default is not inspect.Parameter.empty else ""
        texts.append(f"{star}{parameter.name}{optional}")
    if parameters and parameters[-1].kind is inspect.Parameter.POSITIONAL_ONLY:
        texts.append("/")
    return f"({', '.join(texts)})"


if __name__ == "__main__":
    import cupy
    import ml_dtypes  # noqa: F401 - without it CuPy has no loops for bfloat16

    print(f"# The public names of CuPy {cupy.__version__}; made by cupy_names.py, see there.")
    for full_name, entry in cupy_names().items():
        print(f"{full_name}\t{entry.kind} {entry.detail}".rstrip())
