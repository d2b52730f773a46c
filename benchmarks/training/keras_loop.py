"""The classic net for digits in Keras, run by the environment that has it:  python keras_loop.py IDX_FOLDER EPOCHS

Prints the seconds of each epoch and the accuracy on the test pictures, as JSON.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

folder, epochs = Path(sys.argv[1]), int(sys.argv[2])


def idx(name: str, head: int) -> npt.NDArray[np.uint8]:
    path = next(folder.glob(f"{name}*"))
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return np.frombuffer(raw, np.uint8, offset=head)


def pictures(name: str) -> npt.NDArray[np.float32]:
    return idx(f"{name}-images", 16).reshape(-1, 28, 28, 1).astype(np.float32) / np.float32(255)


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.seconds.append(time.perf_counter() - self.began)


net = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
net.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
clock = Clock()
net.fit(pictures("train"), idx("train-labels", 8), batch_size=64, epochs=epochs, callbacks=[clock], verbose=0)
_, accuracy = net.evaluate(pictures("t10k"), idx("t10k-labels", 8), verbose=0)
print(json.dumps({"seconds": clock.seconds, "accuracy": accuracy, "keras": keras.__version__}))
