"""What weights start as: He for ReLU kinds, Xavier for everything else; biases start at zero."""

from __future__ import annotations

from torch import Tensor, nn

from training.particles.activation import RECTIFIERS, ActivationName


def initialise(weight: Tensor, bias: Tensor | None, activation: ActivationName) -> None:
    """Fill the weights of a layer that `activation` follows, in place.

    He et al., Delving Deep into Rectifiers (2015) where half of the signal is cut off; Glorot and Bengio,
    Understanding the difficulty of training deep feedforward neural networks (2010) for tanh, sigmoid and none.
    """
    if activation in RECTIFIERS:
        nn.init.kaiming_uniform_(weight, nonlinearity="relu")
    else:
        nn.init.xavier_uniform_(weight)
    if bias is not None:
        nn.init.zeros_(bias)
