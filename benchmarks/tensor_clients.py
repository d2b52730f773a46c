"""Clients that ask over /v2 one request after the other, in a process of their own, as Triton's users do.

python -m benchmarks.tensor_clients ADDRESS MODEL INPUT DTYPE SHAPE CLIENTS SECONDS     (prints seconds of each request)
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient import http as triton
from tritonclient.utils import np_to_triton_dtype

from benchmarks.failure import NotMeasured


@dataclass(frozen=True)
class Asked:
    """A model, and one request of it.

    Attributes:
        shape: with the batch axis.
    """

    model: str
    input: str
    dtype: str
    shape: tuple[int, ...]

    def values(self) -> np.ndarray[Any, Any]:
        """The input, noise."""
        random = np.random.default_rng(0)
        if self.dtype == "uint8":
            return random.integers(0, 256, self.shape, np.uint8)
        return random.random(self.shape).astype(self.dtype)


def measure(port: int, asked: Asked, clients: int, seconds: float) -> list[float]:
    """Seconds that each request took, of so many clients."""
    shape = ",".join(map(str, asked.shape))
    command = [f"127.0.0.1:{port}", asked.model, asked.input, asked.dtype, shape, str(clients), str(seconds)]
    done = subprocess.run([sys.executable, "-m", "benchmarks.tensor_clients", *command], capture_output=True, text=True)
    if done.returncode:
        raise NotMeasured(f"the clients failed:\n{done.stderr[-2000:]}")
    trips: list[float] = json.loads(done.stdout.splitlines()[-1])
    return trips


def main() -> None:
    address, model, name, dtype, shape, clients, seconds = sys.argv[1:]
    asked = Asked(model, name, dtype, tuple(map(int, shape.split(","))))
    trips: list[float] = []
    until = time.perf_counter() + float(seconds)
    crew = [threading.Thread(target=_ask, args=(address, asked, until, trips)) for _ in range(int(clients))]
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    print(json.dumps(trips))


def _ask(address: str, asked: Asked, until: float, trips: list[float]) -> None:
    values = asked.values()
    # A client of its own: one is not to be shared by threads.
    with triton.InferenceServerClient(address) as client:
        sent = triton.InferInput(asked.input, list(asked.shape), np_to_triton_dtype(values.dtype))
        while (start := time.perf_counter()) < until:
            client.infer(asked.model, [sent.set_data_from_numpy(values)])
            trips.append(time.perf_counter() - start)


if __name__ == "__main__":
    main()
