"""The rounds of one federated training as its coordinator writes them: attempts, closed rounds, where it goes on.

A round is closed in one transaction: what it decided, what each site gave, what it cost in privacy, and which file its
sum is in. The file is on the disk before. So a coordinator that is killed at any moment leaves a run whose last closed
round is whole, and whose next one may have been attempted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from .artifacts import ArtifactStore, StoredFile
from .clock import now_us
from .database import Database, serialise
from .errors import IntegrityError, StorageError
from .federations import check_claim
from .models import Artifact, Checkpoint, Event, RoundAttempt, Run, RunArtifact, from_us
from .names import NameBook
from .records import AttemptRecord, ClosedRound, ContributionRecord, JobClaim, ResumePoint, RoundRecord
from .round_rows import ROUND_FIGURES, put_round, put_round_figures
from .runs import check_holder, require_run
from .upsert import ensure_row, insert, put_rows

RoundsKind = Literal["federated", "trial", "retrain"]
SUM_ROLE: Final = "sum"
_KEPT: Final = 2  # sums of the last rounds; what is older serves nobody, and `db compact` removes its files


class FederatedRounds:
    """Writes the rounds of a run that this process has.

    Args:
        database: stays the caller's.
        run_uid: federated, or a trial of a federated search, or the training of its model.
        kind: which of them it is.
        claim: of the job the run belongs to: nothing is written any more once another coordinator has that.
        clock: tells the time in microseconds UTC.
    """

    def __init__(
        self,
        database: Database,
        run_uid: str,
        *,
        kind: RoundsKind = "federated",
        claim: JobClaim | None = None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._database = database
        self._uid = run_uid
        self._kind: RoundsKind = kind
        self._claim = claim
        self._clock = clock
        self._names = NameBook(database)
        self._store = ArtifactStore(database.artifacts_dir)

    def open_attempt(self, round: int, phase: str) -> int:
        """Begin the next attempt at a round, which no site has been asked for yet: its number, from 1.

        Raises:
            RunBusyError: another process took the run over.
            LeaseLostError: another coordinator took its job over.
            StorageError: the round is closed.
        """
        with self._database.write(durable=True) as session:
            run = self._require(session)
            if session.get(Checkpoint, (run.id, round)) is not None:
                raise StorageError(f"round {round} of run {self._uid} is closed, and is not run again")
            of_round = (RoundAttempt.run_id == run.id, RoundAttempt.round == round)
            number = (session.scalar(select(func.max(RoundAttempt.attempt)).where(*of_round)) or 0) + 1
            session.add(RoundAttempt(run_id=run.id, round=round, attempt=number, phase=phase, started_us=self._clock()))
            return number

    def note_survivors(self, round: int, attempt: int, survivors: Sequence[str]) -> None:
        """Say, before they are asked to bare it, of which sites a masked sum is: of no others in this round, ever."""
        with self._database.write(durable=True) as session:
            self._change(session, round, attempt, {"survivors": sorted(survivors)})

    def survivors(self, round: int) -> frozenset[str] | None:
        """The sites that an attempt at a round has asked to bare their sum; None: none has."""
        with self._database.read() as session:
            found = select(RoundAttempt.survivors).where(
                RoundAttempt.run_id == require_run(session, self._uid),
                RoundAttempt.round == round,
                RoundAttempt.survivors.is_not(None),
            )
            known = session.scalars(found.order_by(RoundAttempt.attempt)).first()
            return None if known is None else frozenset(known)

    def fail_attempt(self, round: int, attempt: int, failure: str, refusals: Mapping[str, str]) -> None:
        """An attempt gave no sum.

        Args:
            round: its round.
            attempt: its number.
            failure: why.
            refusals: why of each site that is not in a sum, by name.
        """
        with self._database.write(durable=True) as session:
            run = self._change(
                session, round, attempt, {"ended_us": self._clock(), "failure": failure, "refusals": dict(refusals)}
            )
            self._tell(session, run.id, "attempt failed", round, attempt=attempt, failure=failure)

    def close(
        self,
        round: int,
        attempt: int,
        phase: str,
        total: bytes,
        *,
        keep_sum: bool = True,
        record: RoundRecord | None = None,
        contributions: Sequence[ContributionRecord] = (),
        figures: tuple[int, float, float] | None = None,
        and_then: Callable[[Session], object] = lambda session: None,
    ) -> None:
        """Close a round, for good.

        Args:
            round: its number: the one after the last that is closed.
            attempt: the one that gave the sum.
            phase: what the round was for.
            total: the sum; empty where it gave none.
            keep_sum: whether the sum is written to a file, so that another process can go on from it.
            record: what it decided, where it trained.
            contributions: what each site gave to that.
            figures: the number of an earlier round, loss and accuracy of its model, where the sites reported them.
            and_then: written in the same transaction, as what the round cost in privacy.

        Raises:
            RunBusyError: another process took the run over.
            LeaseLostError: another coordinator took its job over.
            StorageError: it is closed already or out of order, or the disk refuses the sum.
        """
        stored = self._store.add_bytes(total) if total and keep_sum else None
        ids = self._names.ids(ROUND_FIGURES)
        with self._database.write(durable=True) as session:
            serialise(session)  # before any row is locked: others take them in this order
            run = self._require(session)
            last = session.scalar(select(func.max(Checkpoint.round)).where(Checkpoint.run_id == run.id)) or 0
            if round != last + 1:
                raise StorageError(f"round {round} of run {self._uid} cannot be closed: the last closed one is {last}")
            if record is not None:
                put_round(session, run, record, contributions, ids=ids, now_us=self._clock())
                self._tell(session, run.id, "round", round, state=record.state, participants=record.participants)
            if figures is not None:
                put_round_figures(session, run, *figures, ids=ids)
                event = {
                    "run_id": run.id,
                    "at_us": self._clock(),
                    "kind": "round figures",
                    "body": {"number": figures[0]},
                }
                session.execute(insert(session, Event), [event])
            session.execute(
                update(RoundAttempt).where(self._is_attempt(run.id, round, attempt)).values(ended_us=self._clock())
            )
            self._keep(session, run.id, round, stored)
            session.add(
                Checkpoint(
                    run_id=run.id,
                    round=round,
                    attempt=attempt,
                    phase=phase,
                    sha256=stored and stored.sha256,
                    size_bytes=stored and stored.size_bytes,
                    closed_us=self._clock(),
                )
            )
            and_then(session)

    def tell(self, kind: str, number: int, **facts: object) -> None:
        """Something happened beside the rounds, before the one with that number: an event of the run."""
        with self._database.write() as session:
            self._tell(session, self._require(session).id, kind, number, **facts)

    def tell_after(self, kind: str, **facts: object) -> None:
        """Something happened when the run was over, whichever process had it: an event of the run."""
        with self._database.write() as session:
            run_id = require_run(session, self._uid, kind=self._kind)
            self._tell(session, run_id, kind, len(read_closed(session, run_id)) + 1, **facts)

    def resume_point(self) -> ResumePoint:
        """Where the run goes on: after its highest closed round whose file is what was written.

        Raises:
            IntegrityError: the file of the last closed round is damaged, and sites may have seen the round after it.
        """
        with self._database.read() as session:
            run_id = require_run(session, self._uid, kind=self._kind)
            closed = read_closed(session, run_id)
            begun = session.scalar(select(func.max(RoundAttempt.round)).where(RoundAttempt.run_id == run_id)) or 0
        if not closed or closed[-1].sha256 is None:
            return ResumePoint(closed=closed, total=b"")
        last = closed[-1]
        try:
            self._store.verify(last.sha256 or "", size_bytes=last.size_bytes)
            with self._store.open(last.sha256 or "") as file:
                return ResumePoint(closed=closed, total=file.read())
        except IntegrityError as exc:
            if begun > last.number:
                raise IntegrityError(
                    f"run {self._uid} cannot go on after round {last.number}: {exc.message}", hint=exc.hint
                ) from exc
        return self._reopen(last)

    def _reopen(self, last: ClosedRound) -> ResumePoint:
        """Forget that the last round was closed: nobody has seen its sum, which is lost."""
        with self._database.write(durable=True) as session:
            run = self._require(session)
            session.execute(delete(Checkpoint).where(Checkpoint.run_id == run.id, Checkpoint.round == last.number))
            self._tell(session, run.id, "round reopened", last.number, attempt=last.attempt)
        return self.resume_point()

    def _keep(self, session: Session, run_id: int, round: int, stored: StoredFile | None) -> None:
        """Refer to the file of a sum, so that it is kept and backed up, and no longer to those of old ones."""
        if stored is not None:
            if stored.sha256 not in self._store:  # `compact` removed it, when no row spoke of it yet
                raise StorageError(f"the sum of round {round} is gone from {self._store.root}")
            row = {
                "sha256": stored.sha256,
                "size_bytes": stored.size_bytes,
                "media_type": "application/octet-stream",
                "created_us": self._clock(),
            }
            artifact_id = ensure_row(session, Artifact, "sha256", row)
            reference = {"run_id": run_id, "role": SUM_ROLE, "name": f"{round:010d}", "artifact_id": artifact_id}
            put_rows(session, RunArtifact, [reference])
        old = (
            RunArtifact.run_id == run_id,
            RunArtifact.role == SUM_ROLE,
            RunArtifact.name <= f"{max(0, round - _KEPT):010d}",
        )
        session.execute(delete(RunArtifact).where(*old))

    def _require(self, session: Session) -> Run:
        if self._claim is not None:
            check_claim(session, self._claim)
        run = session.get_one(Run, require_run(session, self._uid, kind=self._kind), with_for_update=True)
        check_holder(run)
        return run

    def _change(self, session: Session, round: int, attempt: int, columns: Mapping[str, object]) -> Run:
        run = self._require(session)
        session.execute(update(RoundAttempt).where(self._is_attempt(run.id, round, attempt)).values(dict(columns)))
        return run

    def _tell(self, session: Session, run_id: int, kind: str, number: int, **facts: object) -> None:
        event = {"run_id": run_id, "at_us": self._clock(), "kind": kind, "body": {"number": number, **facts}}
        session.execute(insert(session, Event), [event])

    def _is_attempt(self, run_id: int, round: int, attempt: int) -> ColumnElement[bool]:
        return (RoundAttempt.run_id == run_id) & (RoundAttempt.round == round) & (RoundAttempt.attempt == attempt)


def read_closed(session: Session, run_id: int) -> list[ClosedRound]:
    """The closed rounds of a run, in order."""
    rows = session.scalars(select(Checkpoint).where(Checkpoint.run_id == run_id).order_by(Checkpoint.round))
    return [
        ClosedRound(
            number=row.round,
            attempt=row.attempt,
            phase=row.phase,
            sha256=row.sha256,
            size_bytes=row.size_bytes,
            closed=from_us(row.closed_us),
        )
        for row in rows
    ]


def read_attempts(session: Session, run_id: int) -> list[AttemptRecord]:
    """All attempts at the rounds of a run, in order."""
    chosen = select(RoundAttempt).where(RoundAttempt.run_id == run_id)
    return [
        AttemptRecord(
            round=row.round,
            attempt=row.attempt,
            phase=row.phase,
            started=from_us(row.started_us),
            ended=None if row.ended_us is None else from_us(row.ended_us),
            failure=row.failure,
            refusals=row.refusals or {},
            survivors=row.survivors,
        )
        for row in session.scalars(chosen.order_by(RoundAttempt.round, RoundAttempt.attempt))
    ]
