"""Sites that agree without messages: their symbols are added as they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nasturtium.core.data import Dataset, LoadOptions, Preprocessing, Task, dataset_from_arrays
from nasturtium.federated.agreement import (
    Opening,
    Question,
    Schema,
    SiteAgreement,
    Terms,
    conform,
    first_question,
    merge_schemas,
)

KEY = b"k" * 32
RUN = "01JAGREE"


def make_table(
    rows: Sequence[Sequence[object]],
    targets: Sequence[object],
    names: Sequence[str],
    *,
    missing: str = "indicate",
    categorical: tuple[str, ...] = (),
    kind: str = "classification",
    unknown: str = "refuse",
) -> Dataset:
    """A data set as a site would load it by itself."""
    options = LoadOptions(kind=kind, missing=missing, categorical=categorical, unknown=unknown)  # pyright: ignore
    return dataset_from_arrays(rows, targets, options, features=names)


def terms_for(parts: Sequence[Dataset], **settings: object) -> Terms:
    """Terms with the schema that all sites say."""
    schema, problems = merge_schemas({f"site-{place}": Schema.of(part.task) for place, part in enumerate(parts)})
    assert not problems
    return Terms(schema=schema, **settings)  # pyright: ignore


def ids_of(count: int) -> tuple[str, ...]:
    return tuple(f"{place:032x}" for place in range(count))


def ask_all(
    sites: Sequence[SiteAgreement], question: Question | None, levels: int
) -> tuple[list[SiteAgreement], Opening]:
    """Go through all questions; every site must say the same of every sum."""
    assert question is not None
    while True:
        sums = np.sum([site.answer(question, levels).astype(np.int64) for site in sites], axis=0)
        assert sums.shape == (question.values(levels),)
        openings = {site.learn(sums, levels, ids_of(len(sites))) for site in sites}
        assert len(openings) == 1
        [opening] = openings
        if not opening.question:
            return list(sites), opening
        question = Question.from_json(opening.question)


def agree(
    parts: Sequence[Dataset], terms: Terms, *, levels: int = 255, key: bytes | None = KEY
) -> tuple[Preprocessing, Opening]:
    """What sites with these rows agree on."""
    sites = [SiteAgreement(part, terms, run=RUN, key=key) for part in parts]
    sites, opening = ask_all(sites, first_question(terms), levels)
    agreed = sites[0].agreed
    assert agreed is not None
    assert all(site.agreed is not None and site.agreed.to_dict() == agreed.to_dict() for site in sites)
    return agreed, opening


def pooled(parts: Sequence[Dataset], task: Task) -> Dataset:
    """The rows of all sites under the agreed task."""
    rows = [conform(part, task) for part in parts]
    inputs, labels = (np.concatenate([getattr(each, name) for each in rows]) for name in ("inputs", "labels"))
    return Dataset("rows", inputs, labels, task)


def assert_matches(agreed: Preprocessing, expected: Preprocessing, *, error: float = 1e-10) -> None:
    """The same, within `error` of each scale."""
    assert agreed.task == expected.task
    assert agreed.unseen.tolist() == expected.unseen.tolist()
    for name, unit in (
        ("offset", expected.scale),
        ("scale", expected.scale),
        ("target_offset", expected.target_scale),
        ("target_scale", expected.target_scale),
    ):
        got, wanted = getattr(agreed, name), getattr(expected, name)
        assert got.shape == wanted.shape, name
        assert (np.abs(got - wanted) <= error * unit).all(), name
    assert agreed.fill == pytest.approx(expected.fill, rel=1e-9, abs=1e-30)
