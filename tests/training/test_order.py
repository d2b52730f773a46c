from __future__ import annotations

import pytest
from fit_builders import Shades

from training.order import Order, loader


def batches(order: Order, epoch: int = 0) -> list[list[int]]:
    order.set_epoch(epoch)
    return [places for _, places in order]


def test_every_sample_comes_once_an_epoch_in_an_order_of_its_own() -> None:
    order = Order(50, 8, seed=3)
    first, second = batches(order, 0), batches(order, 1)

    assert sorted(place for batch in first for place in batch) == list(range(50))
    assert sorted(place for batch in second for place in batch) == list(range(50))
    assert first != second
    assert [len(batch) for batch in first] == [8] * 6 + [2]


def test_an_order_depends_on_seed_and_epoch_alone() -> None:
    fresh = Order(50, 8, seed=3)
    batches(fresh, 0)
    assert batches(fresh, 7) == batches(Order(50, 8, seed=3), 7)
    assert batches(fresh, 7) != batches(Order(50, 8, seed=4), 7)


def test_without_a_seed_samples_come_as_they_are() -> None:
    assert batches(Order(5, 2, seed=None), 4) == [[0, 1], [2, 3, 4]]


@pytest.mark.parametrize(("count", "sizes"), [(16, [8, 8]), (17, [8, 9]), (18, [8, 8, 2]), (1, [1]), (5, [5])])
def test_a_batch_of_one_joins_the_one_before_it(count: int, sizes: list[int]) -> None:
    order = Order(count, 8, seed=0)
    assert [len(batch) for batch in batches(order)] == sizes
    assert len(order) == len(sizes)


def test_devices_share_every_batch() -> None:
    alone = batches(Order(51, 8, seed=1))
    ranks = [batches(Order(51, 8, seed=1, rank=rank, world=2)) for rank in (0, 1)]
    for whole, one, other in zip(alone, *ranks, strict=True):
        assert sorted(one + other) == sorted(whole)
        assert one
        assert other


def test_loaded_batches_know_their_epoch() -> None:
    seen: list[int] = []
    order = Order(20, 8, seed=0)
    loaded = loader(Shades(20, before=lambda epoch, places: seen.append(epoch)), order, workers=0)
    order.set_epoch(5)
    assert [len(batch) for batch in loaded] == [8, 8, 4]
    assert set(seen) == {5}
