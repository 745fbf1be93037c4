"""Categories and classes: every site learns the union of names, whoever has them, in one order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nasturtium.core import FormatError
from nasturtium.core.data import Column, Dataset, Preprocessing, Task
from nasturtium.federated.agreement import NameTable, Schema, SiteAgreement, Terms, conform, first_question
from nasturtium.federated.agreement.names import MAP_PLACES, MAX_SALT, map_names, map_width, table_for
from nasturtium.federated.agreement.parts import decode_parts, encode_parts
from nasturtium.federated.agreement.schema import MAX_NAME_BYTES, MAX_NAMES, sort_names
from nasturtium.federated.errors import AgreementError

from .conftest import KEY, RUN, agree, make_table, pooled, terms_for

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def add_up(table: NameTable, sites: list[set[tuple[int, str]]], key: bytes = KEY) -> dict[tuple[int, str], int] | None:
    """What the sum of the sites' tables tells, through the symbols of 15 levels."""
    symbols = [encode_parts(table.parts, table.fill(sorted(names), key), 15).astype(np.int64) for names in sites]
    return table.read(decode_parts(table.parts, np.sum(symbols, axis=0), 15, len(sites)), key, len(sites))


def tell(sites: list[set[tuple[int, str]]], columns: int) -> NameTable:
    """The table that the first sum leads to."""
    marked = np.sum([map_names(names, KEY) for names in sites], axis=0)
    widths = [map_width(max((len(name.encode()) for _, name in names), default=0)) for names in sites]
    return table_for(marked, np.sum(widths, axis=0), columns)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.tuples(st.integers(0, 2), TEXT), max_size=9), min_size=3, max_size=7))
def test_the_sum_tells_every_name_and_how_many_have_it(sites: list[set[tuple[int, str]]]) -> None:
    table, found = tell(sites, 3), None
    while found is None:
        found = add_up(table, sites)
        table = table.next() if found is None else table
    every = set[tuple[int, str]]().union(*sites)
    assert found == {name: sum(name in names for names in sites) for name in every}


def test_a_thousand_names_of_twenty_sites_need_one_table_and_fit_in_it() -> None:
    rng = np.random.default_rng(0)
    every = [(int(place % 3), f"Straße {place}") for place in range(1000)]
    sites = [{every[place] for place in rng.choice(1000, 300, replace=False)} for _ in range(20)]
    table = tell(sites, 3)
    assert table.cells < 1800
    assert table.width == 16
    found = add_up(table, sites)
    assert found is not None
    assert set(found) == set[tuple[int, str]]().union(*sites)


def test_names_that_meet_in_all_cells_are_told_apart_by_a_later_table() -> None:
    sites = [{(0, f"name {place}") for place in range(20)}] * 3
    table, tried = NameTable(3, 16, 1), 0
    while (found := add_up(table, sites)) is None:
        table, tried = table.next(), tried + 1
    assert tried > 1
    assert len(found) == 20


def test_a_cell_with_more_names_than_it_holds_says_nothing_of_them() -> None:
    numbers = NameTable(3, 16, 1).fill([(0, f"name {place}") for place in range(100)], KEY)
    assert numbers["cells: names"].tolist() == [64] * 3
    assert not numbers["cells: bytes"].any()


def test_enough_tables_are_enough() -> None:
    table = NameTable(3, 8, 1)
    for _ in range(MAX_SALT - 1):
        table = table.next()
    with pytest.raises(AgreementError, match=f"told apart in {MAX_SALT} tables"):
        table.next()


def test_another_key_reads_nothing() -> None:
    table = NameTable(60, 16, 1)
    numbers = table.fill([(0, "yes"), (0, "no")], KEY)
    assert table.read(numbers, KEY, 1) == {(0, "yes"): 1, (0, "no"): 1}
    assert table.read(numbers, b"x" * 32, 1) is None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_table_that_was_tampered_with_never_tells_a_wrong_name(data: st.DataObject) -> None:
    table = NameTable(30, 8, 2)
    names = {(0, "yes"), (1, "no"), (1, "")}
    numbers = {name: part.copy() for name, part in table.fill(sorted(names), KEY).items()}
    part = data.draw(st.sampled_from(sorted(numbers)))
    place = data.draw(st.integers(0, len(numbers[part]) - 1))
    numbers[part][place] += data.draw(st.sampled_from([-1, 1, 2, 255, 1 << 40]))
    assert table.read(numbers, KEY, 3) is None


def test_a_full_map_still_gives_a_table() -> None:
    table = table_for(np.ones(MAP_PLACES, np.int64), map_width(0), 1)
    assert table.cells <= 1.5 * MAX_NAMES + 43


def shares() -> list[Dataset]:
    """Three sites that know different categories and classes, and hold their columns in different orders."""
    names = ["group", "age"]
    first = make_table([["a", 1.0], ["b", 2.0], ["a", 3.0]], ["no", "yes", "no"], names)
    second = make_table([[1.0, "ä"], [2.0, "b"], [9.0, "ä"]], ["maybe", "yes", "yes"], names[::-1])
    third = make_table([["z", 5.0], ["z", 6.0], ["b", 7.0]], ["no", "maybe", "no"], names)
    return [first, second, third]


def test_sites_that_lack_categories_and_classes_get_them_all_in_one_order() -> None:
    parts = shares()
    agreed, opening = agree(parts, terms_for(parts))
    assert agreed.task.classes == ("maybe", "no", "yes")
    assert agreed.task.features == ("group", "age")
    assert agreed.task.columns[0].categories == ("a", "b", "z", "ä")
    whole = pooled(parts, agreed.task)
    expected = Preprocessing.fit(whole.inputs, agreed.task)
    assert agreed.apply(whole.inputs) == pytest.approx(expected.apply(whole.inputs))
    assert opening.facts is not None
    assert (opening.facts.input_shape, opening.facts.outputs) == ((5,), 3)
    assert opening.facts.task.outputs == 3


def test_rows_mean_the_same_after_they_conform() -> None:
    parts = shares()
    agreed, _ = agree(parts, terms_for(parts))
    for part in parts:
        same = conform(part, agreed.task)
        for before, after in zip(part.labels.tolist(), same.labels.tolist(), strict=True):
            assert part.task.classes[before] == same.task.classes[after]
        place = part.task.features.index("group")
        for before, after in zip(part.inputs[:, place], same.inputs[:, 0], strict=True):
            assert part.task.columns[place].categories[int(before)] == agreed.task.columns[0].categories[int(after)]
        assert same.inputs[:, 1].tolist() == part.inputs[:, part.task.features.index("age")].tolist()


def test_a_category_that_only_a_list_knows_is_unseen() -> None:
    task = Task(
        input_shape=(3,),
        features=("group",),
        classes=("no", "yes"),
        columns=(Column(name="group", kind="categorical", categories=("a", "b", "c")),),
    )
    parts = [Dataset("rows", np.array([[0.0], [2.0]]), np.array([0, 1]), task)] * 3
    agreed, _ = agree(parts, terms_for(parts))
    assert agreed.unseen.tolist() == [1]


def test_new_categories_are_zeros_if_one_site_says_so() -> None:
    rows = [["a"], ["b"], ["a"]]
    parts = [make_table(rows, [0, 1, 0], ["group"], unknown=each) for each in ("refuse", "zeros", "refuse")]
    agreed, _ = agree(parts, terms_for(parts))
    assert agreed.task.columns[0].unknown == "zeros"


def test_the_same_site_three_times_and_a_thousand_categories() -> None:
    rows = [[f"kind {place % 1000}", float(place)] for place in range(2000)]
    task = Task(
        input_shape=(1001,),
        features=("kind", "x"),
        classes=("no", "yes"),
        columns=(
            Column(name="kind", kind="categorical", categories=tuple(f"kind {place}" for place in range(1000))),
            Column(name="x"),
        ),
    )
    inputs = np.array([[place % 1000, place] for place in range(2000)], np.float64)
    whole = Dataset("rows", inputs, np.arange(2000) % 2, task)
    assert len(rows) == len(whole)
    parts = [whole.take(np.arange(place, 2000, 3)) for place in range(3)]
    agreed, _ = agree(parts, terms_for(parts))
    assert len(agreed.task.columns[0].categories) == 1000
    assert agreed.task.columns[0].categories == tuple(sorted(f"kind {place}" for place in range(1000)))


def test_too_many_and_too_long_names_are_told_with_their_column() -> None:
    long = make_table([["x" * 300], ["y"], ["y"]], ["no", "yes", "no"], ["note"])
    with pytest.raises(AgreementError, match=f"column 'note': a name has 300 bytes, expected at most {MAX_NAME_BYTES}"):
        SiteAgreement(long, terms_for([long]), run=RUN, key=KEY)
    classes = tuple(map(str, range(MAX_NAMES + 1)))
    many = Dataset("rows", np.ones((2, 1)), np.array([0, 1]), Task(input_shape=(1,), features=("x",), classes=classes))
    with pytest.raises(AgreementError, match=f"{MAX_NAMES + 1} categories and classes"):
        SiteAgreement(many, terms_for([many]), run=RUN, key=KEY)
    half = Dataset(
        "rows", np.ones((2, 1)), np.array([0, 1]), Task(input_shape=(1,), features=("x",), classes=("\ud800", "a"))
    )
    with pytest.raises(AgreementError, match="not Unicode text"):
        SiteAgreement(half, terms_for([half]), run=RUN, key=KEY)


def test_empty_names_and_zero_bytes_are_names_like_others() -> None:
    names = {(0, ""), (0, "\0"), (0, "\0\0"), (1, "a\0"), (1, "a")}
    table = NameTable(90, 8, 2)
    assert table.read(table.fill(names, KEY), KEY, 1) == dict.fromkeys(names, 1)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(["10", "9", "-1"], ("-1", "9", "10"), id="numbers-by-size"),
        pytest.param(["2.5", "10", "2"], ("2", "2.5", "10"), id="fractions"),
        pytest.param(["10", "9", "x"], ("10", "9", "x"), id="text-by-code-points"),
        pytest.param(["09", "10", "9"], ("09", "10", "9"), id="not-as-numbers-are-written"),
        pytest.param(["nan", "1"], ("1", "nan"), id="nan-is-text"),
        pytest.param(["é", "z", "A"], ("A", "z", "é"), id="unicode"),
        pytest.param([], (), id="none"),
    ],
)
def test_names_have_one_order(names: list[str], expected: tuple[str, ...]) -> None:
    assert sort_names(names) == expected


def test_whole_numbers_as_classes_stand_in_the_order_of_one_data_set() -> None:
    labels = [place % 12 for place in range(120)]
    parts = [make_table([[float(place)] for place in range(120)], labels, ["x"])] * 3
    agreed, _ = agree(parts, terms_for(parts))
    assert agreed.task.classes == parts[0].task.classes == tuple(map(str, range(12)))


def test_public_names_are_not_asked_for_and_bind() -> None:
    parts = shares()
    schema = terms_for(parts).schema
    columns = tuple(
        type(column)(
            name=column.name, kind=column.kind, categories=("z", "a", "b", "ä") if column.name == "group" else ()
        )
        for column in schema.columns
    )
    given = Schema(kind="classification", modality="table", columns=columns, classes=("yes", "no", "maybe"))
    terms = Terms(schema=given)
    question = first_question(terms)
    assert question is not None
    assert "map" not in {part.name for part in question.parts}
    agreed, _ = agree(parts, terms)
    assert agreed.task.classes == ("yes", "no", "maybe")
    assert agreed.task.columns[0].categories == ("z", "a", "b", "ä")
    few = Schema(kind="classification", modality="table", columns=columns, classes=("yes", "no"))
    with pytest.raises(AgreementError, match="the target: 'maybe' is not among"):
        SiteAgreement(parts[1], Terms(schema=few), run=RUN, key=KEY)
    with pytest.raises(FormatError, match="listed twice"):
        Schema(kind="classification", modality="table", columns=columns, classes=("yes", "yes"))


CELLS = st.tuples(
    st.none() | st.integers(-9, 9).map(lambda x: x / 4), st.none() | st.sampled_from("abcé"), st.sampled_from("xyz")
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=12), min_size=3, max_size=5), st.sampled_from(["fill", "indicate"])
)
def test_any_split_of_a_table_gives_what_one_file_would_have(
    sites: list[list[tuple[object, ...]]], missing: str
) -> None:
    # What a site cannot load by itself is not its part in an agreement: one class only, a column without any value.
    for cells in sites:
        assume(len({row[2] for row in cells}) > 1)
        assume(all(any(row[place] is not None for row in cells) for place in (0, 1)))
    names = ["number", "group"]
    parts = [
        make_table([row[:2] for row in cells], [row[2] for row in cells], names, missing=missing) for cells in sites
    ]
    together = [row for cells in sites for row in cells]
    whole = make_table([row[:2] for row in together], [row[2] for row in together], names, missing=missing)
    agreed, _ = agree(parts, terms_for(parts))
    assert agreed.task == whole.task
    expected = Preprocessing.fit(whole.inputs, whole.task)
    assert agreed.fill == pytest.approx(expected.fill, rel=1e-12, abs=1e-12)
    assert agreed.unseen.tolist() == expected.unseen.tolist()
    if len({row[0] for row in together}) > 2:  # else NumPy may take rounding for a spread
        assert agreed.offset == pytest.approx(expected.offset, rel=1e-10, abs=1e-10)
        assert agreed.scale == pytest.approx(expected.scale, rel=1e-10)
        assert agreed.apply(whole.inputs) == pytest.approx(expected.apply(whole.inputs), rel=1e-4, abs=1e-5)
