"""The elementary formulas, with their numbers; and every particle's gradient against finite differences."""

import math

import pytest
import torch
from particle_builders import a_map, a_vector, drawn, numbers, some_tokens
from torch import Tensor, nn

from training.particles.convolution import Convolution
from training.particles.linear import Linear
from training.particles.particle import TemporalParticle, initial_state
from training.particles.pooling import Pool
from training.particles.recurrent import Rnn
from training.particles.registry import FUSIONS, PARTICLES, made
from training.particles.shape import Shape

NINE = torch.tensor([[[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]]], dtype=torch.float64)


def test_a_convolution_of_3_by_3_multiplies_every_number_with_its_weight_and_adds_all() -> None:
    conv = Convolution(a_map(1, 3, 3), channels=1, kernel=3, padding="valid").double()
    with torch.no_grad():
        conv.layers[0].weight[:] = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
        conv.layers[0].bias[:] = 0.5
    # 1·1 − 3·1 + 4·2 − 6·2 + 7·1 − 9·1 = −8
    assert conv(NINE).tolist() == [[[[-8 + 0.5]]]]


def test_pooling_of_2_by_2_takes_the_largest_or_the_mean_of_every_four() -> None:
    largest = Pool(a_map(1, 3, 3), kind="max", size=2, stride=1)
    mean = Pool(a_map(1, 3, 3), kind="mean", size=2, stride=1)
    assert largest(NINE).tolist() == [[[[5, 6], [8, 9]]]]
    assert mean(NINE).tolist() == [[[[3, 4], [6, 7]]]]


def test_a_recurrent_state_is_a_squashed_sum_of_what_was_and_what_comes() -> None:
    """h_t = σ(W [h_{t−1}, x_t] + b), with one number each."""
    rnn = Rnn(a_vector(1, time=2), hidden=1, activation="sigmoid").double()
    with torch.no_grad():
        rnn.kernel.weight_hh_l0[:] = 0.5
        rnn.kernel.weight_ih_l0[:] = 2.0
        rnn.kernel.bias_ih_l0[:] = -1.0
    x = torch.tensor([[[1.0], [-1.0]]], dtype=torch.float64)

    y, (h,) = rnn(x, initial_state(rnn.state, x))

    first = 1 / (1 + math.exp(-(0.5 * 0 + 2 * 1 - 1)))
    second = 1 / (1 + math.exp(-(0.5 * first + 2 * -1 - 1)))
    assert y.flatten().tolist() == pytest.approx([first, second])
    assert h.item() == pytest.approx(second)


def test_a_step_down_the_gradient_worked_out_by_hand() -> None:
    """y = w x + b = 2·3 + 1 = 7 where 5 is wanted: loss (7 − 5)² = 4, ∂w = 2·2·3 = 12, ∂b = 2·2 = 4.

    With rate 0.05 w becomes 2 − 0.6 = 1.4 and b 1 − 0.2 = 0.8, and y is 5.
    """
    layer = Linear(a_vector(1), channels=1).double()
    with torch.no_grad():
        layer.linear.weight[:] = 2.0
        layer.linear.bias[:] = 1.0
    step = torch.optim.SGD(layer.parameters(), lr=0.05)
    x, wanted = torch.tensor([[3.0]], dtype=torch.float64), torch.tensor([[5.0]], dtype=torch.float64)

    loss = ((layer(x) - wanted) ** 2).sum()
    loss.backward()
    step.step()

    assert loss.item() == 4.0
    assert (layer.linear.weight.grad.item(), layer.linear.bias.grad.item()) == (12.0, 4.0)
    assert (layer.linear.weight.item(), layer.linear.bias.item()) == pytest.approx((1.4, 0.8))
    assert ((layer(x) - wanted) ** 2).item() == pytest.approx(0.0)


CASES: dict[str, list[tuple[Shape, dict]]] = {
    "activation": [
        (a_vector(), {"function": name}) for name in ("relu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid", "abs")
    ],
    "attention_pooling": [(a_vector(3, time=3), {"hidden": 2})],
    "bottleneck": [(a_map(2, 3, 3), {"channels": 4, "reduction": 2}), (a_map(2, 3, 3), {"channels": 2, "stride": 2})],
    "conv": [
        (a_map(2, 4, 4), {"channels": 2, "kernel": 3, "activation": "tanh"}),
        (a_map(2, 4, 4), {"channels": 2, "kernel": 3, "stride": 2, "padding": "valid", "norm": "batch"}),
    ],
    "dense_block": [(a_map(2, 3, 3), {"layers": 2, "growth": 1})],
    "depthwise_separable": [(a_map(2, 4, 4), {"channels": 3, "stride": 2})],
    "dropout": [(a_vector(), {"share": 0.5})],
    "first_token": [(some_tokens(), {})],
    "flatten": [(a_map(2, 2, 2), {})],
    "frame_difference": [(a_map(1, 2, 2, time=3), {"keep": True}), (a_vector(2, time=4), {"over": 2})],
    "global_pool": [
        (a_map(2, 3, 2), {"kind": "mean"}),
        (some_tokens(), {"kind": "max"}),
        (a_map(2, 3, 2), {"kind": "std"}),
    ],
    "gru": [(a_vector(3, time=3), {"hidden": 2})],
    "linear": [(a_vector(), {"channels": 3, "activation": "sigmoid"}), (some_tokens(), {"channels": 2})],
    "lstm": [(a_vector(3, time=3), {"hidden": 2})],
    "norm": [
        (a_map(2, 2, 2), {"kind": "batch"}),
        (some_tokens(2, 3), {"kind": "layer"}),
        (a_map(4, 2, 2), {"kind": "group", "groups": 2}),
    ],
    "patch_embedding": [(a_map(1, 4, 4), {"channels": 3, "patch": 2})],
    "pool": [(a_map(1, 4, 4), {"kind": "max"}), (a_map(1, 4, 4), {"kind": "mean", "size": 3, "stride": 1})],
    "residual": [(a_map(2, 3, 3), {"channels": 2}), (a_map(2, 3, 3), {"channels": 3, "stride": 2})],
    "rnn": [(a_vector(3, time=3), {"hidden": 2, "activation": name}) for name in ("tanh", "relu", "sigmoid")],
    "squeeze_excite": [(a_map(4, 2, 2), {"reduction": 2})],
    "temporal_conv": [
        (a_map(2, 2, 2, time=3), {"channels": 2, "kernel": 2}),
        (a_vector(2, time=3), {"channels": 2, "causal": False}),
    ],
    "temporal_shift": [(a_vector(4, time=3), {"share": 0.25}), (a_vector(4, time=3), {"share": 0.25, "causal": False})],
    "time_pool": [(a_vector(2, time=3), {"kind": kind}) for kind in ("last", "mean", "max")],
    "transformer_encoder": [(some_tokens(3, 4), {"heads": 2, "widen": 2})],
    "transition": [(a_map(4, 4, 4), {})],
}
FUSION_CASES: dict[str, tuple[Shape, Shape, dict]] = {
    "add": (a_vector(3), a_vector(3), {}),
    "concatenate": (a_map(1, 2, 2), a_map(2, 2, 2), {}),
    "cross_attention": (some_tokens(2, 4), a_map(3, 2, 2), {"heads": 2}),
    "gated": (a_vector(3), a_vector(2), {"channels": 2}),
}


def agrees_with_finite_differences(module: nn.Module, *inputs: Tensor) -> bool:
    """Whether ∂y/∂(inputs, weights) is what (y(v + ε) − y(v − ε)) / 2ε says, number by number."""
    names, values = zip(*module.named_parameters(), strict=True) if list(module.parameters()) else ((), ())

    def answer(*given: Tensor) -> Tensor:
        torch.manual_seed(0)  # the same places are dropped every time
        x, w = given[: len(inputs)], dict(zip(names, given[len(inputs) :], strict=True))
        # Running means are moved by every call, and are no part of the answer.
        buffers = {name: value.clone() for name, value in module.named_buffers()}
        if isinstance(module, TemporalParticle):
            state = initial_state(module.state, x[0])
            y, after = torch.func.functional_call(module, (w, buffers), (x[0], state))
            return torch.cat([y.flatten(), *(one.flatten() for one in after)])
        return torch.func.functional_call(module, (w, buffers), x)

    given = [value.detach().clone().requires_grad_() for value in (*inputs, *values)]
    return torch.autograd.gradcheck(answer, given)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [pytest.param(name, *case, id=f"{name}-{case[1]}") for name, cases in CASES.items() for case in cases],
)
def test_gradients_agree_with_finite_differences(name: str, shape: Shape, options: dict) -> None:
    particle = drawn(made(PARTICLES[name], shape, options=options))
    assert agrees_with_finite_differences(particle, numbers(shape))


@pytest.mark.parametrize("name", FUSION_CASES)
def test_gradients_of_fusions_agree_with_finite_differences(name: str) -> None:
    first, second, options = FUSION_CASES[name]
    fuse = drawn(made(FUSIONS[name], first, second, options=options))
    assert agrees_with_finite_differences(fuse, numbers(first), numbers(second, seed=1))


def test_no_particle_is_left_out_here() -> None:
    assert set(CASES) == set(PARTICLES)
    assert set(FUSION_CASES) == set(FUSIONS)
