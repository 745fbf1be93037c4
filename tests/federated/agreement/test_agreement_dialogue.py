"""Questions, what is told of the answers, and what happens when somebody lies."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, FormatError, NasturtiumError
from nasturtium.core.data import Column, Dataset, Preprocessing, Task, load_dataset
from nasturtium.federated.agreement import (
    Facts,
    NameTable,
    Question,
    Schema,
    SchemaColumn,
    SiteAgreement,
    Terms,
    conform,
    first_question,
    merge_schemas,
    public_preprocessing,
)
from nasturtium.federated.agreement.known import Known
from nasturtium.federated.errors import AgreementError, Refusal

from .conftest import KEY, RUN, agree, ask_all, ids_of, make_table, terms_for


def parts_of(count: int = 3) -> list[Dataset]:
    """Sites with a number that is missing somewhere, and categories."""
    rng = np.random.default_rng(0)
    return [
        make_table(
            [[None if row == 2 else float(rng.normal(40, 9)), "abc"[(row + site) % 3]] for row in range(8 + site)],
            ["yes" if row % 2 else "no" for row in range(8 + site)],
            ["age", "group"],
        )
        for site in range(count)
    ]


def columns_of(*names: str) -> Schema:
    columns = tuple(SchemaColumn(name=name, kind="numeric") for name in names)
    return Schema(kind="classification", modality="table", columns=columns)


@pytest.mark.parametrize(
    ("task", "said", "column"),
    [
        pytest.param(Task(input_shape=(1,), features=("a",), classes=("0", "1")), "'b' is missing", "b", id="missing"),
        pytest.param(
            Task(
                input_shape=(3,),
                features=("a", "b"),
                classes=("0", "1"),
                columns=(Column(name="a"), Column(name="b", kind="categorical", categories=("x", "y"))),
            ),
            "'b' is of categories, expected of numbers",
            "b",
            id="other-kind",
        ),
        pytest.param(
            Task(input_shape=(2,), features=("a", "b"), kind="regression", targets=("y",)),
            "for a regression, expected a classification",
            None,
            id="regression",
        ),
        pytest.param(
            load_dataset("digits").task, r"images of shape \(1, 8, 8\), expected of a table", None, id="images"
        ),
    ],
)
def test_a_site_that_does_not_fit_is_told_which_column_and_why(task: Task, said: str, column: str | None) -> None:
    with pytest.raises(AgreementError, match=said) as raised:
        columns_of("a", "b").check(task)
    assert (raised.value.column, raised.value.refusal) == (column, Refusal.SCHEMA)


def test_other_shapes_and_targets_do_not_fit() -> None:
    image = Schema(kind="classification", modality="image", row_shape=(1, 2, 2), features=("a", "b", "c", "d"))
    other = replace(image, row_shape=(1, 4, 1))
    assert image.problems(other) == [
        (None, "the rows are images of shape (1, 4, 1), expected images of shape (1, 2, 2)")
    ]
    one = replace(columns_of("a"), kind="regression", targets=("y",))
    assert one.problems(replace(one, targets=("z",))) == [(None, "the targets are z, expected y")]


def test_more_columns_and_another_order_fit() -> None:
    columns_of("a", "b").check(Task(input_shape=(3,), features=("b", "x", "a"), classes=("0", "1")))


def test_the_schema_of_most_sites_is_taken_and_the_others_are_told() -> None:
    said = {
        "first": columns_of("b", "a"),
        "second": columns_of("b", "a", "extra"),
        "as the first": columns_of("b", "a"),
        "third": columns_of("b"),
        "fourth": Schema(
            kind="classification",
            modality="table",
            columns=(SchemaColumn(name="a", kind="categorical"), SchemaColumn(name="b", kind="numeric")),
        ),
    }
    schema, problems = merge_schemas(said)
    assert [column.name for column in schema.columns] == ["b", "a"]
    assert problems["third"] == "column 'a' is missing"
    assert problems["fourth"] == "column 'a' is of categories, expected of numbers"
    assert set(problems) == {"third", "fourth"}
    assert merge_schemas(dict(reversed(said.items())))[0] == schema


def test_sites_with_nothing_in_common_agree_on_nothing() -> None:
    image = Schema(kind="classification", modality="image", row_shape=(1, 1, 1), features=("a",))
    with pytest.raises(AgreementError, match="no kind and shape"):
        merge_schemas({"first": columns_of("a"), "second": image})
    with pytest.raises(AgreementError, match="no column"):
        merge_schemas({"first": columns_of("a"), "second": columns_of("b")})


@pytest.mark.parametrize(
    "schema",
    [
        columns_of("a", "b"),
        Schema(
            kind="regression",
            modality="table",
            columns=(SchemaColumn(name="a", kind="numeric", range=(0.0, 1.5), missing="fill"),),
            targets=("y",),
            target_ranges=((-1.0, 1.0),),
        ),
        Schema(
            kind="classification",
            modality="image",
            row_shape=(1, 1, 2),
            features=("p", "q"),
            range=(0.0, 255.0),
            classes=("é", ""),
        ),
        Schema(
            kind="classification",
            modality="table",
            columns=(SchemaColumn(name="", kind="categorical", categories=("x", "")),),
        ),
    ],
)
def test_schemas_survive_json(schema: Schema) -> None:
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema
    terms = Terms(schema=schema, measure="range")
    assert Terms.from_dict(json.loads(json.dumps(terms.to_dict()))) == terms


def test_every_question_survives_json_and_has_the_size_it_says() -> None:
    parts = parts_of()
    terms = terms_for(parts, fill="median")
    sites = [SiteAgreement(part, terms, run=RUN, key=KEY) for part in parts]
    question, steps = first_question(terms), list[str]()
    while question is not None:
        assert Question.from_json(question.to_json()) == question
        steps.append(question.step)
        sums = np.sum([site.answer(question, 31).astype(np.int64) for site in sites], axis=0)
        assert len(sums) == question.values(31)
        [text] = {site.learn(sums, 31, ids_of(3)).question for site in sites}
        question = Question.from_json(text) if text else None
    assert steps == ["survey", "sums", "spread", "search", "search", "search", "search", "moments"]


DOCUMENT = json.loads(Question(terms=terms_for(parts_of())).to_json())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_questions_are_refused(data: st.DataObject) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    spot, path = document, list[str | int]()
    while True:
        path.append(data.draw(st.sampled_from(sorted(spot) if isinstance(spot, dict) else range(len(spot)))))
        inner = spot[path[-1]]
        if not (isinstance(inner, dict | list) and inner) or data.draw(st.booleans()):
            break
        spot = inner
    strange = st.sampled_from([None, -1, 10**30, 1.5, "", "x", [], {}, True, ["x"], {"a": 1}, [[1, 2]]])
    new = data.draw(strange)
    if type(new) is type(spot[path[-1]]) and new == spot[path[-1]]:
        return
    spot[path[-1]] = new
    try:
        question = Question.from_json(json.dumps(document))
    except NasturtiumError:
        return
    assert question.to_json()  # another question, in order as far as anybody can tell


def test_a_question_that_does_not_follow_is_not_answered() -> None:
    parts = parts_of()
    terms = terms_for(parts)
    site = SiteAgreement(parts[0], terms, run=RUN, key=KEY)
    table = NameTable(3, 256, 2)
    for question in (
        Question(terms=terms, step="sums", number=2, table=table),
        Question(terms=replace(terms, measure="range")),
        Question(terms=terms, step="moments", number=4),
    ):
        with pytest.raises(AgreementError, match="expected 1") as raised:
            site.answer(question, 255)
        assert raised.value.refusal is Refusal.ORDER


@pytest.mark.parametrize(
    "fields",
    [
        {"step": "names"},
        {"step": "survey", "table": NameTable(3, 8, 1)},
        {"number": 0},
        {"categories": -1},
    ],
)
def test_questions_that_cannot_be(fields: dict[str, object]) -> None:
    with pytest.raises(AgreementError):
        Question(terms=terms_for(parts_of()), **fields)  # pyright: ignore


def test_a_contribution_of_enormous_size_is_refused_before_it_is_made() -> None:
    features = tuple(f"x_{place}" for place in range(3 * 1000 * 1000))
    schema = Schema(kind="classification", modality="image", row_shape=(3, 1000, 1000), features=features)
    question = first_question(Terms(schema=schema, standardise="each"))
    assert question is not None
    with pytest.raises(AgreementError, match="symbols"):
        question.values(255)


def test_a_site_goes_on_after_a_restart_with_what_it_kept() -> None:
    parts = parts_of()
    terms = terms_for(parts, fill="median")
    expected, _ = agree(parts, terms)
    sites = [SiteAgreement(part, terms, run=RUN, key=KEY) for part in parts]
    question = first_question(terms)
    while question is not None:
        kept = json.loads(json.dumps(sites[0].to_dict()))
        sites[0] = SiteAgreement.resume(kept, parts[0], key=KEY)
        sums = np.sum([site.answer(question, 255).astype(np.int64) for site in sites], axis=0)
        [opening] = {site.learn(sums, 255, ids_of(3)) for site in sites}
        question = Question.from_json(opening.question) if opening.question else None
    again = SiteAgreement.resume(json.loads(json.dumps(sites[0].to_dict())), parts[0], key=KEY)
    assert again.agreed is not None
    assert again.agreed.to_dict() == expected.to_dict()
    assert again.tag() == sites[1].tag()


def test_tags_tell_only_whether_sites_agree() -> None:
    parts = parts_of()
    terms = terms_for(parts)
    tags = {
        SiteAgreement(parts[0], terms, run=run, key=key).tag()
        for run, key in ((RUN, KEY), (RUN, b"x" * 32), ("01JOTHER", KEY), (RUN, None))
    }
    assert len(tags) == 4
    assert SiteAgreement(parts[1], terms, run=RUN, key=KEY).tag() in tags


def test_what_the_coordinator_is_told_holds_no_name_and_no_number_of_the_data() -> None:
    parts = parts_of()
    terms = terms_for(parts)
    sites = [SiteAgreement(part, terms, run=RUN, key=KEY) for part in parts]
    question, told = first_question(terms), list[str]()
    while question is not None:
        told.append(question.to_json())
        sums = np.sum([site.answer(question, 255).astype(np.int64) for site in sites], axis=0)
        [opening] = {site.learn(sums, 255, ids_of(3)) for site in sites}
        question = Question.from_json(opening.question) if opening.question else None
    assert opening.facts == Facts(kind="classification", input_shape=(5,), outputs=2)
    assert Facts.from_dict(json.loads(json.dumps(opening.facts.to_dict()))) == opening.facts
    for text in told:
        said = json.loads(text)
        assert set(said) == {"format", "version", "terms", "step", "number", "table", "categories"}
        assert said["terms"] == terms.to_dict()
        assert said["table"] is None or set(said["table"]) == {"cells", "width", "columns", "salt"}


@pytest.mark.parametrize("value", [None, {}, {"kind": "classification", "input_shape": [0], "outputs": 2}, [1]])
def test_facts_are_checked(value: object) -> None:
    with pytest.raises(FormatError):
        Facts.from_dict(value)


# What a site that lies adds to its numbers, in which step, and whether that can be seen in the sum.
LIES = {
    "marks-two-magnitudes": ("survey", "exponents", lambda n: np.ones_like(n)),
    "marks-two-widths": ("survey", "widths", lambda n: np.ones_like(n)),
    "names-that-are-none": ("sums", "cells: digests", lambda n: n + 1),
    "a-name-for-many": ("sums", "cells: names", lambda n: n + 7),
    "more-categories-than-rows": ("spread", "categories", lambda n: n + 10**9),
    "marks-two-spreads": ("spread", "spreads", lambda n: np.ones_like(n)),
    "far-from-the-mean": ("moments", "first", lambda n: np.full_like(n, 1 << 50)),
    "squares-beyond-the-largest": ("moments", "second", lambda n: np.full_like(n, 1 << 50)),
    "a-mean-beyond-the-largest": ("sums", "sums", lambda n: np.full_like(n, 1 << 50)),
    "more-numbers-than-rows": ("moments", "counts", lambda n: n + 10**9),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_no_sites_can_have_added_up_to_ends_the_agreement(lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    step, part, change = LIES[lie]
    again = {"names"} if part.startswith("cells") else set[str]()
    parts = parts_of()
    terms = terms_for(parts)
    sites = [SiteAgreement(each, terms, run=RUN, key=KEY) for each in parts]
    honest = sites[2]._contribution

    def lying(question: Question) -> dict[str, np.ndarray]:
        numbers = honest(question)
        return numbers | {part: change(numbers[part])} if question.step in {step, *again} else numbers

    monkeypatch.setattr(sites[2], "_contribution", lying)
    with pytest.raises(AgreementError, match=r"false values|cannot be told apart"):
        ask_all(sites, first_question(terms), 255)


def test_a_sum_that_cannot_be_changes_nothing() -> None:
    parts = parts_of()
    terms = terms_for(parts)
    site = SiteAgreement(parts[0], terms, run=RUN, key=KEY)
    question = first_question(terms)
    assert question is not None
    before = site.to_dict()
    with pytest.raises(AgreementError, match="false values"):
        site.learn(np.full(question.values(255), 3 * 254), 255, ids_of(3))
    assert site.to_dict() == before
    assert site.known == Known()


def public_terms() -> Terms:
    return Terms(
        schema=Schema(
            kind="classification",
            modality="table",
            columns=(
                SchemaColumn(name="group", kind="categorical", categories=("c", "b", "a")),
                SchemaColumn(name="age", kind="numeric", range=(0.0, 120.0), missing="indicate"),
            ),
            classes=("no", "yes"),
        )
    )


def test_with_differential_privacy_exact_sums_are_refused_with_what_is_not_public() -> None:
    terms = terms_for(parts_of())
    terms.check_privacy(private=False)
    with pytest.raises(ConfigError, match=r"differential privacy.*column 'age', column 'group', the classes"):
        terms.check_privacy(private=True)
    digits = Terms(schema=Schema.of(load_dataset("digits").task))
    with pytest.raises(ConfigError, match="the classes, the range"):
        digits.check_privacy(private=True)
    public_terms().check_privacy(private=True)


def test_public_knowledge_alone_makes_a_preprocessing_and_nothing_is_asked() -> None:
    terms = public_terms()
    assert first_question(terms) is None
    made = public_preprocessing(terms)
    assert made.task.input_shape == (5,)
    assert Preprocessing.from_dict(made.to_dict()).task == made.task
    for part in parts_of():
        site = SiteAgreement(part, terms, run=RUN, key=KEY)
        assert site.question is None
        assert site.agreed is not None
        assert site.agreed.to_dict() == made.to_dict()
        assert site.opening().facts == Facts(kind="classification", input_shape=(5,), outputs=2)
        scaled = made.apply(conform(part, made.task).inputs)
        assert (scaled[:, 3] > 0).all()
        assert (scaled[:, 3] < 1).all()
    images = Schema(
        kind="classification",
        modality="image",
        row_shape=(1, 1, 2),
        features=("p", "q"),
        range=(0.0, 16.0),
        classes=("0", "1"),
    )
    assert public_preprocessing(Terms(schema=images)).scale == 16.0


def test_a_public_range_is_taken_and_not_asked_for() -> None:
    parts = parts_of()
    schema = terms_for(parts).schema
    age, group = schema.columns
    terms = Terms(schema=replace(schema, columns=(replace(age, range=(0.0, 100.0)), group)))
    assert terms.groups == 0
    agreed, _ = agree(parts, terms)
    assert (agreed.offset[0], agreed.scale[0], agreed.fill[0]) == (0.0, 100.0, 50.0)
    assert agreed.task.columns[1].categories == ("a", "b", "c")


def test_missing_values_that_the_job_refuses_are_told() -> None:
    parts = parts_of()
    schema = terms_for(parts).schema
    age, group = schema.columns
    terms = Terms(schema=replace(schema, columns=(replace(age, missing="refuse"), group)))
    with pytest.raises(AgreementError, match="'age' has missing values") as raised:
        SiteAgreement(parts[0], terms, run=RUN, key=KEY)
    assert raised.value.column == "age"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"fill": "most_frequent"}, "fill as one of mean, median"),
        ({"standardise": "channel"}, "standardise as one of each, none"),
        ({"measure": "size"}, "measure as one of"),
    ],
)
def test_terms_are_checked(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Terms(schema=columns_of("a"), **settings)  # pyright: ignore


def test_a_site_whose_names_were_not_in_the_sum_is_told_which() -> None:
    parts = parts_of()
    agreed, _ = agree(parts, terms_for(parts))
    other = make_table([[1.0, "new"], [2.0, "a"], [3.0, "new"]], ["no", "yes", "no"], ["age", "group"])
    with pytest.raises(AgreementError, match="column 'group': 'new' is not among the 3 names") as raised:
        conform(other, agreed.task)
    assert raised.value.column == "group"


def test_one_class_over_all_sites_is_nothing_to_learn() -> None:
    task = Task(input_shape=(1,), features=("x",), classes=("same",))
    with pytest.raises(AgreementError, match="nothing to learn"):
        Known(
            names=(("same",),),
            missing=("refuse",),
            zeros=(False,),
            spreads=(80,),
            means=(0.0,),
            scales=(0,),
            counted=(3,),
        )._agreed(
            Question(terms=Terms(schema=Schema.of(task)), step="moments", number=4),
            {name: np.array([count]) for name, count in (("rows", 3), ("counts", 3), ("first", 0), ("second", 0))},
            3,
        )
