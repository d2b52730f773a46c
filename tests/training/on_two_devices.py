"""Trains on two devices of this machine: Lightning starts this once more for the second."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

FIT = {"epochs": 2, "optimiser": {"kind": "sgd", "rate": 0.05}}

if __name__ == "__main__":
    import torch
    from fit_builders import NET, STILL_NET, trained

    torch.set_num_threads(1)
    # NET has batch norms.
    net, device = (NET, "auto") if sys.argv[2:] == ["norms"] else (STILL_NET, "cpu")
    trained(Path(sys.argv[1]), net=net, fit=FIT | {"devices": 2, "device": device})
