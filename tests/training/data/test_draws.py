"""Random numbers by seed, epoch and index."""

import numpy as np

from training.data.draws import Draws

INDEX = np.arange(20_000)


def test_a_sample_draws_the_same_whatever_shares_its_batch() -> None:
    whole, some = Draws(3, 5, INDEX).uniform("rotate"), Draws(3, 5, INDEX[[7, 19, 2]]).uniform("rotate")
    assert some.tolist() == whole[[7, 19, 2]].tolist()


def test_another_seed_epoch_index_or_name_draws_otherwise() -> None:
    drawn = [
        Draws(seed, epoch, INDEX[:1000]).uniform(name) for seed in (0, 1) for epoch in (0, 1) for name in ("a", "b")
    ]
    assert len({float(one) for row in drawn for one in row}) == 8000
    for at, row in enumerate(drawn):
        for other in drawn[at + 1 :]:
            assert abs(np.corrcoef(row, other)[0, 1]) < 0.15


def test_numbers_are_spread_evenly() -> None:
    drawn = Draws(0, 0, INDEX).uniform("x", -2, 3)
    assert drawn.min() >= -2
    assert drawn.max() < 3
    counts, _ = np.histogram(drawn, 20, (-2, 3))
    assert np.abs(counts - 1000).max() < 150


def test_chances_are_kept() -> None:
    assert abs(Draws(0, 0, INDEX).chance("flip", 0.3).mean() - 0.3) < 0.02
    assert not Draws(0, 0, INDEX).chance("flip", 0.0).any()
    assert Draws(0, 0, INDEX).chance("flip", 1.0).all()
