"""A site's part in agreements: it answers questions under protection, opens their sums, keeps what came out.

Threat model: as of `site` and `agreement`. A site answers a question only if it follows from the sums it has opened, so
the coordinator cannot ask what it likes; it opens one sum of each question, the first it is given.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ...core import FormatError, parse_json
from ...core.data import Preprocessing
from ...privacy import (
    NO_KEY,
    AttemptJournal,
    Budget,
    Identity,
    PrivacyError,
    PublicIdentity,
    UpdateRejectedError,
    open_sum,
    protect,
)
from ..agreement.plan import (
    AgreedReference,
    AgreementAnswer,
    AgreementPlan,
    agreement_event,
    opening_from_dict,
    opening_to_dict,
)
from ..agreement.question import Question
from ..agreement.schema import Schema
from ..agreement.site_agreement import Opening, SiteAgreement
from ..agreement.store import AgreementStore
from ..errors import AgreementError, PlanError, Refusal, SiteStateError
from ..site_data.rows import Rows
from .ciphers import Ciphers
from .masks import SiteMasks, check_masks
from .refusals import refusal_of

_PURPOSE: Final = b"agreement"
_MOST: Final = 8  # agreements that are open at a time; one that was not heard of for longest is read again


@dataclass(slots=True)
class _Open:
    """An agreement, and what was told of each sum by its hash: asked again, the site tells the same."""

    agreement: SiteAgreement
    told: dict[str, Opening] = field(default_factory=dict[str, Opening])


class SiteAgreements:
    """All agreements of one site.

    Args:
        identity: of the site.
        data: its training rows, under the task it has found for itself.
        ciphers: protect its answers and open the sums.
        coordinator: who must have signed the sums.
        journal: of the attempts it has answered.
        masks: of the site; None where it has none.
        must_mask: whether a site that has them takes no part where there are none.
        budget: charged with each answer.
        store: what came out is kept there.
    """

    def __init__(
        self,
        identity: Identity,
        data: Rows,
        ciphers: Ciphers,
        *,
        coordinator: PublicIdentity,
        journal: AttemptJournal,
        masks: SiteMasks | None,
        must_mask: bool = True,
        budget: Budget | None = None,
        store: AgreementStore | None = None,
    ) -> None:
        self._identity = identity
        self._data = data
        self._ciphers = ciphers
        self._must_mask = must_mask
        self._coordinator = coordinator
        self._journal = journal
        self._masks = masks
        self._budget = budget
        self._store = store or AgreementStore(None)
        self._open: dict[str, _Open] = {}  # by run

    def answer(self, plan: AgreementPlan) -> AgreementAnswer:
        """Answer a question, or open the sum of all answers to it.

        Raises:
            AgreementError: the question does not follow from the sums this site has opened, its data does not fit, or
                the sum is none of honest answers.
            PlanError: the plan is for another preset, or masks where there are none.
            PrivacyError: the sum cannot be opened, or the site's budget is spent.
        """
        started = time.perf_counter()
        question = self._check(plan)
        if plan.step == "answer":
            update, opening = self._contribute(plan, question), None
        else:
            update, opening = b"", self._learn(plan, question)
        return AgreementAnswer(update=update, opening=opening, seconds=time.perf_counter() - started)

    def find(self, text: str) -> Preprocessing | None:
        """What the sites have agreed on under the name in a plan; None where the plan's text is a document itself.

        Raises:
            PlanError: this site knows nothing of it, or has agreed on something else.
        """
        reference = AgreedReference.find(text)
        if reference is None:
            return None
        found = self._load(reference.run)
        agreement = None if found is None else found.agreement
        if agreement is None or agreement.agreed is None:
            raise PlanError(
                f"{self._identity.public.name} has not seen the end of agreement {reference.run}",
                hint="ask the coordinator to have the sites agree again",
                refusal=Refusal.BEHIND,
            )
        if not hmac.compare_digest(agreement.tag(), reference.tag):
            raise PlanError(
                f"{self._identity.public.name} has agreed on something else in {reference.run}", refusal=Refusal.SCHEMA
            )
        return agreement.agreed

    def questions(self, run: str) -> int:
        """How many questions an agreement had of which this site knows the end; 0 for one it does not know."""
        found = self._load(run)
        return 0 if found is None or found.agreement.agreed is None else len(found.told)

    def prepare(self, text: str) -> Preprocessing:
        """The preprocessing of a plan: what was agreed on under that name, or the document that it is.

        Raises:
            AgreementError: this site's data has other columns; names one.
            PlanError: as of `find`.
            FormatError: the document is damaged.
        """
        found = self.find(text) or Preprocessing.from_dict(parse_json(text))
        if found.task != self._data.task:
            Schema.of(found.task).check(self._data.task)
        return found

    def _check(self, plan: AgreementPlan) -> Question:
        name, cipher = self._identity.public.name, self._ciphers.find(plan.preset, plan.scheme)
        if self._journal.has_left(cipher.key_id):
            raise PlanError(
                f"{name} got a sum that was tampered with, and follows nothing under this key any more",
                hint="find out how that was done; then make a new key: nasturtium keys rotate",
                refusal=Refusal.KEY,
            )
        check_masks(name, plan.masks, self._masks, must_mask=self._must_mask)
        try:
            question = Question.from_json(plan.question)
        except FormatError as exc:
            raise PlanError(f"a damaged question: {exc.message}") from exc
        if question.number != plan.round:
            raise PlanError(f"question {question.number} in round {plan.round} of the agreement")
        return question

    def _contribute(self, plan: AgreementPlan, question: Question) -> bytes:
        """The protected answer. From here on the attempt counts as answered."""
        agreement, cipher = self._find(plan, question).agreement, self._ciphers.find(plan.preset, plan.scheme)
        preset = cipher.preset
        symbols = agreement.answer(question, preset.levels)
        if self._budget is not None:
            self._budget.authorise([(agreement_event(), 1)])
        sitting = plan.sitting(question, preset.levels)
        if self._masks is None or plan.masks is None:
            self._journal.claim(plan.run, plan.round, plan.attempt)
            mask = None
        else:
            mask = self._masks.mask(plan, layout=sitting.layout, modulus=preset.plain_modulus)
        return protect(cipher, sitting, symbols, signer=self._identity, mask=mask).to_bytes()

    def _learn(self, plan: AgreementPlan, question: Question) -> Opening:
        """What the sum of all answers says; of a sum that was opened before the same again."""
        found, sha256 = self._find(plan, question), hashlib.sha256(plan.total).hexdigest()
        agreement = found.agreement
        if sha256 in found.told:
            return found.told[sha256]
        if question != agreement.question:
            raise AgreementError(
                f"a sum of the answers to question {question.number}, which is not the open one", refusal=Refusal.ORDER
            )
        cipher = self._ciphers.find(plan.preset, plan.scheme)
        levels = cipher.preset.levels
        sitting = plan.sitting(question, levels)
        try:
            opened = open_sum(cipher, sitting, plan.total, coordinator=self._coordinator)
        except UpdateRejectedError as exc:
            raise PlanError(
                f"{self._identity.public.name} got no sum of question {question.number}: {exc.message}",
                refusal=refusal_of(exc),
            ) from exc
        except PrivacyError:
            # As in `Site`: what a site did with more of that could tell of the key.
            if cipher.key_id != NO_KEY:
                self._journal.leave(cipher.key_id)
            raise
        opening = agreement.learn(np.asarray(opened.sums), levels, opened.senders)
        found.told[sha256] = opening
        # On the disk first: what is told of a sum is known after a restart, too.
        told = {each: opening_to_dict(said) for each, said in found.told.items()}
        self._store.save(plan.run, {"agreement": agreement.to_dict(), "told": told})
        return opening

    def _find(self, plan: AgreementPlan, question: Question) -> _Open:
        """The agreement a plan belongs to; a new one with the first question."""
        found = self._load(plan.run)
        if found is None:
            if question.number != 1:
                raise AgreementError(
                    f"asked question {question.number} of agreement {plan.run}, expected the first",
                    refusal=Refusal.BEHIND,
                )
            key = self._ciphers.derive_key(_PURPOSE)
            found = _Open(SiteAgreement(self._data, question.terms, run=plan.run, key=key))
            self._remember(plan.run, found)
        if found.agreement.terms != question.terms:
            raise AgreementError(f"agreement {plan.run} has begun with other terms", refusal=Refusal.ORDER)
        return found

    def _load(self, run: str) -> _Open | None:
        if run not in self._open and (document := self._store.load(run)) is not None:
            try:
                key = self._ciphers.derive_key(_PURPOSE)
                agreement = SiteAgreement.resume(document["agreement"], self._data, key=key)
                told = {each: opening_from_dict(said) for each, said in document["told"].items()}
                self._remember(run, _Open(agreement, told))
            except (KeyError, AttributeError, FormatError) as exc:
                raise SiteStateError(f"what was kept of agreement {run} is damaged: {exc}") from exc
        return self._open.get(run)

    def _remember(self, run: str, found: _Open) -> None:
        self._open.pop(run, None)
        self._open[run] = found
        while len(self._open) > _MOST:
            self._open.pop(next(iter(self._open)))
