import numpy as np
import pytest
import torch
from numpy_layers import linear, relu, softmax
from particle_builders import a_map, a_vector, array, drawn, numbers, some_tokens, weights

from training.errors import NetInvalid, ShapeMismatch
from training.particles.particle import TemporalParticle, initial_state
from training.particles.shape import Shape
from training.particles.temporal import FrameDifference, TemporalConvolution, TemporalShift
from training.particles.time_pooling import AttentionPooling, TimePool

MAPS, VECTORS = a_map(4, 2, 3, time=5), a_vector(4, time=5)


def whole(particle: TemporalParticle, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Numbers, and what the particle makes of all of them at once."""
    x = numbers(shape)
    return array(x), array(particle(x, initial_state(particle.state, x))[0])


def before(x: np.ndarray, frames: int = 1) -> np.ndarray:
    """The clip `frames` frames earlier, zeros where there was none."""
    return np.concatenate([np.zeros_like(x[:, :frames]), x[:, : x.shape[1] - frames]], 1)


@pytest.mark.parametrize("shape", [MAPS, VECTORS], ids=str)
def test_a_difference_is_to_the_frame_before_and_none_at_first(shape: Shape) -> None:
    x, y = whole(FrameDifference(shape), shape)
    assert y[:, 1:] == pytest.approx(np.diff(x, axis=1))
    assert not y[:, 0].any()

    particle = FrameDifference(shape, keep=True)
    x, kept = whole(particle, shape)
    assert kept == pytest.approx(np.concatenate([x, y], 2))
    assert particle.out.channels == 8


@pytest.mark.parametrize("shape", [MAPS, VECTORS], ids=str)
def test_a_difference_may_be_to_an_earlier_frame(shape: Shape) -> None:
    x, y = whole(FrameDifference(shape, over=3), shape)
    assert y[:, 3:] == pytest.approx(x[:, 3:] - x[:, :-3])
    assert not y[:, :3].any()


def test_a_difference_to_a_frame_before_the_clip_s_first_is_none_until_there_has_been_one() -> None:
    particle = FrameDifference(VECTORS, over=2)
    x = numbers(VECTORS)
    state = initial_state(particle.state, x)
    parts = []
    for part in (x[:, :1], x[:, 1:2], x[:, 2:]):
        y, state = particle(part, state)
        parts.append(array(y))
    assert np.concatenate(parts, 1) == pytest.approx(array(particle(x, initial_state(particle.state, x))[0]))


@pytest.mark.parametrize("shape", [MAPS, VECTORS], ids=str)
def test_a_shift_takes_some_channels_from_the_frame_before(shape: Shape) -> None:
    x, y = whole(TemporalShift(shape, share=0.25), shape)
    assert y[:, :, :1] == pytest.approx(before(x)[:, :, :1])
    assert y[:, :, 1:] == pytest.approx(x[:, :, 1:])


def test_a_shift_that_is_not_causal_also_takes_some_from_the_frame_after() -> None:
    particle = TemporalShift(MAPS, share=0.25, causal=False)
    x, y = whole(particle, MAPS)
    assert y[:, :, :1] == pytest.approx(before(x)[:, :, :1])
    assert y[:, :, 1:2] == pytest.approx(before(x[:, ::-1])[:, ::-1, 1:2])
    assert y[:, :, 2:] == pytest.approx(x[:, :, 2:])
    assert not particle.streams


@pytest.mark.parametrize("shape", [MAPS, VECTORS], ids=str)
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (2, 2)])
def test_a_temporal_convolution_weighs_the_frames_before(shape: Shape, kernel: int, dilation: int) -> None:
    particle = drawn(TemporalConvolution(shape, channels=3, kernel=kernel, dilation=dilation, activation="relu"))
    x, y = whole(particle, shape)
    w = weights(particle)
    taps = w["convolution.weight"][..., 0, 0]
    expected = sum(
        linear(np.moveaxis(before(x, (kernel - 1 - tap) * dilation), 2, -1), taps[:, :, tap]) for tap in range(kernel)
    )
    assert y == pytest.approx(relu(np.moveaxis(expected + w["convolution.bias"], -1, 2)))


def test_a_temporal_convolution_that_is_not_causal_looks_both_ways() -> None:
    particle = drawn(TemporalConvolution(VECTORS, channels=2, causal=False))
    x, y = whole(particle, VECTORS)
    w = weights(particle)
    around = [before(x), x, before(x[:, ::-1])[:, ::-1]]
    taps = w["convolution.weight"][..., 0, 0]
    expected = sum(linear(one, taps[:, :, tap]) for tap, one in enumerate(around))
    assert y == pytest.approx(expected + w["convolution.bias"])
    assert not particle.streams


@pytest.mark.parametrize(
    ("kind", "reduce"),
    [
        ("last", lambda x: x[:, -1]),
        ("mean", lambda x: x.mean(1)),
        ("max", lambda x: x.max(1)),
        ("std", lambda x: np.sqrt(x.var(1) + 1e-5)),
    ],
)
def test_time_is_pooled_to_one_frame(kind, reduce) -> None:
    x, y = whole(TimePool(MAPS, kind=kind), MAPS)
    assert y == pytest.approx(reduce(x))


def test_attention_pooling_weighs_frames_by_a_softmax_of_their_scores() -> None:
    particle = drawn(AttentionPooling(VECTORS, hidden=3))
    x, y = whole(particle, VECTORS)
    w = weights(particle)
    score = linear(np.tanh(linear(x, w["hidden.weight"], w["hidden.bias"])), w["score.weight"])
    assert y == pytest.approx((softmax(score, axis=1) * x).sum(1))


STREAMING = [
    FrameDifference(MAPS),
    FrameDifference(VECTORS, keep=True),
    FrameDifference(MAPS, over=3),
    TemporalShift(MAPS, share=0.5),
    TemporalConvolution(MAPS, channels=3),
    TemporalConvolution(VECTORS, channels=3, kernel=2, dilation=3),
    TemporalConvolution(VECTORS, channels=3, kernel=1),
]


@pytest.mark.parametrize("particle", STREAMING, ids=lambda one: type(one).__name__)
def test_steps_give_what_the_clip_gives(particle: TemporalParticle) -> None:
    x = numbers(VECTORS if len(particle.out.features) == 1 else MAPS)
    particle = drawn(particle)
    state = initial_state(particle.state, x)
    all_at_once, after = particle(x, state)
    for t in range(5):
        y, state = particle.step(x[:, t], state)
        assert array(y) == pytest.approx(array(all_at_once[:, t]))
    assert [array(one) for one in state] == [pytest.approx(array(one)) for one in after]
    assert [tuple(one.shape[1:]) for one in after] == [spec.shape for spec in particle.state]


@pytest.mark.parametrize(
    "particle",
    [*(TimePool(VECTORS, kind=kind) for kind in ("last", "mean", "max", "std")), AttentionPooling(VECTORS)],
    ids=str,
)
def test_pooling_step_by_step_is_what_the_clip_so_far_comes_to(particle: TemporalParticle) -> None:
    x = numbers(VECTORS)
    particle = drawn(particle)
    fresh = state = initial_state(particle.state, x)
    for t in range(5):
        y, state = particle.step(x[:, t], state)
        so_far, after = particle(x[:, : t + 1], fresh)
        assert array(y) == pytest.approx(array(so_far))
        assert [array(one) for one in state] == [pytest.approx(array(one)) for one in after]


@pytest.mark.parametrize(
    "particle",
    [*(TimePool(MAPS, kind=kind) for kind in ("last", "mean", "max", "std")), AttentionPooling(VECTORS)],
    ids=str,
)
def test_a_stream_is_pooled_over_as_many_frames_as_a_clip_has_whatever_was_before(particle: TemporalParticle) -> None:
    shape = MAPS if isinstance(particle, TimePool) else VECTORS
    particle = drawn(particle)
    x = torch.cat([numbers(shape), 9 * numbers(shape), numbers(shape).flip(1)], dim=1)
    state = initial_state(particle.state, x)
    for t in range(x.shape[1]):
        y, state = particle.step(x[:, t], state)
        if t >= shape.time - 1:
            clip = x[:, t + 1 - shape.time : t + 1]
            assert array(y) == pytest.approx(array(particle(clip, initial_state(particle.state, x))[0]))


def test_what_looks_at_later_frames_cannot_go_frame_by_frame() -> None:
    for particle in (TemporalShift(VECTORS, causal=False), TemporalConvolution(VECTORS, channels=2, causal=False)):
        x = numbers(VECTORS).float()
        with pytest.raises(NetInvalid, match="later frames"):
            particle.step(x[:, 0], initial_state(particle.state, x))


def test_temporal_particles_want_time() -> None:
    for make in (FrameDifference, TemporalShift, TimePool, AttentionPooling):
        with pytest.raises(ShapeMismatch) as told:
            make(a_vector())
        assert "`frames` of the input makes clips" in str(told.value)
    with pytest.raises(ShapeMismatch, match="an odd kernel"):
        TemporalConvolution(VECTORS, channels=2, kernel=4, causal=False)
    with pytest.raises(ShapeMismatch, match="a clip of maps"):
        FrameDifference(Shape(some_tokens().features, 4))
