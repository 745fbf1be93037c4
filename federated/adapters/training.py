"""`SiteTrainer`: trains whatever a plan names, networks of the core and models of the site's owner alike."""

from __future__ import annotations

import numpy as np

from ...core import ConfigError, Metrics, ShapeError, derive_rng
from ...core.data import Task
from ..errors import PlanError, Refusal
from ..protocol.rounds import RoundPlan
from ..site.local_training import LocalRows, LocalTrainer, NetworkTrainer
from ..site.session import Session
from ..updates.symbols import Contribution
from .base import LocalExamples, ModelAdapter, evaluate_adapter
from .catalogue import ModelCatalogue, start_tensors
from .saved import AdaptedModel
from .spec import AdapterSpec


class SiteTrainer:
    """See `LocalTrainer`.

    Args:
        models: that this site has.
        networks: trains networks of the core.
    """

    def __init__(self, models: ModelCatalogue, networks: LocalTrainer | None = None) -> None:
        self._models = models
        self._networks = networks or NetworkTrainer()

    def train(self, session: Session, plan: RoundPlan, rows: LocalRows) -> Contribution:
        """See `LocalTrainer`.

        Raises:
            PlanError: the site does not have the model, or its training diverged.
        """
        if not isinstance(session.spec, AdapterSpec):
            return self._networks.train(session, plan, rows)
        adapter, tensors = self._open(session, session.spec)
        prepare = session.preprocessing.apply
        try:
            measured = Metrics(0.0, 0, 0)
            if session.symbols.measures:
                measured = evaluate_adapter(
                    adapter, tensors, prepare(rows.validation.inputs), np.asarray(rows.validation.labels)
                )
            if plan.phase != "train":
                return Contribution(np.zeros(session.layout.size), 0.0, measured)
            rng = derive_rng(plan.seed, "shuffle", rows.site, plan.round)
            examples = LocalExamples(rows.site, prepare(rows.train.inputs), np.asarray(rows.train.labels))
            trained = adapter.tensors.check(adapter.train(tensors, examples, plan.training, rng))
        except (ConfigError, ShapeError) as exc:
            raise PlanError(
                f"the model {session.spec.name}: {exc.message}", hint=exc.hint, refusal=Refusal.DATA
            ) from exc
        weight = session.symbols.weight(len(rows.train), plan.training.max_rows)
        travelling = {name for name, _, _ in session.layout.entries}
        moved = session.layout.flatten({name: trained[name] for name in travelling})
        return Contribution(
            weight * (moved.astype(np.float64) - session.vector),
            weight,
            measured,
            local={name: array for name, array in trained.items() if name not in travelling},
        )

    def start(self, spec: AdapterSpec, task: Task, plan: RoundPlan) -> dict[str, np.ndarray]:
        """The tensors that a run begins with; see `session.Start`."""
        adapter = self._models.open(spec, task, plain=is_plain(plan))
        return start_tensors(adapter, plan.seed)

    def release(self, session: Session, spec: AdapterSpec, *, common: bool = False) -> AdaptedModel:
        """The model of a run, as its own library has it, too.

        Args:
            session: of the run.
            spec: of its model.
            common: what stays at each site is as it is where the run begins: the same at all.

        Raises:
            PlanError: the site does not have the code any more.
        """
        adapter, tensors = self._open(session, spec)
        if common:
            shared = session.layout.unflatten(session.vector)
            tensors = adapter.tensors.check(start_tensors(adapter, session.agreed.seed) | shared, finite=False)
        return AdaptedModel(spec, adapter, tensors, session.preprocessing, {"run": session.agreed.run})

    def _open(self, session: Session, spec: AdapterSpec) -> tuple[ModelAdapter, dict[str, np.ndarray]]:
        """The model of a run, and its tensors at this site."""
        adapter = self._models.open(spec, session.preprocessing.task, plain=is_plain(session.agreed))
        tensors = session.state()
        if len(tensors) < len(adapter.tensors.tensors):  # what never left a site begins where the model begins
            tensors = start_tensors(adapter, session.agreed.seed) | tensors
        return adapter, adapter.tensors.check(tensors, finite=False)


def is_plain(plan: RoundPlan) -> bool:
    """Whether the updates of a run travel without encryption."""
    return plan.quantisation.scheme.startswith("plain")
