"""The compiled half of eager mode, `accelerate.c`, where it was built; everything runs without it, only slower.

Set the environment variable NASTURTIUM_PURE_PYTHON=1 to do without it on purpose.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType


def _load() -> ModuleType | None:
    if os.environ.get("NASTURTIUM_PURE_PYTHON", "") not in ("", "0"):
        return None
    try:
        return importlib.import_module(".accelerate", __package__)
    except ImportError:  # there was no compiler when the package was installed
        return None


accelerate = _load()
