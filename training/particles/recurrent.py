"""Recurrent particles: what they remember goes in and comes out with every frame. Legend: B batch, T time, C channels.

Over a clip torch's own kernels run; `step` is the formula itself, with the same weights, and is what is exported.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.particles.initialisation import initialise
from training.particles.particle import Count, State, StateSpec, TemporalParticle
from training.particles.shape import Shape


class _Recurrent(TemporalParticle):
    """One layer over vectors: its weights, one below the other a gate, and torch's kernel for them.

    Xavier for the input's weights, orthogonal for the state's (Saxe et al., 2014), biases zero.
    """

    def __init__(self, shape: Shape, hidden: int, kernel: nn.RNNBase) -> None:
        super().__init__()
        shape.clip()
        shape.vector()
        self.out = shape.with_features(hidden)
        self.kernel = kernel
        for name, weight in kernel.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(weight)
                continue
            for gate in weight.chunk(len(weight) // hidden):
                if name.startswith("weight_ih"):
                    initialise(gate.data, None, "tanh")
                else:
                    nn.init.orthogonal_(gate)

    def _gates(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """What input and state give to the gates, W x + b and U h + c, each [B, gates·hidden]."""
        from_input, from_state, input_bias, state_bias = self.kernel.all_weights[0]
        return functional.linear(x, from_input, input_bias), functional.linear(h, from_state, state_bias)


class Rnn(_Recurrent):
    """[B, T, C] → [B, T, hidden], h_t = f(W x_t + U h_{t−1} + b), f tanh, relu or sigmoid; state h.

    Elman, Finding Structure in Time (1990).
    """

    def __init__(self, shape: Shape, *, hidden: Count, activation: Literal["tanh", "relu", "sigmoid"] = "tanh") -> None:
        # torch has no kernel for sigmoid, and then runs the formula frame by frame.
        kind = "relu" if activation == "relu" else "tanh"
        super().__init__(shape, hidden, nn.RNN(shape.channels, hidden, batch_first=True, nonlinearity=kind))
        self.activation = activation
        self.state = (StateSpec("h", (hidden,)),)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if self.activation == "sigmoid":
            outputs = []
            for frame in x.unbind(1):
                y, state = self.step(frame, state)
                outputs.append(y)
            return torch.stack(outputs, 1), state
        y, h = self.kernel(x, state[0][None])
        return y, (h[0],)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        from_input, from_state = self._gates(x, state[0])
        h: Tensor = getattr(torch, self.activation)(from_input + from_state)
        return h, (h,)


class Lstm(_Recurrent):
    """[B, T, C] → [B, T, hidden]; state h and c.

    i, f, o = σ(…), g = tanh(…), each W x_t + U h_{t−1} + b; c_t = f c_{t−1} + i g; h_t = o tanh(c_t). Hochreiter and
    Schmidhuber, Long Short-Term Memory (1997), with the forget gate of Gers et al. (2000), whose bias starts at 1
    (Jozefowicz et al., 2015).
    """

    def __init__(self, shape: Shape, *, hidden: Count) -> None:
        super().__init__(shape, hidden, nn.LSTM(shape.channels, hidden, batch_first=True))
        self.state = (StateSpec("h", (hidden,)), StateSpec("c", (hidden,)))
        _, _, input_bias, _ = self.kernel.all_weights[0]
        nn.init.ones_(input_bias.data[hidden : 2 * hidden])

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, (h, c) = self.kernel(x, (state[0][None], state[1][None]))
        return y, (h[0], c[0])

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        from_input, from_state = self._gates(x, state[0])
        i, f, g, o = (from_input + from_state).chunk(4, 1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)


class Gru(_Recurrent):
    """[B, T, C] → [B, T, hidden]; state h.

    r, z = σ(W x_t + U h_{t−1} + b); n = tanh(W x_t + b + r (U h_{t−1} + c)); h_t = (1 − z) n + z h_{t−1}. Cho et al.,
    Learning Phrase Representations using RNN Encoder–Decoder (2014), the reset gate after the product as in cuDNN.
    """

    def __init__(self, shape: Shape, *, hidden: Count) -> None:
        super().__init__(shape, hidden, nn.GRU(shape.channels, hidden, batch_first=True))
        self.state = (StateSpec("h", (hidden,)),)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, h = self.kernel(x, state[0][None])
        return y, (h[0],)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        from_input, from_state = self._gates(x, state[0])
        (r, z, n), (r_h, z_h, n_h) = from_input.chunk(3, 1), from_state.chunk(3, 1)
        reset, keep = (r + r_h).sigmoid(), (z + z_h).sigmoid()
        new = (n + reset * n_h).tanh()
        h = (1 - keep) * new + keep * state[0]
        return h, (h,)
