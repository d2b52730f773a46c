"""Recurrent state: for each stream a row of every state tensor, gathered for a batch and scattered back after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model_export.errors import ModelError
from model_export.manifest import State
from model_export.states import first_rows
from server.engine.batcher import Key

Array = npt.NDArray[Any]


class StateRefused(ModelError):
    """Saved rows that are not of this model."""

    code = "state_refused"


class StateRows:
    """The rows of one model's streams, each array [1, *shape].

    A stream has at most one request in flight, so its rows are touched by one thread at a time.
    """

    def __init__(self, states: Sequence[State]) -> None:
        self._states = tuple(states)
        self._initial = first_rows(states, 1)
        self._rows: dict[Key, dict[str, Array]] = {}

    def __len__(self) -> int:
        """Streams that have rows."""
        return len(self._rows)

    def __contains__(self, stream: Key) -> bool:
        return stream in self._rows

    def gather(self, streams: Sequence[Key | None], size: int) -> dict[str, Array]:
        """The state inputs of a batch, [size, *shape]; None, a new stream and padding get the initial value.

        A single row is passed on without a copy.
        """
        rows = [self._initial if stream is None else self._rows.get(stream, self._initial) for stream in streams]
        rows += [self._initial] * (size - len(rows))
        if len(rows) == 1:
            return {state.input: rows[0][state.input] for state in self._states}
        return {state.input: np.concatenate([row[state.input] for row in rows]) for state in self._states}

    def scatter(self, streams: Sequence[Key], outputs: dict[str, Array]) -> None:
        """Keep what a run gave, and take it out of its outputs."""
        given = {state.input: outputs.pop(state.output) for state in self._states}
        if all(len(value) == 1 for value in given.values()):
            self._rows[streams[0]] = given
            return
        for index, stream in enumerate(streams):
            # Copied, so that one stream's row does not keep the whole batch's memory.
            self._rows[stream] = {name: value[index : index + 1].copy() for name, value in given.items()}

    def reset(self, stream: Key) -> None:
        """Forget a stream: its next frame starts from the initial value."""
        self._rows.pop(stream, None)

    def get(self, stream: Key) -> list[bytes] | None:
        """A stream's rows in the manifest's order, or None if it has none."""
        rows = self._rows.get(stream)
        return None if rows is None else [rows[state.input].tobytes() for state in self._states]

    def put(self, stream: Key, buffers: Sequence[bytes]) -> None:
        """Set a stream's rows.

        Raises:
            StateRefused: not as many buffers as states, or of another size.
        """
        if len(buffers) != len(self._states):
            raise StateRefused(f"{len(buffers)} saved rows for a model with {len(self._states)} states.")
        rows = {}
        for state, buffer in zip(self._states, buffers, strict=True):
            expected = math.prod(state.shape) * np.dtype(state.dtype).itemsize
            if len(buffer) != expected:
                raise StateRefused(
                    f"A saved row of {state.input!r} has {len(buffer)} bytes, the model's has {expected}."
                )
            rows[state.input] = np.frombuffer(buffer, state.dtype).reshape(1, *state.shape)
        self._rows[stream] = rows
