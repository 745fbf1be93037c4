"""A site: its data, its copy of the model, the key. Nothing here knows how messages travel.

Threat model: a site is honest. It holds the key, so it can open every sum, and with a coordinator in league every
update. It never sends rows, nor the text of an exception.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from copy import copy
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import numpy as np

from ...core import SavedModel, build, canonical_json, derive_rng
from ...core.data import Task
from ...privacy import (
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
from ...storage import SignedHead
from ..adapters.catalogue import ModelCatalogue
from ..adapters.saved import AdaptedModel
from ..adapters.spec import AdapterSpec, tensors_of
from ..adapters.training import SiteTrainer
from ..agreement.conform import conform
from ..agreement.plan import AgreementAnswer, AgreementPlan
from ..agreement.schema import Schema
from ..agreement.store import AgreementStore
from ..errors import PlanError, Refusal
from ..protocol.handshake import columns_of, schema_sha256
from ..protocol.queries import (
    ANSWER_DOMAIN,
    PLAN_VERSION,
    WIRE_VERSION,
    CheckpointRequest,
    HelloRequest,
    HelloVerdict,
    SiteHello,
    package_version,
)
from ..protocol.release import RELEASE_KEY, ReleaseConsent, ReleaseRequest
from ..protocol.rounds import ClientUpdate, MaskRequest, RoundPlan
from ..released_model import pack_model
from ..site_data.rows import Rows
from .agreements import SiteAgreements
from .checkpoint import Peers, open_checkpoint, seal_checkpoint
from .ciphers import PACKED, Ciphers, OneCipher
from .local_training import LocalRows, LocalTrainer
from .masks import SiteMasks, check_masks
from .refusals import refusal_of
from .release import Offer, consent_to, seal_offer
from .session import Session, agreed_by_sites
from .shared_models import SharedModels
from .state import SiteStates
from .weight_pool import WeightPools

logger = logging.getLogger(__name__)

T = TypeVar("T")
Tells = Literal["rows", "columns", "norms"]
MAX_SESSIONS: Final = 64


@dataclass(frozen=True, slots=True)
class _Work:
    """What a site made of a plan.

    Attributes:
        update: protected; empty where nothing was to be made.
        train_seconds, encrypt_seconds: that it took.
        norm: of the weighted change.
        clipped: whether that was cut; None where nothing is.
    """

    update: bytes = b""
    train_seconds: float = 0.0
    encrypt_seconds: float = 0.0
    norm: float | None = None
    clipped: bool | None = None


class Site:
    """One participant.

    Args:
        identity: names it and signs what it sends.
        train: raw rows it learns from.
        validation: raw rows it measures on.
        cipher: protects what it sends and opens the sums; or all those that plans may ask for.
        coordinator: who must have signed messages and sums.
        journal: of the attempts it has answered, kept over crashes: it answers each once, and leaves a key for good.
        masks: hides its updates under the encryption, and takes part in masked runs only. None leaves them to the
            encryption alone: then the coordinator and any one site read every update.
        must_mask: whether a site that has masks takes no part in runs without.
        budget: charged with each answer, and refuses those beyond it.
        trainer: what it trains networks of the core with; `NetworkTrainer` by default.
        models: that its owner has brought; by default those that are installed.
        shared: by sites of one process with the same key and task, so that each sum is opened once; for simulation.
        states: keeps its sessions over restarts; None keeps them in memory, where they go with the process.
        agreements: keeps what was agreed on over restarts; None keeps it in memory.
        peers: the members of its roster, to whom it gives its state when they are behind, and from whom it takes
            theirs; None for nobody.
        tells: what its policy lets it tell of itself: "rows", "columns", "norms" of its updates.
        actions: what its policy allows it to do, to be told.
    """

    def __init__(
        self,
        identity: Identity,
        train: Rows,
        validation: Rows,
        cipher: Cipher | Ciphers,
        *,
        coordinator: PublicIdentity,
        journal: AttemptJournal,
        masks: SiteMasks | None,
        must_mask: bool = True,
        budget: Budget | None = None,
        trainer: LocalTrainer | None = None,
        models: ModelCatalogue | None = None,
        shared: SharedModels | None = None,
        states: SiteStates | None = None,
        agreements: AgreementStore | None = None,
        peers: Peers | None = None,
        tells: Collection[Tells] = (),
        actions: Collection[str] = (),
    ) -> None:
        self.name = identity.public.name
        self._identity = identity
        self._train = train
        self._validation = validation
        self._ciphers = cipher if isinstance(cipher, Ciphers) else OneCipher(cipher)
        self.coordinator = coordinator
        self._journal = journal
        self._masks = masks
        self._must_mask = must_mask
        self._budget = budget
        self._trainer = SiteTrainer(models or ModelCatalogue(), trainer)
        self._shared = shared
        self._states = states or SiteStates(None)
        self._agreements = SiteAgreements(
            identity,
            train,
            self._ciphers,
            coordinator=coordinator,
            journal=journal,
            masks=masks,
            must_mask=must_mask,
            budget=budget,
            store=agreements,
        )
        self._pools = WeightPools(self._states.folder)
        self._peers = peers
        self._tells = frozenset(tells)
        self._actions = tuple(actions)
        self._conformed: LocalRows | None = None  # the rows under the task that was asked for last
        self._sessions: OrderedDict[str, Session] = OrderedDict()  # by run; the one that was used last is the last
        self.ledger_head = self._states.ledger_head()  # the newest of the coordinator's privacy ledger

    @property
    def identity(self) -> PublicIdentity:
        """Who it is."""
        return self._identity.public

    def sign_answer(self, message: bytes) -> bytes:
        """The site's signature of an answer, 64 bytes."""
        return self._identity.sign(ANSWER_DOMAIN, message)

    def follow(self, plan: RoundPlan) -> ClientUpdate:
        """Take the step the last sum says, then do what the plan's phase asks for.

        Raises:
            PlanError: the plan is of another run or out of order, or its sum is not of the round before.
            PrivacyError: the sum cannot be opened, the local training diverged, or the site's budget is spent.
        """
        started = time.perf_counter()
        self._keep_head(plan.ledger_head)
        session = self._join(plan)
        if plan.round > session.round > 0:
            if plan.total:
                self._take_step(session, plan)
            else:
                session.skip()
        key = self._ciphers.derive_key(b"model tag")
        model_tag = self._share("tag", plan, (session.chain, key), lambda: session.tag(key))
        session.note(plan)
        # The step is on the disk before anything is made of it: it is never taken twice, and an attempt that was begun
        # is not answered after a crash.
        self._states.save(session)
        self._give_back(session)
        if plan.phase == "report" or not plan.take_part:
            work = _Work()
        else:
            work = self._work(session, plan)
            if session.pending:
                self._states.save(session)
        return ClientUpdate(
            update=work.update,
            model_tag=model_tag,
            report=session.report,
            seconds=time.perf_counter() - started,
            train_seconds=work.train_seconds,
            encrypt_seconds=work.encrypt_seconds,
            rows=len(self._train) if work.update and "rows" in self._tells else None,
            update_norm=work.norm if "norms" in self._tells else None,
            clipped=work.clipped if "norms" in self._tells else None,
        )

    def answer(self, request: MaskRequest) -> bytes:
        """Take a step towards the masks of a round, or of taking them out of its sum.

        Raises:
            PlanError: this site has no masks, or the request does not fit what it knows.
            PrivacyError: the step cannot be taken.
        """
        modulus = self._ciphers.find(request.preset, PACKED).preset.plain_modulus
        return self._masks_of_site().answer(request, modulus)

    def agree(self, plan: AgreementPlan) -> AgreementAnswer:
        """Answer a question about the rows, or open the sum of all answers to it; see `SiteAgreements`."""
        self._keep_head(plan.ledger_head)
        return self._agreements.answer(plan)

    def hello(self, request: HelloRequest) -> SiteHello:
        """Say what this site is, as far as its policy lets it."""
        task = self._train.task
        return SiteHello(
            package=package_version(),
            wire=WIRE_VERSION,
            plans=PLAN_VERSION,
            schemes=self._ciphers.schemes,
            key_id=self._ciphers.key_id,
            masks=self._masks is not None,
            must_mask=self._masks is not None and self._must_mask,
            roster_sha256="" if self._peers is None else self._peers.roster_sha256,
            columns=columns_of(task) if "columns" in self._tells else (),
            schema_sha256=schema_sha256(task),
            schema=canonical_json(Schema.of(task).to_dict()) if "columns" in self._tells else "",
            actions=self._actions,
            rows=len(self._train) if "rows" in self._tells else None,
            rounds=self._rounds(request),
        )

    def _rounds(self, request: HelloRequest) -> dict[str, int]:
        """How far this site is in what it was asked about."""
        session = self._find(request.run) if request.run else None
        questions = self._agreements.questions(request.agreement) if request.agreement else 0
        found = {} if session is None else {request.run: session.round}
        return found | ({request.agreement: questions} if questions else {})

    def note_verdict(self, verdict: HelloVerdict) -> None:
        """What the coordinator makes of it, for the site's operator to read."""
        for reason in verdict.reasons:
            logger.warning("the coordinator does not take %s: %.500s", self.name, reason)

    def give_checkpoint(self, request: CheckpointRequest) -> bytes:
        """The state of a run, sealed to a member that is behind.

        Raises:
            PlanError: it is no member, this site has no roster, or is at another round of the run itself.
        """
        session = self._find(request.run)
        if session is None:
            raise PlanError(f"{self.name} does not take part in run {request.run!r:.40}", refusal=Refusal.ORDER)
        return seal_checkpoint(
            session, request, donor=self._identity, peers=self._must_know(), key_id=self._ciphers.key_id
        )

    def take_checkpoint(self, request: CheckpointRequest) -> int:
        """Go on from the state of another member; the round it has followed last.

        Raises:
            PlanError: it is not for this site, of no member, or of an earlier round than this site is at.
            AgreementError: this site's rows do not fit what the others have agreed on.
            PrivacyError: it cannot be opened.
            FormatError: what is in it is no state.
        """
        session = open_checkpoint(
            request,
            recipient=self._identity,
            peers=self._must_know(),
            key_id=self._ciphers.key_id,
            prepare=self._agreements.prepare,
        )
        self._rows(session.preprocessing.task)  # that they do not fit is said before anything is kept
        known = self._find(request.run)
        if known is not None:
            if known.round > session.round:
                raise PlanError(
                    f"{self.name} is at round {known.round} of run {request.run}, the checkpoint at {session.round}",
                    refusal=Refusal.ORDER,
                )
            session.own = known.own
            if known.round == session.round:
                session.attempt = max(known.attempt, session.attempt)
        self._states.save(session)
        self._remember(session)
        if session.inherited and (known is None or not known.finished):
            self._pools.adopt(session.agreed.shared, session.inherited)
        self._give_back(session)
        return session.round

    def release(self, run: str | None = None) -> SavedModel | AdaptedModel:
        """Give the model out: a decision of the site, not a message the coordinator can send.

        Args:
            run: its ULID; the one it has followed last by default.

        Raises:
            PlanError: there is none yet.
        """
        session = next(reversed(self._sessions.values()), None) if run is None else self._find(run)
        if session is None:
            raise PlanError(f"{self.name} has no model: it has not taken part in {run or 'a run'}")
        return self._give_out(session)

    def _give_out(self, session: Session, *, common: bool = False) -> SavedModel | AdaptedModel:
        """The model of a run; with `common` the same at all sites, without what a model of the owner's keeps here."""
        if isinstance(session.spec, AdapterSpec):
            return self._trainer.release(session, session.spec, common=common)
        model = build(session.spec, derive_rng(0, "replaced below"))
        model.load_state(session.state())
        return SavedModel(session.spec, model.eval(), session.preprocessing, {"run": session.agreed.run})

    def has_ended(self, run: str) -> bool:
        """Whether this site has followed the last plan of a run, or has the state of one that did; none of a search's
        candidates ends.
        """
        session = self._find(run)
        return session is not None and session.finished and not session.agreed.search

    def consent(self, request: ReleaseRequest) -> ReleaseConsent:
        """Agree to give the model of a run to somebody, whom the policy names.

        Raises:
            PlanError: the run is not over here, has no one model, or the party is not who it is called.
        """
        return consent_to(self._offer(request), request, site=self._identity, coordinator=self.coordinator)

    def give_model(self, request: ReleaseRequest) -> bytes:
        """The model of a run, sealed to whom most sites have consented to give it.

        Raises:
            PlanError: they have not; this site knows no other sites, or as of `consent`.
        """
        return seal_offer(self._offer(request), request, peers=self._must_know(), coordinator=self.coordinator)

    def _offer(self, request: ReleaseRequest) -> Offer:
        session = self._find(request.run)
        if session is None or not session.finished:
            raise PlanError(f"{self.name} has not seen the end of run {request.run!r:.40}", refusal=Refusal.BEHIND)
        tensors = tensors_of(session.spec)
        if set(session.exchange.strategy.shared(tensors)) != set(tensors.travelling):
            raise PlanError("every site keeps layers of its own in this run: no one model is that of all")
        model = pack_model(self._give_out(session, common=True))
        return Offer.make(request.run, model, self._ciphers.derive_key(RELEASE_KEY))

    def _keep_head(self, told: str) -> None:
        """Keep the head of the coordinator's ledger: of the same ledger and signer as the one before, and no shorter.

        That it goes on from the one before is shown by verifying the ledger with the heads that were kept.
        """
        if not told:
            return
        head, kept = SignedHead.from_json(told), self.ledger_head
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
        if kept is None or head.sequence > kept.sequence:
            self._states.keep_ledger_head(head)
        self.ledger_head = head

    def _join(self, plan: RoundPlan) -> Session:
        """The session a plan belongs to, which is a new one in the first round of a run."""
        cipher = self._cipher_of(plan)
        if self._journal.has_left(cipher.key_id):
            raise PlanError(
                f"{self.name} got a sum that was tampered with, and follows no plan under this key any more",
                hint="find out how that was done; then make a new key: nasturtium keys rotate",
                refusal=Refusal.KEY,
            )
        check_masks(self.name, plan.masks, self._masks, must_mask=self._must_mask)
        if plan.privacy is not None and plan.masks is not None and plan.masks.threshold < plan.privacy.fewest_sites:
            raise PlanError(
                f"masks that come off with {plan.masks.threshold} sites bare sums of fewer than the "
                f"{plan.privacy.fewest_sites} whose noise hides them",
                refusal=Refusal.MASKS,
            )
        session = self._find(plan.run)
        try:
            if session is None:
                sources = self._agreements.prepare, cipher.preset, self._trainer.start, self._pools.inherit
                key = (plan.round, *agreed_by_sites(plan))
                session = copy(self._share("begin", plan, key, lambda: Session.begin(plan, *sources)))
                self._rows(session.preprocessing.task)  # that they do not fit is said before anything is done
            session.check_next(plan)
        except PlanError as exc:
            raise PlanError(f"{self.name}: {exc.message}", hint=exc.hint, refusal=exc.refusal) from exc
        self._remember(session)
        return session

    def _find(self, run: str) -> Session | None:
        """The session of a run, from memory or the disk."""
        return self._sessions.get(run) or self._states.load(run, self._agreements.prepare)

    def _remember(self, session: Session) -> None:
        """Keep a session at hand, and let go of what is finished, or was not used for long, where they are many."""
        self._sessions[session.agreed.run] = session
        self._sessions.move_to_end(session.agreed.run)
        while len(self._sessions) > MAX_SESSIONS:
            finished = (run for run, each in self._sessions.items() if each.finished and each is not session)
            del self._sessions[next(finished, next(iter(self._sessions)))]

    def _give_back(self, session: Session) -> None:
        """At the end of a run whose network shares weights with others, have them move towards what it led to."""
        if session.finished and session.agreed.shared:
            self._pools.give(session.agreed.run, session.agreed.shared, session.state())

    def _take_step(self, session: Session, plan: RoundPlan) -> None:
        """Open the sum of the last round and move the model by it."""
        total = plan.total
        try:
            sitting = session.sitting(total)
            key = (sitting, session.chain, hashlib.sha256(total).digest())
            step = self._share("step", plan, key, lambda: session.step(self._open(plan, sitting), total))
            session.take(step, self._identity.public.id)
        except UpdateRejectedError as exc:
            raise PlanError(
                f"{self.name} got no sum of round {plan.round - 1} of run {plan.run}: {exc.message}",
                refusal=refusal_of(exc),
            ) from exc

    def _open(self, plan: RoundPlan, sitting: Sitting) -> OpenedSum:
        cipher = self._cipher_of(plan)
        try:
            return open_sum(cipher, sitting, plan.total, coordinator=self.coordinator)
        except UpdateRejectedError:
            raise
        except PrivacyError:
            # The coordinator signed what is no sum. What a site did with more of that could tell of the key.
            if cipher.key_id != NO_KEY:
                self._journal.leave(cipher.key_id)
            raise

    def _share(self, kind: str, plan: RoundPlan, key: Hashable, make: Callable[[], T]) -> T:
        """What the sites of this process compute once; see `SharedModels`."""
        return make() if self._shared is None else self._shared.recall(kind, plan.run, key, make)

    def _work(self, session: Session, plan: RoundPlan) -> _Work:
        """The protected update."""
        started = time.perf_counter()
        if self._budget is not None:
            self._budget.authorise([(session.symbols.event(), 1)])
        contribution = self._trainer.train(session, plan, self._rows(session.preprocessing.task))
        trained_at = time.perf_counter()
        # As in the first attempt: who is asked again says the same, so two sums of a round tell no more than one, and a
        # run that was interrupted leads to the model of one that was not.
        rounding = derive_rng(plan.seed, "rounding", self.name, plan.round, 1)
        symbols = session.say(contribution, rounding)
        mask = self._mask(session, plan)
        sitting = session.sitting()
        update = protect(self._cipher_of(plan), sitting, symbols, signer=self._identity, mask=mask).to_bytes()
        norm = float(np.linalg.norm(contribution.change))
        clip = None if plan.privacy is None else plan.privacy.clip
        return _Work(
            update=update,
            train_seconds=trained_at - started,
            encrypt_seconds=time.perf_counter() - trained_at,
            norm=norm,
            clipped=None if clip is None else norm > clip,
        )

    def _rows(self, task: Task) -> LocalRows:
        """The rows as a task has them that all sites have agreed on.

        Raises:
            AgreementError: a column, category or class is not what it knows.
        """
        if self._conformed is None or self._conformed.train.task != task:
            self._conformed = LocalRows(self.name, conform(self._train, task), conform(self._validation, task))
        return self._conformed

    def _mask(self, session: Session, plan: RoundPlan) -> Mask | None:
        """The mask of this site's update. With or without one, the attempt counts as answered from here on."""
        if plan.masks is None:
            self._journal.claim(plan.run, plan.round, plan.attempt)
            return None
        modulus = self._cipher_of(plan).preset.plain_modulus
        return self._masks_of_site().mask(plan, layout=session.meaning, modulus=modulus)

    def _cipher_of(self, plan: RoundPlan) -> Cipher:
        return self._ciphers.find(plan.quantisation.preset, plan.quantisation.scheme)

    def _masks_of_site(self) -> SiteMasks:
        if self._masks is None:
            raise PlanError(f"{self.name} has no roster to make masks with", refusal=Refusal.MASKS)
        return self._masks

    def _must_know(self) -> Peers:
        if self._peers is None:
            raise PlanError(f"{self.name} has no roster to know other sites by", refusal=Refusal.KEY)
        return self._peers
