from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from training.optimisation import Adam, AdamW, Constant, Cosine, OneCycle, Sgd, Step, optimiser

STEPS, EPOCHS = 10, 20


def factors(schedule: Constant) -> list[float]:
    return [schedule.factor(step, STEPS, EPOCHS) for step in range(STEPS * EPOCHS)]


def test_a_warm_up_rises_in_equal_steps_to_the_rate() -> None:
    course = factors(Constant(warmup=2))
    assert course[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert set(course[20:]) == {1.0}


def test_steps_fall_every_so_many_epochs() -> None:
    course = factors(Step(kind="step", every=5, by=0.1))
    assert [course[epoch * STEPS] for epoch in (0, 4, 5, 9, 10, 15)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.001])


def test_a_cosine_falls_to_its_end_from_where_the_warm_up_ended() -> None:
    course = factors(Cosine(kind="cosine", end=0.1, warmup=4))
    assert course[40] == pytest.approx(1.0)
    assert course[120] == pytest.approx(0.55)
    assert course[-1] == pytest.approx(0.1, abs=1e-3)
    assert course[40:] == sorted(course[40:], reverse=True)


def test_one_cycle_rises_and_then_falls_to_nearly_nothing() -> None:
    course = factors(OneCycle(kind="one_cycle", rise=0.25))
    assert course[0] == pytest.approx(1 / 25)
    assert course[25] == pytest.approx(1 / 25 + (24 / 25) * 0.5)
    assert max(course) == course[50] == pytest.approx(1.0)
    assert course[-1] < 0.001
    assert course[:51] == sorted(course[:51])
    assert course[50:] == sorted(course[50:], reverse=True)


def test_one_cycle_is_torch_s() -> None:
    weight = nn.Parameter(torch.zeros(1))
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        torch.optim.SGD([weight], lr=1.0), max_lr=1.0, total_steps=STEPS * EPOCHS, final_div_factor=400
    )
    rates = []
    for _ in range(STEPS * EPOCHS):
        rates.append(theirs.get_last_lr()[0])
        theirs.optimizer.step()
        theirs.step()
    # Theirs ends with its last step, ours when that has been made: a step's difference at most.
    ours = factors(OneCycle(kind="one_cycle", rise=0.3))
    assert ours == pytest.approx(rates, abs=1.1 / (0.3 * STEPS * EPOCHS) * math.pi / 2)


def a_step(config: object, *, l2: float = 0.0) -> tuple[float, float]:
    """A weight and an offset of 1 after one step with gradients 0.5."""
    layer = nn.Linear(1, 1).double()
    for one in layer.parameters():
        nn.init.ones_(one)
        one.grad = torch.full_like(one, 0.5)
    optimiser(config, layer, l2=l2, fused=False).step()
    return layer.weight.item(), layer.bias.item()


def test_one_step_of_each_optimiser_is_its_formula() -> None:
    # Momentum that looks ahead: the first step goes g + momentum·g.
    assert a_step(Sgd(kind="sgd", rate=0.1, momentum=0.9)) == pytest.approx((1 - 0.1 * 0.5 * 1.9,) * 2)
    assert a_step(Sgd(kind="sgd", rate=0.1, momentum=0)) == pytest.approx((0.95, 0.95))
    # Adam's first step is the rate, whatever the gradient.
    assert a_step(Adam(rate=0.1)) == pytest.approx((0.9, 0.9))
    # Decay is the weight's alone, and goes before the step.
    assert a_step(AdamW(kind="adamw", rate=0.1, decay=0.5)) == pytest.approx((1 - 0.1 * 0.5 - 0.1, 0.9))
    assert a_step(Sgd(kind="sgd", rate=0.1, momentum=0), l2=2.0) == pytest.approx((1 - 0.1 * (0.5 + 2.0), 0.95))
