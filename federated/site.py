"""A site: its data, its copy of the model, the key. Nothing here knows how messages travel.

Threat model: a site is honest. It holds the key, so it can open every sum, and with a coordinator in league every
update. It never sends rows, nor the text of an exception.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

import numpy as np

from ..core import (
    Metrics,
    ModelSpec,
    ParameterLayout,
    SavedModel,
    Trainer,
    TrainingConfig,
    build,
    derive_rng,
    evaluate,
    parse_json,
)
from ..core.data import Dataset, Preprocessing
from ..privacy import Cipher, EncryptedSum, EncryptedUpdate, FixedPoint, Header
from ..storage import SignedHead
from .errors import PlanError
from .rounds import EXTRA_VALUES, MIN_SUMMANDS, ClientUpdate, RoundPlan, SiteReport

VALUES = FixedPoint(24)  # weighted changes, of magnitude at most 256: running variances move far
LOSSES = FixedPoint(10)  # summed losses, at most 4,194,304 nats
COUNTS = FixedPoint(0)


@dataclass(slots=True)
class _Session:
    """A site's part of one run."""

    run: str
    spec: ModelSpec
    layout: ParameterLayout
    preprocessing: Preprocessing
    vector: np.ndarray  # the model all sites agree on, flat, float32
    round: int = 0  # of the last plan that was followed


class Site:
    """One participant.

    Args:
        name: how the coordinator knows it.
        train: raw rows it learns from.
        validation: raw rows it measures on.
        cipher: protects what it sends and opens the sums.
    """

    def __init__(self, name: str, train: Dataset, validation: Dataset, cipher: Cipher) -> None:
        self.name = name
        self._train = train
        self._validation = validation
        self._cipher = cipher
        self._session: _Session | None = None
        self.ledger_head: SignedHead | None = None  # the newest of the coordinator's privacy ledger

    def follow(self, plan: RoundPlan) -> ClientUpdate:
        """Take the step the last sum says, then do what the plan's phase asks for.

        Raises:
            PlanError: the plan is of another run or out of order, or its sum is not of the round before.
            PrivacyError: the sum cannot be opened, or the local training diverged.
        """
        started = time.perf_counter()
        self._keep_head(plan)
        session = self._join(plan)
        report = self._take_step(session, plan) if plan.round > 1 else None
        model_sha256 = hashlib.sha256(session.vector.tobytes()).hexdigest()
        # From here on the plan counts as followed: the step is taken once, and a site that fails below stays in step.
        session.round = plan.round
        update, trained, encrypted = (b"", 0.0, 0.0) if plan.phase == "report" else self._work(session, plan)
        return ClientUpdate(
            update=update,
            model_sha256=model_sha256,
            report=report,
            seconds=time.perf_counter() - started,
            train_seconds=trained,
            encrypt_seconds=encrypted,
        )

    def release(self) -> SavedModel:
        """Give the model out: a decision of the site, not a message the coordinator can send.

        Raises:
            PlanError: there is none yet.
        """
        if self._session is None:
            raise PlanError(f"{self.name} has no model: it has not taken part in a run")
        session = self._session
        model = build(session.spec, derive_rng(0, "replaced below"))
        model.load_state(session.layout.unflatten(session.vector))
        return SavedModel(session.spec, model.eval(), session.preprocessing, {"run": session.run})

    def _keep_head(self, plan: RoundPlan) -> None:
        """Keep the head of the coordinator's ledger: of the same ledger and signer as the one before, and no shorter.

        That it goes on from the one before is shown by verifying the ledger with the heads that were kept.
        """
        if not plan.ledger_head:
            return
        head, kept = SignedHead.from_json(plan.ledger_head), self.ledger_head
        head.verify()
        if kept is not None and (
            (head.ledger, head.signer) != (kept.ledger, kept.signer)
            or head.sequence < kept.sequence
            or (head.sequence == kept.sequence and head.hash != kept.hash)
        ):
            raise PlanError(
                f"the coordinator's privacy ledger does not go on from entry {kept.sequence}, which {self.name} keeps",
                hint="ask the coordinator to verify its ledger with the kept head: nasturtium privacy verify --head",
            )
        self.ledger_head = head

    def _join(self, plan: RoundPlan) -> _Session:
        session = self._session
        if session is None or session.run != plan.run:
            if plan.round != 1:
                raise PlanError(f"{self.name} was asked to join run {plan.run} in round {plan.round}, expected 1")
            spec = ModelSpec.from_json(plan.spec)
            preprocessing = Preprocessing.from_dict(parse_json(plan.preprocessing))
            if preprocessing.task != self._train.task:
                raise PlanError(f"the plan's task is not that of the data of {self.name}")
            model = build(spec, derive_rng(plan.seed, "weights"))
            layout = ParameterLayout.of(model)
            session = self._session = _Session(plan.run, spec, layout, preprocessing, layout.flatten(model.state()))
        if plan.round != session.round + 1:
            raise PlanError(f"{self.name} has done round {session.round}, got a plan for round {plan.round}")
        return session

    def _take_step(self, session: _Session, plan: RoundPlan) -> SiteReport:
        """Open the sum of the last round and move the model by the weighted mean of all changes (FedAvg).

        Source: McMahan et al. 2017, https://arxiv.org/abs/1602.05629, algorithm 1.
        """
        total = EncryptedSum.from_bytes(plan.total)
        said, values = total.header, session.layout.size + EXTRA_VALUES
        expected = (self._cipher.scheme, self._cipher.key_id, plan.run, plan.round - 1, session.layout.sha256, values)
        if (said.scheme, said.key_id, said.run, said.round, said.layout, said.values) != expected:
            raise PlanError(f"{self.name} got a sum that does not belong to round {plan.round - 1} of run {plan.run}")
        if said.summands < MIN_SUMMANDS:
            raise PlanError(f"{self.name} got a sum of {said.summands} updates, expected at least {MIN_SUMMANDS}")
        changes, weight, measured = _decode(self._cipher.decrypt(total.body, values))
        if weight > 0:  # a round that only measured has no changes to take
            session.vector = (session.vector + changes / weight).astype(np.float32)
        loss = round(measured.loss, 3) if measured.rows else 0.0
        return SiteReport(model_round=plan.round - 2, rows=measured.rows, correct=measured.correct, loss=loss)

    def _work(self, session: _Session, plan: RoundPlan) -> tuple[bytes, float, float]:
        """The protected update, and the seconds of training and of protecting it."""
        started = time.perf_counter()
        # The weights are replaced; what stays is the randomness of its layers, which differs by site and round.
        model = build(session.spec, derive_rng(plan.seed, "layers", self.name, plan.round))
        model.load_state(session.layout.unflatten(session.vector))
        prepare = session.preprocessing.apply
        measured = evaluate(model, prepare(self._validation.inputs), self._validation.labels)
        change = np.zeros(session.layout.size)
        weight = 0.0
        if plan.phase == "train":
            training = plan.training
            config = TrainingConfig(
                learning_rate=training.learning_rate,
                schedule="constant",
                weight_decay=training.weight_decay,
                batch_size=training.batch_size,
                epochs=training.epochs,
                patience=None,
            )
            Trainer(model, config, derive_rng(plan.seed, "shuffle", self.name, plan.round)).fit(
                prepare(self._train.inputs), self._train.labels
            )
            weight = min(1.0, len(self._train) / training.max_rows)
            trained = session.layout.flatten(model.state())
            change = weight * (trained.astype(np.float64) - session.vector)
        trained_at = time.perf_counter()
        header = Header(
            scheme=self._cipher.scheme,
            key_id=self._cipher.key_id,
            run=plan.run,
            round=plan.round,
            sender=self.name,
            layout=session.layout.sha256,
            values=session.layout.size + EXTRA_VALUES,
            summands=1,
        )
        update = EncryptedUpdate(header, self._cipher.encrypt(_encode(change, weight, measured))).to_bytes()
        return update, trained_at - started, time.perf_counter() - trained_at


def _encode(change: np.ndarray, weight: float, measured: Metrics) -> np.ndarray:
    """The integers of an update: the weighted change, then `EXTRA_VALUES` more."""
    return np.concatenate(
        [
            VALUES.encode(change),
            VALUES.encode(np.array([weight])),
            COUNTS.encode(np.array([measured.rows, measured.correct])),
            LOSSES.encode(np.array([measured.loss_sum])),
        ]
    )


def _decode(sums: np.ndarray) -> tuple[np.ndarray, float, Metrics]:
    """The inverse of `_encode`, for a sum of updates."""
    changes, (weight, rows, correct, loss) = sums[:-EXTRA_VALUES], np.split(sums[-EXTRA_VALUES:], EXTRA_VALUES)
    measured = Metrics(float(LOSSES.decode(loss)[0]), int(correct[0]), int(rows[0]))
    return VALUES.decode(changes), float(VALUES.decode(weight)[0]), measured
