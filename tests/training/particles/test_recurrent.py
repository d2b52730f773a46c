import numpy as np
import pytest
import torch
from numpy_layers import linear, relu, sigmoid
from particle_builders import a_map, a_vector, array, drawn, numbers, weights

from training.errors import ShapeMismatch
from training.particles.particle import initial_state
from training.particles.recurrent import Gru, Lstm, Rnn

CLIP = a_vector(4, time=6)


def gates(w: dict, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (
        linear(x, w["kernel.weight_ih_l0"], w["kernel.bias_ih_l0"]),
        linear(h, w["kernel.weight_hh_l0"], w["kernel.bias_hh_l0"]),
    )


def rnn_in_numpy(w: dict, x: np.ndarray, activation) -> np.ndarray:
    h = np.zeros((len(x), 3))
    outputs = []
    for t in range(x.shape[1]):
        h = activation(sum(gates(w, x[:, t], h)))
        outputs.append(h)
    return np.stack(outputs, 1)


def lstm_in_numpy(w: dict, x: np.ndarray) -> np.ndarray:
    h = c = np.zeros((len(x), 3))
    outputs = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(sum(gates(w, x[:, t], h)), 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, 1)


def gru_in_numpy(w: dict, x: np.ndarray) -> np.ndarray:
    h = np.zeros((len(x), 3))
    outputs = []
    for t in range(x.shape[1]):
        from_input, from_state = (np.split(one, 3, axis=1) for one in gates(w, x[:, t], h))
        r = sigmoid(from_input[0] + from_state[0])
        z = sigmoid(from_input[1] + from_state[1])
        n = np.tanh(from_input[2] + r * from_state[2])
        h = (1 - z) * n + z * h
        outputs.append(h)
    return np.stack(outputs, 1)


CELLS = [
    pytest.param(lambda: Rnn(CLIP, hidden=3), lambda w, x: rnn_in_numpy(w, x, np.tanh), id="rnn"),
    pytest.param(
        lambda: Rnn(CLIP, hidden=3, activation="relu"), lambda w, x: rnn_in_numpy(w, x, relu), id="rnn with relu"
    ),
    pytest.param(
        lambda: Rnn(CLIP, hidden=3, activation="sigmoid"),
        lambda w, x: rnn_in_numpy(w, x, sigmoid),
        id="rnn with sigmoid",
    ),
    pytest.param(lambda: Lstm(CLIP, hidden=3), lstm_in_numpy, id="lstm"),
    pytest.param(lambda: Gru(CLIP, hidden=3), gru_in_numpy, id="gru"),
]


@pytest.mark.parametrize(("make", "formula"), CELLS)
def test_a_clip_is_the_formula_frame_after_frame(make, formula) -> None:
    cell = drawn(make())
    x = numbers(CLIP)
    y, _ = cell(x, initial_state(cell.state, x))
    assert array(y) == pytest.approx(formula(weights(cell), array(x)))


@pytest.mark.parametrize(("make", "formula"), CELLS)
def test_steps_give_what_the_clip_gives_and_the_same_state(make, formula) -> None:
    cell = drawn(make())
    x = numbers(CLIP)
    state = initial_state(cell.state, x)
    whole, after = cell(x, state)
    for t in range(6):
        y, state = cell.step(x[:, t], state)
        assert array(y) == pytest.approx(array(whole[:, t]))
    assert [array(one) for one in state] == [pytest.approx(array(one)) for one in after]


@pytest.mark.parametrize(("make", "formula"), CELLS)
def test_a_clip_can_be_gone_through_in_two_parts(make, formula) -> None:
    cell = drawn(make())
    x = numbers(CLIP)
    first, between = cell(x[:, :2], initial_state(cell.state, x))
    second, _ = cell(x[:, 2:], between)
    assert array(torch.cat([first, second], 1)) == pytest.approx(formula(weights(cell), array(x)))


def test_recurrent_weights_start_orthogonal_and_an_lstm_remembers_at_first() -> None:
    lstm = Lstm(a_vector(8, time=2), hidden=16)
    for gate in lstm.kernel.weight_hh_l0.chunk(4):
        assert array(gate @ gate.T) == pytest.approx(np.eye(16), abs=1e-5)
    assert lstm.kernel.bias_ih_l0.chunk(4)[1].tolist() == [1.0] * 16
    assert not lstm.kernel.bias_hh_l0.any()


@pytest.mark.parametrize("kind", [Rnn, Lstm, Gru])
def test_recurrent_particles_want_vectors_in_time(kind) -> None:
    with pytest.raises(ShapeMismatch, match="a clip"):
        kind(a_vector(), hidden=3)
    with pytest.raises(ShapeMismatch, match="a vector"):
        kind(a_map(time=4), hidden=3)
