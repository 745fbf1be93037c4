"""Optuna is an extra, which a site does without. Whoever imports this before it has a sentence for a traceback.

`strategies` and `predictor`, whose classes are Optuna's, do; all else that needs it begins with them.
"""

from importlib.util import find_spec

from ..core import MissingExtraError

if find_spec("optuna") is None:
    raise MissingExtraError("an architecture search", "search")
