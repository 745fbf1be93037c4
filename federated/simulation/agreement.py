"""The sites of a simulation agree on their preprocessing, as real ones do."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from ulid import ULID

from ...core.data import Task
from ...privacy import Adder, PublicIdentity, Signer
from ..agreement.journal import MemoryAgreementJournal
from ..agreement.relay import AgreementJob, agree
from ..agreement.schema import Schema
from ..agreement.terms import Terms
from ..coordinator.privacy_gate import PrivacyGate
from ..protocol.rounds import MaskTerms
from .virtual_nodes import VirtualGrid


def agree_on_preprocessing(
    task: Task,
    grid: VirtualGrid,
    adder: Adder,
    sites: Mapping[int, PublicIdentity],
    coordinator: Signer,
    gate: PrivacyGate,
    masks: MaskTerms | None,
) -> str:
    """The name of what the sites have agreed on, for their plans.

    Args:
        task: of the data, of which the names and kinds of columns are taken as the job's proposal.
        grid: reaches the sites; all are waited for, as nothing depends on speed.
        adder, sites, coordinator, masks: of the run.
        gate: charges every question to its ledger.

    Raises:
        BudgetSpentError: the data has a privacy budget.
        FederationError: they do not agree.
    """
    job = AgreementJob(
        run=str(ULID()), terms=Terms(schema=Schema.of(task)), masks=masks, deadline=inf, attempts=1, patience=0.0
    )
    journal = MemoryAgreementJournal(gate.authorise_agreement)
    return agree(grid, job, adder, sites, coordinator, journal).reference.to_json()
