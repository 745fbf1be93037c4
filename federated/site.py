"""A site: its data, its copy of the model, the key. Nothing here knows how messages travel.

Threat model: a site is honest. It holds the key, so it can open every sum, and with a coordinator in league every
update. It never sends rows, nor the text of an exception.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Hashable
from copy import copy
from typing import TypeVar

from ..core import SavedModel, build, derive_rng
from ..privacy import (
    NO_KEY,
    AttemptJournal,
    Budget,
    Cipher,
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
from .errors import PlanError, Refusal
from .local_training import LocalRows, LocalTrainer, NetworkTrainer
from .refusals import refusal_of
from .rounds import ClientUpdate, MaskRequest, RoundPlan
from .rows import Rows
from .session import Session, agreed_by_sites
from .shared_models import SharedModels
from .site_masks import SiteMasks

T = TypeVar("T")


class Site:
    """One participant.

    Args:
        identity: names it and signs what it sends.
        train: raw rows it learns from.
        validation: raw rows it measures on.
        cipher: protects what it sends and opens the sums.
        coordinator: who must have signed messages and sums.
        journal: of the attempts it has answered, kept over crashes: it answers each once, and leaves a key for good.
        masks: hides its updates under the encryption, and takes part in masked runs only. None leaves them to the
            encryption alone: then the coordinator and any one site read every update.
        budget: charged with each answer, and refuses those beyond it.
        trainer: what it trains with; networks of the core by default.
        shared: by sites of one process with the same key and task, so that each sum is opened once; for simulation.
    """

    def __init__(
        self,
        identity: Identity,
        train: Rows,
        validation: Rows,
        cipher: Cipher,
        *,
        coordinator: PublicIdentity,
        journal: AttemptJournal,
        masks: SiteMasks | None,
        budget: Budget | None = None,
        trainer: LocalTrainer | None = None,
        shared: SharedModels | None = None,
    ) -> None:
        self.name = identity.public.name
        self._identity = identity
        self._train = train
        self._validation = validation
        self._cipher = cipher
        self.coordinator = coordinator
        self._journal = journal
        self._masks = masks
        self._budget = budget
        self._trainer = trainer or NetworkTrainer()
        self._shared = shared
        self._session: Session | None = None
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
        if plan.round > session.round > 0:
            self._take_step(session, plan)
        key = self._cipher.derive_key(b"model tag")
        model_tag = self._share("tag", plan, (session.chain, key), lambda: session.tag(key))
        session.note(plan)
        idle = plan.phase == "report" or not plan.take_part
        update, trained, encrypted = (b"", 0.0, 0.0) if idle else self._work(session, plan)
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
        model.load_state(session.state())
        return SavedModel(session.spec, model.eval(), session.preprocessing, {"run": session.agreed.run})

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

    def _join(self, plan: RoundPlan) -> Session:
        """The session a plan belongs to, which is a new one in the first round of a run."""
        if self._journal.has_left(self._cipher.key_id):
            raise PlanError(
                f"{self.name} got a sum that was tampered with, and follows no plan under this key any more",
                hint="find out how that was done; then make a new key: nasturtium keys rotate",
                refusal=Refusal.KEY,
            )
        if plan.quantisation.preset != self._cipher.preset.name:
            raise PlanError(
                f"{self.name} protects with {self._cipher.preset.name}, the plan asks for {plan.quantisation.preset}",
                refusal=Refusal.KEY,
            )
        if (plan.masks is not None) != (self._masks is not None):
            asks = "asks for masks" if plan.masks else "has none"
            raise PlanError(
                f"{self.name} masks {'all' if self._masks else 'none'} of its updates, and the plan {asks}",
                refusal=Refusal.MASKS,
            )
        if plan.privacy is not None and plan.masks is not None and plan.masks.threshold < plan.privacy.fewest_sites:
            raise PlanError(
                f"masks that come off with {plan.masks.threshold} sites bare sums of fewer than the "
                f"{plan.privacy.fewest_sites} whose noise hides them",
                refusal=Refusal.MASKS,
            )
        session = self._session
        try:
            if session is None or session.agreed.run != plan.run:
                task, preset, key = self._train.task, self._cipher.preset, (plan.round, *agreed_by_sites(plan))
                session = copy(self._share("begin", plan, key, lambda: Session.begin(plan, task, preset)))
            session.check_next(plan)
        except PlanError as exc:
            raise PlanError(f"{self.name}: {exc.message}", hint=exc.hint, refusal=exc.refusal) from exc
        self._session = session
        return session

    def _take_step(self, session: Session, plan: RoundPlan) -> None:
        """Open the sum of the last round and move the model by it."""
        total = plan.total
        try:
            sitting = session.sitting(total)
            key = (sitting, session.chain, hashlib.sha256(total).digest())
            step = self._share("step", plan, key, lambda: session.step(self._open(sitting, total), total))
            session.take(step, self._identity.public.id)
        except UpdateRejectedError as exc:
            raise PlanError(
                f"{self.name} got no sum of round {plan.round - 1} of run {plan.run}: {exc.message}",
                refusal=refusal_of(exc),
            ) from exc

    def _open(self, sitting: Sitting, total: bytes) -> OpenedSum:
        try:
            return open_sum(self._cipher, sitting, total, coordinator=self.coordinator)
        except UpdateRejectedError:
            raise
        except PrivacyError:
            # The coordinator signed what is no sum. What a site did with more of that could tell of the key.
            if self._cipher.key_id != NO_KEY:
                self._journal.leave(self._cipher.key_id)
            raise

    def _share(self, kind: str, plan: RoundPlan, key: Hashable, make: Callable[[], T]) -> T:
        """What the sites of this process compute once; see `SharedModels`."""
        return make() if self._shared is None else self._shared.recall(kind, plan.run, key, make)

    def _work(self, session: Session, plan: RoundPlan) -> tuple[bytes, float, float]:
        """The protected update, and the seconds of training and of protecting it."""
        started = time.perf_counter()
        if self._budget is not None:
            self._budget.authorise([(session.symbols.event(), 1)])
        rows = LocalRows(self.name, self._train, self._validation)
        contribution = self._trainer.train(session, plan, rows)
        trained_at = time.perf_counter()
        rounding = derive_rng(plan.seed, "rounding", self.name, plan.round, plan.attempt)
        symbols = session.say(contribution, rounding)
        mask = self._mask(session, plan)
        sitting = session.sitting()
        update = protect(self._cipher, sitting, symbols, signer=self._identity, mask=mask).to_bytes()
        return update, trained_at - started, time.perf_counter() - trained_at

    def _mask(self, session: Session, plan: RoundPlan) -> Mask | None:
        """The mask of this site's update. With or without one, the attempt counts as answered from here on."""
        if plan.masks is None:
            self._journal.claim(plan.run, plan.round, plan.attempt)
            return None
        modulus = self._cipher.preset.plain_modulus
        return self._must_mask().mask(plan, layout=session.meaning, modulus=modulus)

    def _must_mask(self) -> SiteMasks:
        if self._masks is None:
            raise PlanError(f"{self.name} has no roster to make masks with", refusal=Refusal.MASKS)
        return self._masks
