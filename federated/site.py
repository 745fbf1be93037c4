"""A site: its data, its copy of the model, the key. Nothing here knows how messages travel.

Threat model: a site is honest. It holds the key, so it can open every sum, and with a coordinator in league every
update. It never sends rows, nor the text of an exception.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass

import numpy as np

from ..core import (
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
from ..privacy import (
    Budget,
    Cipher,
    EncryptedSum,
    Identity,
    Mask,
    OpenedSum,
    PrivacyError,
    PublicIdentity,
    Sitting,
    UpdateRejectedError,
    open_sum,
    protect,
)
from ..storage import SignedHead
from .errors import PlanError
from .private_symbols import PrivateSymbols, layout_sha256, make_symbols
from .rounds import ClientUpdate, MaskRequest, RoundPlan, SiteReport
from .site_masks import SiteMasks
from .symbols import Contribution, UpdateSymbols


@dataclass(slots=True)
class _Session:
    """A site's part of one run."""

    run: str
    spec: ModelSpec
    layout: ParameterLayout
    preprocessing: Preprocessing
    symbols: UpdateSymbols | PrivateSymbols
    sha256: str  # of what the updates mean, as hex: the model's layout and all that the plan says of symbols
    vector: np.ndarray  # the model all sites agree on, flat, float32
    ranges: np.ndarray  # of the quantised tensors, which all sites agree on, too
    round: int = 0  # of the last plan that was followed
    attempt: int = 0  # at that round
    report: SiteReport | None = None  # of that round
    chain: bytes = b""  # hash of all sums that were opened

    def sitting(self, round: int, attempt: int, *, masked: bool) -> Sitting:
        """What an update or a sum of a round must belong to."""
        return Sitting(
            run=self.run,
            round=round,
            attempt=attempt,
            layout=self.sha256,
            values=self.symbols.values,
            masked=masked,
        )


class Site:
    """One participant.

    Args:
        identity: names it and signs what it sends.
        train: raw rows it learns from.
        validation: raw rows it measures on.
        cipher: protects what it sends and opens the sums.
        coordinator: who must have signed the sums.
        masks: hides its updates under the encryption; without, it follows no plan that asks for masks.
        budget: charged with each answer, and refuses those beyond it.
    """

    def __init__(
        self,
        identity: Identity,
        train: Dataset,
        validation: Dataset,
        cipher: Cipher,
        *,
        coordinator: PublicIdentity,
        masks: SiteMasks | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.name = identity.public.name
        self._identity = identity
        self._train = train
        self._validation = validation
        self._cipher = cipher
        self._coordinator = coordinator
        self._masks = masks
        self._budget = budget
        self._session: _Session | None = None
        self._betrayed = False  # the coordinator signed a sum under this key that is none
        self.ledger_head: SignedHead | None = None  # the newest of the coordinator's privacy ledger

    @property
    def identity(self) -> PublicIdentity:
        """Who it is."""
        return self._identity.public

    def follow(self, plan: RoundPlan) -> ClientUpdate:
        """Take the step the last sum says, then do what the plan's phase asks for.

        Raises:
            PlanError: the plan is of another run or out of order, or its sum is not of the round before.
            PrivacyError: the sum cannot be opened, the local training diverged, or the site's budget is spent.
        """
        started = time.perf_counter()
        self._keep_head(plan)
        session = self._join(plan)
        if plan.round > session.round:
            session.report = self._take_step(session, plan) if plan.round > 1 else None
        model_tag = self._tag_model(session)
        # From here on the plan counts as followed: the step is taken once, and a site that fails below stays in step.
        session.round, session.attempt = plan.round, plan.attempt
        update, trained, encrypted = (b"", 0.0, 0.0) if plan.phase == "report" else self._work(session, plan)
        return ClientUpdate(
            update=update,
            model_tag=model_tag,
            report=session.report,
            seconds=time.perf_counter() - started,
            train_seconds=trained,
            encrypt_seconds=encrypted,
        )

    def answer(self, request: MaskRequest) -> bytes:
        """Take a step towards the masks of a round, or of taking them out of its sum.

        Raises:
            PlanError: this site has no masks, or the request does not fit what it knows.
            PrivacyError: the step cannot be taken.
        """
        return self._must_mask().answer(request, self._cipher.preset.plain_modulus)

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
        if self._betrayed:
            raise PlanError(
                f"{self.name} got a sum that was tampered with, and follows no plan of this coordinator any more",
                hint="find out how; then make a new key: nasturtium keys rotate",
            )
        if plan.quantisation.preset != self._cipher.preset.name:
            raise PlanError(
                f"{self.name} protects with {self._cipher.preset.name}, the plan asks for {plan.quantisation.preset}"
            )
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
            symbols = make_symbols(model, self._cipher.preset, plan.privacy)
            session = self._session = _Session(
                run=plan.run,
                spec=spec,
                layout=layout,
                preprocessing=preprocessing,
                symbols=symbols,
                sha256=layout_sha256(symbols, plan.quantisation, plan.privacy),
                vector=layout.flatten(model.state()),
                ranges=symbols.first_ranges(plan.quantisation.bound),
            )
        if plan.privacy is not None and plan.masks is not None and plan.masks.threshold < plan.privacy.fewest_sites:
            raise PlanError(
                f"masks that come off with {plan.masks.threshold} sites bare sums of fewer than the "
                f"{plan.privacy.fewest_sites} whose noise hides them"
            )
        if session.sha256 != layout_sha256(session.symbols, plan.quantisation, plan.privacy):
            raise PlanError(f"the plan for round {plan.round} has other ranges or other noise than the run began with")
        again = plan.round == session.round and plan.attempt > session.attempt
        if not again and plan.round != session.round + 1:
            raise PlanError(
                f"{self.name} has done attempt {session.attempt} at round {session.round}, "
                f"got a plan for attempt {plan.attempt} at round {plan.round}"
            )
        return session

    def _tag_model(self, session: _Session) -> str:
        """What tells sites' models apart, and nothing else: keyed, and different after other sums.

        A plain hash would tell the coordinator what a sum of its own making does to a model it can guess.
        """
        key = self._cipher.derive_key(b"model tag") or bytes(32)
        run = session.run.encode().ljust(32, b"\0")
        return hmac.new(key, run + session.chain + session.vector.tobytes(), hashlib.sha256).hexdigest()

    def _take_step(self, session: _Session, plan: RoundPlan) -> SiteReport:
        """Open the sum of the last round and move the model by the weighted mean of all changes (FedAvg).

        Source: McMahan et al. 2017, https://arxiv.org/abs/1602.05629, algorithm 1.
        """
        try:
            # The sum may be of a later attempt than this site's last: the others were asked again.
            attempt = max(session.attempt, EncryptedSum.from_bytes(plan.total).header.attempt)
            sitting = session.sitting(plan.round - 1, attempt, masked=self._masks is not None)
            opened = self._open(sitting, plan.total)
            total = session.symbols.decode(opened.sums, len(opened.senders), session.ranges)
        except UpdateRejectedError as exc:
            raise PlanError(
                f"{self.name} got no sum of round {plan.round - 1} of run {plan.run}: {exc.message}"
            ) from exc
        measured = total.measured
        loss = round(measured.loss, 3) if measured.rows else 0.0
        report = SiteReport(model_round=plan.round - 2, rows=measured.rows, correct=measured.correct, loss=loss)
        session.chain = hashlib.sha256(session.chain + plan.total).digest()
        if total.weight > 0:  # a round that only measured has no changes to take
            session.vector = (session.vector + total.change / total.weight).astype(np.float32)
            if plan.quantisation.rule == "last-sum":
                session.ranges = session.symbols.next_ranges(session.ranges, total)
        return report

    def _open(self, sitting: Sitting, total: bytes) -> OpenedSum:
        try:
            return open_sum(self._cipher, sitting, total, coordinator=self._coordinator)
        except UpdateRejectedError:
            raise
        except PrivacyError:
            # The coordinator signed what is no sum. What a site did with more of that could tell of the key.
            self._betrayed = True
            raise

    def _work(self, session: _Session, plan: RoundPlan) -> tuple[bytes, float, float]:
        """The protected update, and the seconds of training and of protecting it."""
        started = time.perf_counter()
        if self._budget is not None:
            self._budget.authorise([(session.symbols.event(), 1)])
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
            weight = session.symbols.weight(len(self._train), training.max_rows)
            trained = session.layout.flatten(model.state())
            change = weight * (trained.astype(np.float64) - session.vector)
        trained_at = time.perf_counter()
        rounding = derive_rng(plan.seed, "rounding", self.name, plan.round, plan.attempt)
        symbols = session.symbols.encode(Contribution(change, weight, measured), session.ranges, rounding)
        sitting = session.sitting(plan.round, plan.attempt, masked=self._masks is not None)
        mask = self._mask(plan)
        update = protect(self._cipher, sitting, symbols, signer=self._identity, mask=mask).to_bytes()
        return update, trained_at - started, time.perf_counter() - trained_at

    def _mask(self, plan: RoundPlan) -> Mask | None:
        """The mask of this site's update; a site that masks does so always."""
        if plan.masks is None and self._masks is None:
            return None
        if plan.masks is None:
            raise PlanError(f"{self.name} masks its updates, and the plan has no masks")
        return self._must_mask().mask(
            plan.masks,
            plan.shares,
            run=plan.run,
            round=plan.round,
            attempt=plan.attempt,
            modulus=self._cipher.preset.plain_modulus,
        )

    def _must_mask(self) -> SiteMasks:
        if self._masks is None:
            raise PlanError(f"{self.name} has no roster to make masks with")
        return self._masks
