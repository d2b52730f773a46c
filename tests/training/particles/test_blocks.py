"""Blocks of several layers: residual, dense, transformer."""

import numpy as np
import pytest
import torch
from numpy_layers import attention, batch_normalised, convolution, gelu, linear, normalised, pooled, relu
from particle_builders import a_map, a_vector, array, drawn, numbers, some_tokens, weights, within

from training.errors import ShapeMismatch
from training.particles.attention import PatchEmbedding, TransformerEncoder
from training.particles.dense import DenseBlock, Transition
from training.particles.residual import Bottleneck, Residual


def normed(x: np.ndarray, w: dict, name: str) -> np.ndarray:
    """Batch norm with its scale and offset."""
    return batch_normalised(x) * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None]


def convolved(x: np.ndarray, w: dict, name: str, *, stride: int = 1) -> np.ndarray:
    kernel = w[f"{name}.0.weight"]
    return normed(convolution(x, kernel, stride=stride, pad=kernel.shape[-1] // 2), w, f"{name}.1")


def test_a_residual_block_adds_its_input() -> None:
    block = drawn(Residual(a_map(3), channels=3))
    w, x = weights(block), numbers(a_map(3))

    found = convolved(relu(convolved(array(x), w, "first")), w, "second")

    assert array(block(x)) == pytest.approx(relu(found + array(x)))


def test_where_a_residual_block_changes_the_shape_its_input_goes_through_a_convolution() -> None:
    block = drawn(Residual(a_map(3), channels=4, stride=2))
    w, x = weights(block), numbers(a_map(3))

    found = convolved(relu(convolved(array(x), w, "first", stride=2)), w, "second")

    assert array(block(x)) == pytest.approx(relu(found + convolved(array(x), w, "shortcut", stride=2)))
    assert block.out == a_map(4, 3, 3)


def test_a_bottleneck_is_narrow_in_between() -> None:
    block = drawn(Bottleneck(a_map(4), channels=8, stride=2, reduction=4))
    w, x = weights(block), numbers(a_map(4))

    found = relu(convolved(array(x), w, "down"))
    found = convolved(relu(convolved(found, w, "middle", stride=2)), w, "up")

    assert w["middle.0.weight"].shape == (2, 2, 3, 3)
    assert array(block(x)) == pytest.approx(relu(found + convolved(array(x), w, "shortcut", stride=2)))
    assert block.out == a_map(8, 3, 3)


def test_in_a_dense_block_every_layer_sees_all_before_it() -> None:
    block = drawn(DenseBlock(a_map(3), layers=3, growth=2))
    w, x = weights(block), array(numbers(a_map(3)))

    seen = [x]
    for number in range(3):
        all_before = np.concatenate(seen, 1)
        own = within(w, f"layers.{number}.")
        between = convolution(relu(normed(all_before, own, "0.0")), own["0.2.weight"])
        seen.append(convolution(relu(normed(between, own, "1.0")), own["1.2.weight"], pad=1))

    assert array(block(torch.from_numpy(x))) == pytest.approx(np.concatenate(seen, 1))
    assert block.out == a_map(9)


def test_a_transition_halves_channels_and_size() -> None:
    block = drawn(Transition(a_map(6)))
    w, x = weights(block), numbers(a_map(6))

    narrow = convolution(relu(normed(array(x), within(w, "layers.0."), "0")), w["layers.0.2.weight"])

    assert array(block(x)) == pytest.approx(pooled(narrow, 2, 2, np.mean))
    assert block.out == a_map(3, 2, 3)


def test_patches_become_tokens_with_a_place_and_one_for_the_class_in_front() -> None:
    shape = a_map(2, 4, 6)
    embed = drawn(PatchEmbedding(shape, channels=5, patch=2))
    w, x = weights(embed), array(numbers(shape))

    kernel = w["project.weight"].reshape(5, -1)
    patches = [x[:, :, row : row + 2, column : column + 2].reshape(3, -1) for row in (0, 2) for column in (0, 2, 4)]
    tokens = np.stack([linear(patch, kernel, w["project.bias"]) for patch in patches], 1)
    tokens = np.concatenate([np.repeat(w["token"], 3, 0), tokens], 1)

    assert array(embed(torch.from_numpy(x))) == pytest.approx(tokens + w["position"])
    assert embed.out == some_tokens(7, 5)


def test_a_transformer_encoder_attends_and_thinks_each_beside_what_came() -> None:
    encoder = drawn(TransformerEncoder(some_tokens(), layers=2, heads=2, widen=3))
    w, x = weights(encoder), array(numbers(some_tokens()))

    def norm(x: np.ndarray, own: dict, name: str) -> np.ndarray:
        return normalised(x, (2,)) * own[f"{name}.weight"] + own[f"{name}.bias"]

    y = x
    for number in range(2):
        own = within(w, f"layers.{number}.")
        seen = norm(y, own, "attention_norm")
        y = y + attention(seen, seen, within(own, "attention."), 2)
        thought = gelu(linear(norm(y, own, "mlp_norm"), own["mlp.0.weight"], own["mlp.0.bias"]))
        y = y + linear(thought, own["mlp.3.weight"], own["mlp.3.bias"])

    assert array(encoder(torch.from_numpy(x))) == pytest.approx(norm(y, w, "norm"))


def test_blocks_say_what_they_cannot_take() -> None:
    with pytest.raises(ShapeMismatch, match="multiples of the patch, 4"):
        PatchEmbedding(a_map(2, 8, 6), channels=4, patch=4)
    with pytest.raises(ShapeMismatch, match="a multiple of 4 heads"):
        TransformerEncoder(some_tokens(4, 6), heads=4)
    for kind in (Residual, Bottleneck):
        with pytest.raises(ShapeMismatch, match="a map"):
            kind(a_vector(), channels=4)
