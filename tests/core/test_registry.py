"""Registries: one declaration a name."""

from __future__ import annotations

import pytest

from nasturtium.core import ConfigError, Registry


@pytest.fixture
def fruits() -> Registry[int]:
    registry: Registry[int] = Registry("fruit")
    registry.add("apple", 1)
    registry.add("pear", 2)
    return registry


def test_it_is_a_mapping_in_the_order_of_declaration(fruits):
    assert dict(fruits) == {"apple": 1, "pear": 2}
    assert list(fruits) == ["apple", "pear"]


def test_adding_returns_what_was_added(fruits):
    assert fruits.add("fig", 3) == 3


def test_a_second_declaration_is_an_error_and_changes_nothing(fruits):
    with pytest.raises(ValueError, match="fruit 'apple' is declared twice"):
        fruits.add("apple", 9)
    assert fruits["apple"] == 1


def test_a_name_a_user_got_wrong_lists_the_right_ones(fruits):
    assert fruits.find("pear") == 2
    with pytest.raises(ConfigError, match="unknown fruit 'plum': expected one of apple, pear"):
        fruits.find("plum")
