"""Recurrent state: for each stream a row of every state tensor, gathered for a batch and scattered back after it.

Here on the host; `pool` keeps it on a device.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, Protocol

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


class States(Protocol):
    """The rows of one model's streams.

    Every `gather` is followed by `scatter`, or by `failed` where the run was.
    """

    def __contains__(self, stream: Key) -> bool:
        """Whether a stream has rows."""
        ...

    def gather(self, streams: Sequence[Key], size: int, *, fresh: Collection[Key] = ()) -> dict[str, Any]:
        """What a run of a batch is given beside its frames; a new stream and padding begin with the initial value.

        Args:
            fresh: streams that start over, whatever their rows are.
        """
        ...

    def scatter(self, streams: Sequence[Key], outputs: dict[str, Array]) -> None:
        """Keep what a run gave, and take it out of its outputs."""
        ...

    def failed(self, streams: Sequence[Key]) -> None:
        """The run came to nothing: what its streams had stays."""
        ...

    def reset(self, stream: Key) -> None:
        """Forget a stream: its next frame starts from the initial value."""
        ...

    def get(self, stream: Key) -> list[bytes] | None:
        """A stream's rows in the manifest's order, or None if it has none."""
        ...

    def put(self, stream: Key, buffers: Sequence[bytes]) -> None:
        """Set a stream's rows.

        Raises:
            StateRefused: not as many buffers as states, or of another size.
        """
        ...


class StateRows:
    """The rows on the host, each array [1, *shape].

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

    def gather(self, streams: Sequence[Key], size: int, *, fresh: Collection[Key] = ()) -> dict[str, Array]:
        """The state inputs of a batch, [size, *shape]; a single row is passed on without a copy."""
        rows = [self._initial if one in fresh else self._rows.get(one, self._initial) for one in streams]
        rows += [self._initial] * (size - len(rows))
        if len(rows) == 1:
            return {state.input: rows[0][state.input] for state in self._states}
        return {state.input: np.concatenate([row[state.input] for row in rows]) for state in self._states}

    def scatter(self, streams: Sequence[Key], outputs: dict[str, Array]) -> None:
        given = {state.input: outputs.pop(state.output) for state in self._states}
        if all(len(value) == 1 for value in given.values()):
            self._rows[streams[0]] = given
            return
        for index, stream in enumerate(streams):
            # Copied, so that one stream's row does not keep the whole batch's memory.
            self._rows[stream] = {name: value[index : index + 1].copy() for name, value in given.items()}

    def failed(self, streams: Sequence[Key]) -> None:
        """Nothing was taken from them."""

    def reset(self, stream: Key) -> None:
        self._rows.pop(stream, None)

    def get(self, stream: Key) -> list[bytes] | None:
        rows = self._rows.get(stream)
        return None if rows is None else [rows[state.input].tobytes() for state in self._states]

    def put(self, stream: Key, buffers: Sequence[bytes]) -> None:
        self._rows[stream] = rows_of(buffers, self._states)


def rows_of(buffers: Sequence[bytes], states: Sequence[State]) -> dict[str, Array]:
    """Saved rows, [1, *shape] by the name of the state's input.

    Raises:
        StateRefused: not as many buffers as states, or of another size.
    """
    if len(buffers) != len(states):
        raise StateRefused(f"{len(buffers)} saved rows for a model with {len(states)} states.")
    rows = {}
    for state, buffer in zip(states, buffers, strict=True):
        expected = math.prod(state.shape) * np.dtype(state.dtype).itemsize
        if len(buffer) != expected:
            raise StateRefused(f"A saved row of {state.input!r} has {len(buffer)} bytes, the model's has {expected}.")
        rows[state.input] = np.frombuffer(buffer, state.dtype).reshape(1, *state.shape)
    return rows
