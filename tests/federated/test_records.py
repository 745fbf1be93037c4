"""Messages: what is sent is received, also over Flower's wire format, and nothing that was damaged is."""

from __future__ import annotations

from math import inf, nan
from typing import get_args

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.federated import ClientUpdate, LocalTraining, PlanError, Quantisation, RoundPlan, SiteReport
from nasturtium.federated.protocol.records import (
    STYPE,
    answer_from_content,
    answer_to_content,
    pack_bytes,
    plan_from_content,
    plan_size,
    plan_to_content,
    request_from_content,
    request_to_content,
    unpack_bytes,
    update_from_content,
    update_to_content,
)
from nasturtium.federated.protocol.rounds import Distribution, MaskRequest, MaskStep, MaskTerms, PrivacyTerms
from nasturtium.privacy import UpdateRejectedError, smallest_preset

COUNTS = st.integers(0, 2**40)
POSITIVE = st.integers(1, 2**40)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
MASKS = st.builds(MaskTerms, roster_sha256=TEXTS, threshold=COUNTS, colluders=COUNTS)
PRIVACY = st.builds(
    PrivacyTerms,
    clip=st.floats(1e-9, 10),
    value_range=st.floats(1e-9, 10),
    sigma=st.floats(0, 1e6),
    distribution=st.sampled_from(get_args(Distribution)),
    fewest_sites=COUNTS,
    colluders=COUNTS,
)
REQUESTS = st.builds(
    MaskRequest,
    run=TEXTS,
    round=POSITIVE,
    attempt=POSITIVE,
    step=st.sampled_from(get_args(MaskStep)),
    layout=TEXTS,
    terms=MASKS,
    payload=st.binary(max_size=200),
)
PLANS = st.builds(
    RoundPlan,
    run=TEXTS,
    round=POSITIVE,
    phase=st.sampled_from(["train", "evaluate", "report"]),
    spec=TEXTS,
    preprocessing=TEXTS,
    seed=st.integers(0, 2**63 - 1),
    training=st.builds(
        LocalTraining,
        epochs=POSITIVE,
        batch_size=POSITIVE,
        learning_rate=st.floats(1e-9, 10),
        weight_decay=st.floats(0, 1),
        max_rows=POSITIVE,
    ),
    quantisation=st.builds(
        Quantisation,
        preset=st.builds(smallest_preset, st.integers(3, 1000), st.integers(1, 16)).map(lambda preset: preset.name),
        bound=st.floats(1e-9, 1e9),
        rule=st.sampled_from(["fixed", "last-sum"]),
    ),
    total=st.binary(max_size=200),
    attempt=POSITIVE,
    masks=st.none() | MASKS,
    shares=st.binary(max_size=200),
    privacy=st.none() | PRIVACY,
    ledger_head=TEXTS,
)
REPORTS = st.tuples(COUNTS, COUNTS, COUNTS, st.floats(allow_nan=False, allow_infinity=False)).map(
    lambda t: SiteReport(model_round=t[0], rows=max(t[1:3]), correct=min(t[1:3]), loss=t[3])
)
UPDATES = st.builds(
    ClientUpdate,
    update=st.binary(max_size=200),
    model_tag=TEXTS,
    report=st.none() | REPORTS,
    seconds=st.floats(0, 1e9),
)


def over_the_wire(content: RecordDict) -> RecordDict:
    """As a SuperLink would deliver it."""
    return recorddict_from_proto(ProtoRecordDict.FromString(recorddict_to_proto(content).SerializeToString()))


@given(PLANS)
def test_a_plan_arrives_as_it_was_sent(plan):
    assert plan_from_content(over_the_wire(plan_to_content(plan))) == plan


@given(UPDATES)
def test_an_update_arrives_as_it_was_sent(update):
    assert update_from_content(over_the_wire(update_to_content(update))) == update


@given(REQUESTS, st.binary(max_size=200))
def test_a_question_about_masks_and_its_answer_arrive_as_they_were_sent(request, answer):
    assert request_from_content(over_the_wire(request_to_content(request))) == request
    assert answer_from_content(over_the_wire(answer_to_content(answer))) == answer


@given(st.binary(max_size=200))
def test_bytes_arrive_as_they_were_packed(data):
    assert unpack_bytes(pack_bytes(data)) == data


def test_the_size_of_a_plan_is_that_of_its_texts_and_its_sum(make_plan):
    plan = make_plan(
        spec="12", preprocessing="345", total=b"6789", shares=b"0", ledger_head="ab", strategy="cdef", compression=""
    )
    assert plan_size(plan) == 16


def damaged(content: RecordDict, record: str, **changes: object) -> RecordDict:
    """The same with some fields replaced, or removed where they are None."""
    old = content[record]
    fields = dict(old) | changes
    content[record] = type(old)({name: value for name, value in fields.items() if value is not None})
    return content


def replaced(content: RecordDict, record: str, by: object) -> RecordDict:
    if by is None:
        del content[record]
    else:
        content[record] = by
    return content


def array(**changes: object) -> ArrayRecord:
    return ArrayRecord({"data": Array(**{"dtype": "uint8", "shape": (3,), "stype": STYPE, "data": b"abc"} | changes)})


PACKED = [
    pytest.param(ConfigRecord({"a": 1}), "expected an array record", id="no-array"),
    pytest.param(array(stype="numpy.ndarray"), "expected one array of type", id="a-numpy-array"),
    pytest.param(array(shape=(2,)), "expected one array of type", id="shape-lies"),
    pytest.param(array(shape=(3, 1)), "expected one array of type", id="two-dimensions"),
    pytest.param(ArrayRecord({"other": array()["data"]}), "expected one array of type", id="another-name"),
    pytest.param(ArrayRecord({"data": array()["data"], "b": array()["data"]}), "expected one array", id="two-arrays"),
    pytest.param(None, "total|update", id="missing"),
]


@pytest.mark.parametrize(("by", "reason"), PACKED)
def test_a_plan_with_another_sum_is_refused(make_plan, by, reason):
    with pytest.raises(PlanError, match=reason):
        plan_from_content(replaced(plan_to_content(make_plan()), "total", by))


@pytest.mark.parametrize(
    ("record", "changes", "reason"),
    [
        pytest.param("plan", {"run": None}, "expected the fields run, round", id="missing"),
        pytest.param("plan", {"code": "import os"}, "expected the fields run, round", id="extra"),
        pytest.param("plan", {"round": "1"}, "round must be int, got str", id="text-for-a-number"),
        pytest.param("plan", {"round": True}, "round must be int, got bool", id="truth-for-a-number"),
        pytest.param("plan", {"seed": 1.0}, "seed must be int, got float", id="float-for-an-integer"),
        pytest.param("plan", {"spec": b"{}"}, "spec must be str, got bytes", id="bytes-for-a-text"),
        pytest.param("plan", {"phase": "release"}, "unknown phase 'release'", id="unknown-phase"),
        pytest.param("training", {"epochs": 0}, "expected positive, finite numbers", id="no-epochs"),
        pytest.param("training", {"epochs": [1]}, "epochs must be int, got list", id="list-for-a-number"),
        pytest.param("training", {"learning_rate": nan}, "expected positive, finite numbers", id="nan"),
        pytest.param("training", {"learning_rate": inf}, "expected positive, finite numbers", id="infinite"),
        pytest.param("training", {"weight_decay": -0.1}, "expected positive, finite numbers", id="negative"),
        pytest.param("training", {"max_rows": 0}, "expected positive, finite numbers", id="no-rows"),
        pytest.param("training", {"max_rows": None}, "expected the fields epochs", id="missing-in-training"),
        pytest.param("plan", {"attempt": None}, "expected the fields run, round", id="no-attempt"),
        pytest.param("plan", {"attempt": 1.0}, "attempt must be int, got float", id="float-for-an-attempt"),
        pytest.param("quantisation", {"preset": "mine"}, "no name of a preset", id="unknown-preset"),
        pytest.param("quantisation", {"preset": 3}, "preset must be str, got int", id="number-for-a-preset"),
        pytest.param(
            "quantisation", {"preset": "rlwe2048-k1000-l65535-p4-d0"}, "could be wrong", id="preset-not-exact"
        ),
        pytest.param("quantisation", {"bound": 0.0}, "expected a finite bound > 0", id="no-range"),
        pytest.param("quantisation", {"bound": nan}, "expected a finite bound > 0", id="range-nan"),
        pytest.param("quantisation", {"bound": inf}, "expected a finite bound > 0", id="range-infinite"),
        pytest.param("quantisation", {"rule": "mine"}, "expected a finite bound > 0 and the rule", id="unknown-rule"),
        pytest.param("quantisation", {"rule": None}, "expected the fields preset", id="missing-in-quantisation"),
    ],
)
def test_a_damaged_plan_is_refused_with_a_reason(make_plan, record, changes, reason):
    with pytest.raises(PlanError, match=reason):
        plan_from_content(damaged(plan_to_content(make_plan()), record, **changes))


@pytest.mark.parametrize("record", ["plan", "training", "quantisation"])
@pytest.mark.parametrize("by", [None, ArrayRecord()], ids=["missing", "of-another-kind"])
def test_a_plan_without_a_record_is_refused(make_plan, record, by):
    with pytest.raises(PlanError, match="a damaged round plan"):
        plan_from_content(replaced(plan_to_content(make_plan()), record, by))


REQUEST = MaskRequest(
    layout="cd" * 32,
    run="01JRUN",
    round=1,
    attempt=1,
    step="advertise",
    terms=MaskTerms(roster_sha256="ab" * 32, threshold=3, colluders=1),
    payload=b"abc",
)


@pytest.mark.parametrize(
    ("record", "changes", "reason"),
    [
        pytest.param("request", {"round": None}, "expected the fields run, round", id="missing"),
        pytest.param("request", {"more": 1}, "expected the fields run, round", id="extra"),
        pytest.param("request", {"attempt": 1.0}, "attempt must be int, got float", id="float-for-an-integer"),
        pytest.param("request", {"step": "reveal everything"}, "unknown step", id="unknown-step"),
        pytest.param("masks", {"threshold": "3"}, "threshold must be int, got str", id="text-for-a-number"),
        pytest.param("masks", {"colluders": None}, "expected the fields roster_sha256", id="missing-in-terms"),
    ],
)
def test_a_damaged_question_about_masks_is_refused_with_a_reason(record, changes, reason):
    assert request_from_content(request_to_content(REQUEST)) == REQUEST
    with pytest.raises(PlanError, match=reason):
        request_from_content(damaged(request_to_content(REQUEST), record, **changes))


@pytest.mark.parametrize(("by", "reason"), [*PACKED[:-1], pytest.param(None, "payload|answer", id="missing")])
def test_a_question_or_an_answer_about_masks_without_its_bytes_is_refused(by, reason):
    with pytest.raises(PlanError, match=reason):
        request_from_content(replaced(request_to_content(REQUEST), "payload", by))
    with pytest.raises(UpdateRejectedError, match=reason):
        answer_from_content(replaced(answer_to_content(b"abc"), "answer", by))


UPDATE = ClientUpdate(
    update=b"abc",
    model_tag="ab" * 32,
    report=SiteReport(model_round=1, rows=9, correct=3, loss=0.5),
    seconds=0.25,
)


def test_the_tables_below_damage_something_valid():
    assert update_from_content(update_to_content(UPDATE)) == UPDATE


@pytest.mark.parametrize(("by", "reason"), PACKED)
def test_an_update_with_another_payload_is_refused(by, reason):
    with pytest.raises(UpdateRejectedError, match=reason):
        update_from_content(replaced(update_to_content(UPDATE), "update", by))


@pytest.mark.parametrize(
    ("record", "changes", "reason"),
    [
        pytest.param("status", {"model_tag": None}, "expected the fields model_tag", id="missing"),
        pytest.param("status", {"more": 1}, "expected the fields model_tag", id="extra"),
        pytest.param("status", {"model_tag": 1}, "model_tag must be str, got int", id="number-for-a-text"),
        pytest.param("status", {"seconds": 1}, "seconds must be float, got int", id="integer-for-a-float"),
        pytest.param("status", {"seconds": nan}, "expected seconds >= 0, got nan", id="seconds-nan"),
        pytest.param("status", {"seconds": inf}, "expected seconds >= 0, got inf", id="seconds-infinite"),
        pytest.param("status", {"seconds": -1.0}, "expected seconds >= 0, got -1.0", id="seconds-negative"),
        pytest.param("report", {"rows": None}, "expected the fields model_round", id="report-incomplete"),
        pytest.param("report", {"rows": 1.0}, "rows must be int, got float", id="report-float"),
        pytest.param("report", {"loss": 1}, "loss must be float, got int", id="report-integer"),
    ],
)
def test_a_damaged_update_is_refused_with_a_reason(record, changes, reason):
    with pytest.raises(UpdateRejectedError, match=reason):
        update_from_content(damaged(update_to_content(UPDATE), record, **changes))


def test_the_reason_stays_short_and_printable_whatever_a_site_names_its_fields():
    content = damaged(update_to_content(UPDATE), "status", **{f"\0{'x' * 5000}": 1})
    with pytest.raises(UpdateRejectedError) as caught:
        update_from_content(content)
    assert len(caught.value.message) < 400
    assert caught.value.message.isprintable()


RECORDS = st.one_of(
    st.dictionaries(st.text(max_size=5), st.integers(-(2**62), 2**62) | st.floats(), max_size=3).map(MetricRecord),
    st.dictionaries(
        st.sampled_from(["model_tag", "seconds", "run", "x"]), TEXTS | st.floats() | st.binary(), max_size=3
    ).map(ConfigRecord),
    st.binary(max_size=9).map(pack_bytes),
)


@given(
    st.dictionaries(
        st.sampled_from(["status", "update", "report", "plan", "training", "quantisation", "total"]), RECORDS
    )
)
def test_random_content_is_at_most_refused(content):
    """What is read at all is read again the same after being sent on."""
    for read, write, refusal in (
        (update_from_content, update_to_content, UpdateRejectedError),
        (plan_from_content, plan_to_content, PlanError),
    ):
        try:
            value = read(RecordDict(content))
        except refusal:
            continue
        assert read(write(value)) == value
