"""Views of a dataset say what a copy of its rows would."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core.data import load_dataset
from nasturtium.federated.site_data.rows import RowsView, Shares

INDICES = [np.array([5, 3, 8]), np.array([0]), np.array([1, 2])]


@pytest.fixture(scope="module")
def data():
    return load_dataset("digits")


@pytest.mark.parametrize("indices", INDICES, ids=str)
def test_a_view_is_the_rows_it_names(data, indices):
    view, copy = RowsView(data, indices), data.take(indices)
    assert len(view) == len(copy)
    assert view.task is copy.task
    np.testing.assert_array_equal(view.inputs, copy.inputs)
    np.testing.assert_array_equal(view.labels, copy.labels)
    view.inputs[:] = 0
    np.testing.assert_array_equal(view.inputs, copy.inputs)  # whoever writes has a copy


def test_shares_are_datasets_made_when_they_are_asked_for(data):
    shares = Shares(data, INDICES)
    assert len(shares) == 3
    copies = [data.take(indices).fingerprint for indices in INDICES]
    assert [share.fingerprint for share in shares] == copies
    assert [shares[i].fingerprint for i in range(3)] == copies
    assert shares[-1].fingerprint == copies[-1]
    assert [share.fingerprint for share in shares[1:]] == copies[1:]
    with pytest.raises(IndexError):
        shares[3]
