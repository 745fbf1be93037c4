"""`ModelCatalogue`: the models a machine has, by name. What a plan names is looked up here, and nothing else is loaded.

A name stands for code in this order:

1. `[models]` in the site's own `site.toml`: `my-net = "my_models:my_net"`, a module that is installed and a name in it;
2. an entry point of a package that its owner has installed, in the group "nasturtium.models";
3. the models that come with nasturtium: `sklearn-linear`, `sklearn-mlp`, `xgboost`.

Nothing is imported before a plan asks for it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final, cast

from ...core import ConfigError, MissingExtraError, NasturtiumError, ShapeError
from ...core.data import Task
from ..errors import PlanError, Refusal
from .base import BuildModel, ModelAdapter, option_types, read_options
from .spec import AdapterSpec, check_model_name

logger = logging.getLogger(__name__)

GROUP: Final = "nasturtium.models"
BUILT_IN: Final[Mapping[str, str]] = {
    "sklearn-linear": f"{__package__}.sklearn_models:linear",
    "sklearn-mlp": f"{__package__}.sklearn_models:mlp",
    "xgboost": f"{__package__}.xgboost_model:bagged_trees",
}
_PLACE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class ModelCatalogue:
    """Models by name.

    Args:
        listed: "module:name" by the name of each model, as the owner of the site has written it.
        installed: whether entry points of installed packages count, too.

    Raises:
        ConfigError: a name or place that cannot be one.
    """

    def __init__(self, listed: Mapping[str, str] | None = None, *, installed: bool = True) -> None:
        self._listed = check_models(listed or {})
        self._installed = installed

    @property
    def names(self) -> tuple[str, ...]:
        """Of all models, in order."""
        return tuple(sorted({*self._listed, *self._entry_points(), *BUILT_IN}))

    def find(self, name: str) -> BuildModel:
        """The function that makes a model.

        Raises:
            ConfigError: there is none of this name, or it cannot be loaded.
            MissingExtraError: the library it is for is not installed.
        """
        points = self._entry_points()
        place = self._listed.get(name) or points.get(name) or BUILT_IN.get(name)
        if place is None:
            raise ConfigError(f"no model is called {name!r:.100} here", hint=f"there are {', '.join(self.names)}")
        module, _, attribute = place.partition(":")
        try:
            found: Any = import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except NasturtiumError:
            raise
        except (ImportError, AttributeError) as exc:
            raise ConfigError(
                f"the model {name} cannot be loaded from {place}: {exc}",
                hint="install the package it is in where this program runs",
            ) from exc
        if not callable(found):
            raise ConfigError(f"the model {name} is no function: {place}")
        return cast(BuildModel, found)

    def make(self, name: str, options: Mapping[str, object], task: Task) -> ModelAdapter:
        """A model for a task.

        Raises:
            ConfigError: as of `find`; or the options are not its own, or do not fit.
            MissingExtraError: as of `find`.
        """
        build = self.find(name)
        return build(task, **read_options(build, options))

    def describe(
        self, name: str, options: Mapping[str, Any], task: Task, *, known: Mapping[str, Any] | None = None
    ) -> AdapterSpec:
        """What a plan says of a model.

        Args:
            name: of the model.
            options: given by who starts the run.
            task: what is to be learned.
            known: what else is known of the run; goes into options of these names that the model has and nobody gave.

        Raises:
            ConfigError, MissingExtraError: as of `make`.
        """
        has = option_types(self.find(name))
        given = {each: value for each, value in (known or {}).items() if each in has} | dict(options)
        return AdapterSpec(name=name, options=given, tensors=self.make(name, given, task).tensors)

    def open(self, spec: AdapterSpec, task: Task, *, plain: bool) -> ModelAdapter:
        """The model that a plan asks this site for.

        Args:
            spec: from the plan.
            task: what is to be learned.
            plain: whether updates travel without encryption.

        Raises:
            PlanError: the site does not have it, its options do not fit, it has other tensors here, or it needs
                updates in the clear.
        """
        try:
            build = self.find(spec.name)
        except (ConfigError, MissingExtraError) as exc:
            raise PlanError(exc.message, hint=exc.hint, refusal=Refusal.NOT_READY) from exc
        try:
            adapter = build(task, **read_options(build, spec.options))
        except ConfigError as exc:
            raise PlanError(f"the model {spec.name}: {exc.message}", hint=exc.hint) from exc
        if adapter.tensors != spec.tensors:
            raise PlanError(
                f"the model {spec.name} has other tensors here than the plan says: {_difference(spec, adapter)}",
                hint="all sites need the same version of the package it is in",
                refusal=Refusal.VERSION,
            )
        check_clear(spec.name, adapter, plain=plain, kind=PlanError)
        return adapter

    def _entry_points(self) -> dict[str, str]:
        """Places by name; a name that two packages claim stands for neither."""
        if not self._installed:
            return {}
        found: dict[str, set[str]] = {}
        for point in entry_points(group=GROUP):
            found.setdefault(point.name, set()).add(point.value.partition("[")[0].strip())
        for name, places in found.items():
            if len(places) > 1:
                logger.warning("two installed packages have a model called %s: %s", name, ", ".join(sorted(places)))
        return {name: next(iter(places)) for name, places in found.items() if len(places) == 1}


def start_tensors(adapter: ModelAdapter, seed: int) -> dict[str, Any]:
    """All tensors before the first round.

    Raises:
        PlanError: the model makes other ones than it says, or numbers that are none.
    """
    try:
        return adapter.tensors.check(adapter.initial(seed))
    except (ShapeError, ConfigError) as exc:
        raise PlanError(f"a model that does not begin: {exc.message}", hint=exc.hint, refusal=Refusal.DATA) from exc


def check_clear(
    name: str, adapter: ModelAdapter, *, plain: bool, kind: type[ConfigError] | type[PlanError] = ConfigError
) -> None:
    """Refuse to encrypt what must be seen.

    Raises:
        ConfigError, or `kind`: says why.
    """
    if adapter.in_the_clear and not plain:
        raise kind(
            f"the model {name} {adapter.in_the_clear}",
            hint='send updates in the clear: the scheme "plain" (--plain); or choose another model',
        )


def check_models(listed: Mapping[str, object]) -> dict[str, str]:
    """A `[models]` table: places by name.

    Raises:
        ConfigError: a name or a place that cannot be one.
    """
    for name, place in listed.items():
        check_model_name(name)
        if not isinstance(place, str) or len(place) > 500 or not _PLACE.fullmatch(place):
            raise ConfigError(
                f"the model {name}: expected where its function is, got {place!r:.80}",
                hint=f'write "module:function": {name} = "my_models:build"',
            )
    return {name: str(place) for name, place in listed.items()}


def _difference(spec: AdapterSpec, adapter: ModelAdapter) -> str:
    """The first tensor that differs, in words."""
    told = {each.name: each for each in spec.tensors.tensors}
    own = {each.name: each for each in adapter.tensors.tensors}
    for name in [*told, *own]:
        if told.get(name) != own.get(name):
            shapes = [f"{each.kind} of {each.shape}" if each else "none" for each in (told.get(name), own.get(name))]
            return f"{name}: {shapes[0]} there, {shapes[1]} here"
    return "another order"
