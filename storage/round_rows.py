"""The rows of a round: what it decided, what each site gave, and the figures that the sites report of its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import delete, update
from sqlalchemy.orm import Session
from ulid import ULID

from .models import Contribution, Node, Round, Run, to_column, to_us
from .points import put_points
from .records import ContributionRecord, RoundRecord
from .upsert import find_ids, put_rows

ROUND_FIGURES: Final = ("val_loss", "val_accuracy")  # curves of the run, at the numbers of its rounds


def put_round(
    session: Session,
    run: Run,
    round: RoundRecord,
    contributions: Sequence[ContributionRecord],
    *,
    ids: Mapping[str, int],
    now_us: int,
) -> None:
    """Write a round with what each site gave; one written before is replaced, but for figures reported since.

    Args:
        session: of a write transaction that asked for `serialise`.
        run: federated, locked.
        round: what it decided.
        contributions: one per site that was asked.
        ids: of the names in `ROUND_FIGURES`.
        now_us: when the sites were seen.
    """
    of_round = (Contribution.run_id == run.id) & (Contribution.round == round.number)
    session.execute(delete(Contribution).where(of_round))
    put_rows(session, Round, [{"run_id": run.id, **_round_row(round)}])
    rows = [_contribution_row(run.id, round.number, each) for each in contributions]
    nodes = see_nodes(session, [each.client for each in contributions], now_us)
    for row in rows:
        row["node_id"] = nodes[row.pop("client")]
    put_rows(session, Contribution, rows)
    put_round_figures(session, run, round.number, round.loss, round.accuracy, ids=ids)


def put_round_figures(
    session: Session, run: Run, number: int, loss: float | None, accuracy: float | None, *, ids: Mapping[str, int]
) -> None:
    """Write what the sites measured of a round's model; None: they did not."""
    figures = zip(ROUND_FIGURES, (loss, accuracy), strict=True)
    points = {(run.id, ids[name]): [(number, to_column(value), None)] for name, value in figures if value is not None}
    put_points(session, points)


def see_node(session: Session, name: str, now_us: int, public_key_sha256: str | None = None) -> int:
    """The key of a site, which is made when it is first seen."""
    node_id = see_nodes(session, [name], now_us)[name]
    if public_key_sha256 is not None:
        session.execute(update(Node).where(Node.id == node_id).values(public_key_sha256=public_key_sha256))
    return node_id


def see_nodes(session: Session, names: Sequence[str], now_us: int) -> dict[str, int]:
    """The keys of sites by their names; each is made when it is first seen."""
    rows = [{"uid": str(ULID()), "name": name, "first_seen_us": now_us, "last_seen_us": now_us} for name in names]
    put_rows(session, Node, rows, key=("name",), only=("last_seen_us",))
    return find_ids(session, Node, "name", names)


def _round_row(record: RoundRecord) -> dict[str, Any]:
    row = asdict(record)
    row["started_us"] = to_us(row.pop("started"))
    del row["loss"], row["accuracy"]  # points of the run's curves
    return row


def _contribution_row(run_id: int, round: int, record: ContributionRecord) -> dict[str, Any]:
    row = {"run_id": run_id, "round": round, **asdict(record)}
    row["update_norm"] = None if record.update_norm is None else to_column(record.update_norm)
    return row
