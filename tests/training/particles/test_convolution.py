import numpy as np
import pytest
import torch
from numpy_layers import batch_normalised, convolution, linear, relu, sigmoid
from particle_builders import a_map, a_vector, array, drawn, numbers, some_tokens, weights

from training.errors import ShapeMismatch
from training.particles.convolution import Convolution, DepthwiseSeparable, SqueezeExcite


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"kernel": 3}, (5, 6)),
        ({"kernel": 3, "padding": "valid"}, (3, 4)),
        ({"kernel": 3, "stride": 2}, (3, 3)),
        ({"kernel": 2, "padding": "valid", "stride": 2}, (2, 3)),
        ({"kernel": 1}, (5, 6)),
        ({"kernel": 5, "groups": 2}, (5, 6)),
    ],
)
def test_a_convolution_multiplies_and_adds_window_by_window(options: dict, size: tuple[int, int]) -> None:
    conv = drawn(Convolution(a_map(4), channels=6, **options))
    w, x = weights(conv), numbers(a_map(4))
    pad = options["kernel"] // 2 if options.get("padding", "same") == "same" else 0

    expected = convolution(array(x), w["layers.0.weight"], w["layers.0.bias"], stride=options.get("stride", 1), pad=pad)

    assert array(conv(x)) == pytest.approx(expected)
    assert conv.out.features == expected.shape[1:] == (6, *size)


def test_norm_and_activation_come_after_a_convolution_that_then_has_no_bias() -> None:
    conv = drawn(Convolution(a_map(), channels=3, norm="batch", activation="relu"))
    w, x = weights(conv), numbers(a_map())

    plain = batch_normalised(convolution(array(x), w["layers.0.weight"], pad=1))
    expected = relu(plain * w["layers.1.weight"][:, None, None] + w["layers.1.bias"][:, None, None])

    assert "layers.0.bias" not in w
    assert array(conv(x)) == pytest.approx(expected)


def test_depthwise_separable_is_a_kernel_a_channel_and_then_one_number_a_pair_of_channels() -> None:
    block = drawn(DepthwiseSeparable(a_map(3), channels=4, stride=2, norm="none"))
    w, x = weights(block), array(numbers(a_map(3)))

    alone = [
        convolution(
            x[:, i : i + 1], w["depthwise.0.weight"][i : i + 1], w["depthwise.0.bias"][i : i + 1], stride=2, pad=1
        )
        for i in range(3)
    ]
    between = relu(np.concatenate(alone, 1))
    expected = relu(
        np.einsum("bchw,oc->bohw", between, w["pointwise.0.weight"][..., 0, 0]) + w["pointwise.0.bias"][:, None, None]
    )

    assert array(block(torch.from_numpy(x))) == pytest.approx(expected)
    assert block.out.features == expected.shape[1:]


def test_squeeze_excite_scales_channels_by_what_all_their_means_say() -> None:
    block = drawn(SqueezeExcite(a_map(8), reduction=4))
    w, x = weights(block), array(numbers(a_map(8)))

    means = x.mean((2, 3))
    factor = sigmoid(
        linear(relu(linear(means, w["squeeze.weight"], w["squeeze.bias"])), w["excite.weight"], w["excite.bias"])
    )

    assert w["squeeze.weight"].shape == (2, 8)
    assert array(block(torch.from_numpy(x))) == pytest.approx(x * factor[..., None, None])


@pytest.mark.parametrize(
    ("shape", "options", "needs"),
    [
        (a_vector(), {}, r"a map \[C, H, W\], and a vector \[C 5\] comes"),
        (some_tokens(), {}, "a map"),
        (a_map(), {"kernel": 7, "padding": "valid"}, "at least 7 × 7"),
        (a_map(), {"kernel": 4}, "an odd kernel for padding `same`"),
        (a_map(3), {"groups": 2}, "a multiple of 2 groups"),
    ],
)
def test_what_a_convolution_cannot_take_is_said(shape: object, options: dict, needs: str) -> None:
    with pytest.raises(ShapeMismatch, match=needs):
        Convolution(shape, channels=4, **options)


def test_he_before_a_relu_and_xavier_elsewhere() -> None:
    torch.manual_seed(0)
    shape = a_map(64)

    def deviation(activation: str) -> float:
        weight = Convolution(shape, channels=128, activation=activation).layers[0].weight
        return weight.std().item()

    into, out_of = 64 * 9, 128 * 9
    assert deviation("relu") == pytest.approx((2 / into) ** 0.5, rel=0.02)
    assert deviation("tanh") == deviation_of_xavier(into, out_of)
    assert deviation("none") == deviation_of_xavier(into, out_of)


def deviation_of_xavier(into: int, out_of: int) -> object:
    return pytest.approx((2 / (into + out_of)) ** 0.5, rel=0.02)
