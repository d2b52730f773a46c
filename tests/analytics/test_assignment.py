from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from server.analytics.assignment import best_pairs

LEAST = 0.1
MATRICES = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.9]))
)


def best_sum(similarity):
    """By trying every way."""
    tall = similarity if len(similarity) <= similarity.shape[1] else similarity.T
    gain = np.where(tall >= LEAST, tall, 0.0)
    return max(
        sum(gain[row, column] for row, column in enumerate(columns))
        for columns in permutations(range(tall.shape[1]), len(tall))
    )


@given(MATRICES)
def test_pairs_are_the_best_of_all(similarity):
    rows, columns = best_pairs(similarity, LEAST)
    assert len(set(rows.tolist())) == len(rows) == len(set(columns.tolist()))
    assert rows.tolist() == sorted(rows.tolist())
    assert (similarity[rows, columns] >= LEAST).all()
    assert np.isclose(similarity[rows, columns].sum(), best_sum(similarity))


def test_one_gives_way_where_both_are_better_off():
    rows, columns = best_pairs(np.array([[0.9, 0.8], [0.7, 0.0]]), LEAST)
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 0])


def test_a_crowd_of_a_hundred_is_paired_as_it_stands():
    order = np.random.default_rng(0).permutation(100)
    similarity = np.full((100, 100), 0.3)
    similarity[np.arange(100), order] = 0.6
    rows, columns = best_pairs(similarity, LEAST)
    assert columns.tolist() == order.tolist()
    assert rows.tolist() == list(range(100))
