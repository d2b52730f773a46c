"""Pooling, normalisation, activation, fully connected layers and dropout."""

import numpy as np
import pytest
import torch
from numpy_layers import batch_normalised, gelu, linear, normalised, pooled, relu, sigmoid
from particle_builders import a_map, a_vector, array, drawn, numbers, some_tokens, weights

from training.errors import ShapeMismatch
from training.particles.activation import Activation
from training.particles.linear import Dropout, Linear
from training.particles.normalisation import Normalisation
from training.particles.pooling import FirstToken, Flatten, GlobalPool, Pool
from training.particles.shape import Shape


@pytest.mark.parametrize(("size", "stride", "out"), [(2, None, (2, 3)), (3, 1, (3, 4)), (2, 3, (2, 2))])
@pytest.mark.parametrize(("kind", "reduce"), [("max", np.max), ("mean", np.mean)])
def test_pooling_takes_one_number_of_every_window(kind, reduce, size, stride, out) -> None:
    pool, x = Pool(a_map(), kind=kind, size=size, stride=stride), numbers(a_map())

    assert array(pool(x)) == pytest.approx(pooled(array(x), size, stride or size, reduce))
    assert pool.out.features == (2, *out)


def test_a_map_and_tokens_come_to_a_vector() -> None:
    x, tokens = numbers(a_map()), numbers(some_tokens())

    assert array(GlobalPool(a_map())(x)) == pytest.approx(array(x).mean((2, 3)))
    assert array(GlobalPool(some_tokens(), kind="max")(tokens)) == pytest.approx(array(tokens).max(1))
    assert array(GlobalPool(a_map(), kind="std")(x)) == pytest.approx(np.sqrt(array(x).var((2, 3)) + 1e-5))
    assert array(Flatten(a_map())(x)) == pytest.approx(array(x).reshape(3, 60))
    assert array(FirstToken(some_tokens())(tokens)) == pytest.approx(array(tokens)[:, 0])
    for particle, shape in ((GlobalPool(a_map()), a_map()), (Flatten(some_tokens()), some_tokens())):
        assert particle.out.features == tuple(particle(numbers(shape)).shape[1:])


@pytest.mark.parametrize("shape", [a_map(4), a_vector(8)], ids=str)
def test_batch_norm_is_over_the_batch_and_remembers_a_running_mean(shape: Shape) -> None:
    norm, x = drawn(Normalisation(shape, kind="batch")), numbers(shape, batch=6)
    w, beside = weights(norm), (1,) * (len(shape.features) - 1)
    scale, offset = (w[f"norm.{name}"].reshape(-1, *beside) for name in ("weight", "bias"))

    assert array(norm(x)) == pytest.approx(batch_normalised(array(x)) * scale + offset)

    axes = (0, 2, 3) if len(shape.features) == 3 else (0,)
    mean, spread = 0.1 * array(x).mean(axes), 0.9 + 0.1 * array(x).var(axes, ddof=1)
    seen = (array(x) - mean.reshape(-1, *beside)) / np.sqrt(spread.reshape(-1, *beside) + 1e-5)
    assert array(norm.eval()(x)) == pytest.approx(seen * scale + offset)


@pytest.mark.parametrize(
    ("shape", "axes"), [(a_map(4), (1, 2, 3)), (some_tokens(), (2,)), (a_vector(8), (1,))], ids=str
)
def test_layer_norm_is_over_a_sample_or_a_token(shape: Shape, axes: tuple[int, ...]) -> None:
    norm, x = drawn(Normalisation(shape, kind="layer")), numbers(shape)
    w = weights(norm)
    beside = (1, 1) if len(shape.features) == 3 else ()

    expected = normalised(array(x), axes) * w["norm.weight"].reshape(-1, *beside) + w["norm.bias"].reshape(-1, *beside)

    assert array(norm(x)) == pytest.approx(expected)


def test_group_norm_is_over_groups_of_channels() -> None:
    norm, x = drawn(Normalisation(a_map(6), kind="group", groups=3)), numbers(a_map(6))
    w = weights(norm)

    grouped = normalised(array(x).reshape(3, 3, -1), (2,)).reshape(x.shape)

    assert array(norm(x)) == pytest.approx(grouped * w["norm.weight"][:, None, None] + w["norm.bias"][:, None, None])


def test_norms_say_what_they_cannot_take() -> None:
    with pytest.raises(ShapeMismatch, match="a multiple of 4 groups"):
        Normalisation(a_map(6), kind="group", groups=4)
    with pytest.raises(ShapeMismatch) as told:
        Normalisation(some_tokens(), kind="batch")
    assert "kind: layer" in str(told.value)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("relu", relu),
        ("leaky_relu", lambda x: np.where(x > 0, x, 0.01 * x)),
        ("gelu", gelu),
        ("silu", lambda x: x * sigmoid(x)),
        ("tanh", lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)),
        ("sigmoid", sigmoid),
        ("abs", np.abs),
        ("log", lambda x: np.where(x < 0, -np.log(1 - np.minimum(x, 0)), np.log(1 + np.maximum(x, 0)))),
        ("none", lambda x: x),
    ],
)
def test_activations_are_their_formulas(name, formula) -> None:
    x = numbers(a_map())
    assert array(Activation(a_map(), function=name)(x)) == pytest.approx(formula(array(x)))


@pytest.mark.parametrize("shape", [a_vector(), some_tokens()], ids=str)
def test_fully_connected_is_a_weighted_sum_and_an_offset(shape: Shape) -> None:
    layer, x = drawn(Linear(shape, channels=7, activation="tanh")), numbers(shape)
    w = weights(layer)

    assert array(layer(x)) == pytest.approx(np.tanh(linear(array(x), w["linear.weight"], w["linear.bias"])))
    assert layer.out.features == (*shape.features[:-1], 7)


def test_fully_connected_says_how_a_map_becomes_a_vector() -> None:
    with pytest.raises(ShapeMismatch) as told:
        Linear(a_map(), channels=4)
    assert "a map [C 2, H 5, W 6] comes" in str(told.value)
    assert "flatten" in str(told.value)


def test_dropout_drops_its_share_lets_the_rest_grow_and_rests_where_nothing_is_trained() -> None:
    torch.manual_seed(0)
    x, dropout = torch.ones(200, 500), Dropout(a_vector(500), share=0.3)

    dropped = dropout(x)

    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert float((dropped == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert torch.equal(dropout.eval()(x), x)


def test_dropout_of_channels_drops_them_whole() -> None:
    torch.manual_seed(0)
    dropped = Dropout(a_map(8), share=0.5, channels=True)(torch.ones(4, 8, 5, 6))
    assert {len(one.unique()) for one in dropped.flatten(0, 1)} == {1}
    assert {0.0, 2.0} == set(dropped.unique().tolist())
