"""Two inputs: here frames of a clip, and the log-mel spectrogram of its sound."""

import numpy as np
import pytest
import torch
from numpy_layers import attention, linear, normalised, sigmoid
from particle_builders import a_map, a_vector, array, drawn, numbers, some_tokens, weights, within

from training.errors import ShapeMismatch
from training.particles.fusion import Add, Concatenate, CrossAttention, Gated
from training.particles.shape import Shape


def log_mel(*, mels: int = 8, steps: int = 6, rate: int = 8000) -> np.ndarray:
    """The log-mel spectrogram [1, mels, steps] of a rising tone, by the formulas of the field's textbooks."""
    size, hop = 256, 128
    t = np.arange(hop * (steps - 1) + size) / rate
    tone = np.sin(2 * np.pi * (300 * t + 4000 * t**2))
    windows = np.stack([tone[start : start + size] for start in range(0, hop * steps, hop)]) * np.hanning(size)
    power = np.abs(np.fft.rfft(windows)) ** 2
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), mels + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(size, 1 / rate)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    bank = np.clip(np.minimum(rising, falling), 0, None)
    return np.log(power @ bank.T + 1e-6).T[None]


def sight(seed: int = 0) -> torch.Tensor:
    return numbers(a_vector(5), seed=seed)


def sound() -> torch.Tensor:
    """Of three clips: [3, 1, 8, 6]."""
    return torch.from_numpy(np.stack([log_mel() * louder for louder in (0.5, 1.0, 1.5)]))


SOUND = a_map(1, 8, 6)


def test_concatenation_puts_channels_side_by_side() -> None:
    heard = sound().mean((1, 3))
    fuse = Concatenate(a_vector(5), a_vector(8))
    assert array(fuse(sight(), heard)) == pytest.approx(np.concatenate([array(sight()), array(heard)], 1))
    assert fuse.out == a_vector(13)

    maps = Concatenate(a_map(2, 8, 6), SOUND)
    assert maps(numbers(a_map(2, 8, 6)), sound()).shape == (3, *maps.out.features)
    assert Concatenate(some_tokens(4, 6), some_tokens(4, 2)).out == some_tokens(4, 8)


def test_a_sum_is_a_sum() -> None:
    assert array(Add(a_vector(), a_vector())(sight(), sight(1))) == pytest.approx(array(sight()) + array(sight(1)))


def test_a_gate_decides_how_much_of_each_counts() -> None:
    heard = sound().mean((1, 3))
    fuse = drawn(Gated(a_vector(5), a_vector(8), channels=4))
    w, a, b = weights(fuse), array(sight()), array(heard)

    z = sigmoid(linear(np.concatenate([a, b], 1), w["gate.weight"], w["gate.bias"]))
    seen = np.tanh(linear(a, w["first.weight"], w["first.bias"]))
    listened = np.tanh(linear(b, w["second.weight"], w["second.bias"]))

    assert array(fuse(sight(), heard)) == pytest.approx(z * seen + (1 - z) * listened)
    assert fuse.out == a_vector(4)


@pytest.mark.parametrize("first", [some_tokens(4, 6), a_vector(6), a_map(6, 2, 3)], ids=str)
def test_by_cross_attention_what_is_seen_asks_what_is_heard(first: Shape) -> None:
    fuse = drawn(CrossAttention(first, SOUND, heads=2))
    w, x, y = weights(fuse), array(numbers(first)), array(sound())

    def tokens(x: np.ndarray) -> np.ndarray:
        return {2: lambda: x[:, None], 3: lambda: x, 4: lambda: x.reshape(*x.shape[:2], -1).swapaxes(1, 2)}[x.ndim]()

    def norm(x: np.ndarray, number: int) -> np.ndarray:
        return normalised(x, (2,)) * w[f"norms.{number}.weight"] + w[f"norms.{number}.bias"]

    found = attention(norm(tokens(x), 0), norm(tokens(y), 1), within(w, "attention."), 2)
    found = found.swapaxes(1, 2) if x.ndim == 4 else found

    assert array(fuse(numbers(first), sound())) == pytest.approx(x + found.reshape(x.shape))
    assert fuse.out == first


def test_what_cannot_be_fused_is_said() -> None:
    with pytest.raises(ShapeMismatch, match="differ in channels alone"):
        Concatenate(a_map(2, 4, 4), a_map(2, 4, 5))
    with pytest.raises(ShapeMismatch, match="differ in channels alone"):
        Concatenate(a_map(), a_vector())
    with pytest.raises(ShapeMismatch, match="two of one shape"):
        Add(a_vector(4), a_vector(5))
    with pytest.raises(ShapeMismatch, match="a vector"):
        Gated(a_vector(), a_map(), channels=3)
    with pytest.raises(ShapeMismatch, match="a multiple of 4 heads"):
        CrossAttention(a_vector(6), a_vector(4), heads=4)
