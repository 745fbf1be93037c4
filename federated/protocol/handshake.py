"""Before a site's first round: what it is, whether that fits the run, and why not if it does not.

A site that does not fit is told which column, key or version it is, and the run goes on with the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from ...core import canonical_json
from ...core.data import Task
from .queries import PLAN_VERSION, WIRE_VERSION, SiteHello


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloTerms:
    """What sites of a run must be.

    Attributes:
        package: version of nasturtium here, to be told.
        scheme, key_id, masked: how updates are protected; None where any way will do.
        roster_sha256: which all must have signed; None where no roster is asked for.
        columns: name and kind of each column; None takes what the sites have.
        schema_sha256: see `schema_sha256`; None takes what the sites have.
        actions: what they must allow.
        run, agreement: see `HelloRequest`; what sites have of these decides who is brought to where the others are.
    """

    package: str
    scheme: str | None = None
    key_id: str | None = None
    masked: bool | None = None
    roster_sha256: str | None = None
    columns: tuple[tuple[str, str], ...] | None = None
    schema_sha256: str | None = None
    actions: tuple[str, ...] = ("train", "evaluate")
    run: str = ""
    agreement: str = ""


def check_hello(hello: SiteHello, terms: HelloTerms) -> tuple[str, ...]:
    """Why a site does not fit, each in a sentence; nothing where it does."""
    reasons: list[str] = []
    spoken = (("messages", hello.wire, WIRE_VERSION), ("plans", hello.plans, PLAN_VERSION))
    reasons += [
        f"nasturtium {hello.package} at the site speaks version {theirs} of {what}, {terms.package} here version "
        f"{ours}: install the same version"
        for what, theirs, ours in spoken
        if theirs != ours
    ]
    if reasons:
        return tuple(reasons)  # the rest may mean something else there
    if terms.scheme is not None and terms.scheme not in hello.schemes:
        reasons.append(f"it protects updates by {', '.join(hello.schemes)!r:.80}, the run by {terms.scheme}")
    if terms.key_id not in (None, hello.key_id):
        reasons.append(f"its key is {hello.key_id!r:.80}, that of the run {terms.key_id}")
    if terms.masked and not hello.masks:
        reasons.append("it masks none of its updates, the run all")
    if terms.masked is False and hello.must_mask:
        reasons.append("it masks all of its updates, the run none")
    if terms.roster_sha256 not in (None, hello.roster_sha256):
        signed = f"the roster {hello.roster_sha256[:16]}" if hello.roster_sha256 else "no roster"
        reasons.append(f"it has signed {signed}, the run is of {(terms.roster_sha256 or '')[:16]}")
    reasons += [f"its policy does not allow it to {action}" for action in terms.actions if action not in hello.actions]
    if terms.columns is not None and hello.columns:
        reasons += _compare(dict(hello.columns), dict(terms.columns))
        if not reasons and hello.columns != terms.columns:
            reasons.append("its columns are in another order than those of the run")
    if not reasons and terms.schema_sha256 not in (None, hello.schema_sha256):
        reasons.append(
            f"its data has the schema {hello.schema_sha256[:16]}, the run {(terms.schema_sha256 or '')[:16]}"
        )
    return tuple(reasons)


def columns_of(task: Task) -> tuple[tuple[str, str], ...]:
    """Name and kind of each column of a table; for other rows one entry with their shape."""
    if task.modality == "table":
        return tuple((column.name, column.kind) for column in task.schema)
    return (("row", f"{task.modality} of {' x '.join(map(str, task.input_shape))} numbers"),)


def schema_sha256(task: Task) -> str:
    """Names what must be alike at all sites before anything is agreed, as hex: not the classes and categories."""
    told = [task.kind, list(task.targets), [list(each) for each in columns_of(task)]]
    return hashlib.sha256(canonical_json(["nasturtium.site-schema", 1, told]).encode()).hexdigest()


def _compare(theirs: Mapping[str, str], ours: Mapping[str, str]) -> list[str]:
    reasons = [f"column {name!r:.80} is missing" for name in ours if name not in theirs]
    reasons += [f"column {name!r:.80} is none of the run's" for name in theirs if name not in ours]
    return reasons + [
        f"column {name!r:.80} is {theirs[name]:.40}, expected {kind}"
        for name, kind in ours.items()
        if name in theirs and theirs[name] != kind
    ]
