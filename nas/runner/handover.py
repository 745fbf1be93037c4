"""Handing an evaluator to worker processes of this machine: how it is made is pickled, and it loads its rows itself.

The pickle goes from this process to its own children, through a file that only this user can read; nothing that comes
from elsewhere is unpickled.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from ...core import ConfigError
from ..evaluate import Evaluator

MakeEvaluator = Callable[[], Evaluator]

_SCRIPT = "__main__"
_LOADING = "NASTURTIUM_LOADING_WORKER"  # set while the evaluator's module is being imported
_WORKERS_SCRIPT = "__worker_main__"  # what a script is called where it is not the one that runs


def pack(make_evaluator: MakeEvaluator) -> bytes:
    """A function, class, partial or object that makes an evaluator, as bytes that `unpack` reads in another process.

    Raises:
        ConfigError: another process would not find it; or this is a worker that imports its evaluator's module.
    """
    if os.environ.get(_LOADING):
        raise ConfigError(
            "a worker process that imports its evaluator's module came upon another call that starts workers",
            hint='put that call under `if __name__ == "__main__":`',
        )
    try:
        body = pickle.dumps(make_evaluator)
    except (pickle.PicklingError, AttributeError, TypeError) as exc:
        raise ConfigError(
            f"worker processes cannot be given {make_evaluator!r}: {exc}",
            hint="pass a function or class from the top level of a module, or a functools.partial of one",
        ) from exc
    return pickle.dumps((_modules_of(make_evaluator), body))


def unpack(packed: bytes) -> MakeEvaluator:
    """What was packed, by the process that started this one."""
    modules, body = pickle.loads(packed)  # noqa: S301 - our parent's, see above
    os.environ[_LOADING] = "1"
    try:
        for module in modules:
            _import(module)
    finally:
        del os.environ[_LOADING]
    return pickle.loads(body)  # noqa: S301 - the same


@dataclass(frozen=True, slots=True)
class _Module:
    """Where code is: another process may not find it by its name, as that of a script."""

    name: str
    importable: str | None  # its name for other processes
    file: str


def _modules_of(factory: object) -> list[_Module]:
    if isinstance(factory, partial):
        inner = cast("partial[Any]", factory)
        return [module for part in (inner.func, *inner.args, *inner.keywords.values()) for module in _modules_of(part)]
    name: str = getattr(factory, "__module__", None) or type(factory).__module__
    module = sys.modules[name]
    file = getattr(module, "__file__", None)
    if file is None and name == _SCRIPT:
        raise ConfigError(
            f"worker processes cannot find {factory!r}, which was typed at a prompt", hint="define it in a file"
        )
    if file is None:
        return []  # built in
    return [_Module(name, module.__spec__.name if module.__spec__ else None, str(Path(file).resolve()))]


def _import(module: _Module) -> None:
    """Import a module by its name, or from its file where the name means nothing here."""
    found = None
    if module.importable:
        try:
            found = importlib.import_module(module.importable)
        except ModuleNotFoundError as exc:
            if exc.name is None or not (module.importable == exc.name or module.importable.startswith(f"{exc.name}.")):
                raise
    # Never under the name `__main__` while it is executed, or its main part would run.
    name = _WORKERS_SCRIPT if module.name == _SCRIPT else module.name
    sys.modules[module.name] = found or _load(name, module.file)


def _load(name: str, file: str) -> ModuleType:
    for end in (i for i, letter in enumerate(name) if letter == "."):
        sys.modules.setdefault(name[:end], ModuleType(name[:end]))  # the pickle asks for them, too
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
