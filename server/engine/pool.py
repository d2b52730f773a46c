"""State that stays on the device: a pool with a row for each stream, which runs read and write where it lies.

Carried to the host and back, the state of a background model costs more than its run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import Any

import numpy as np
import onnxruntime as ort

from model_export import onnx_file
from model_export.manifest import State
from model_export.state_pool import FROM, TO, pieces, pool_input, pool_output, with_pools
from model_export.states import first_rows
from server.engine.batcher import Key
from server.engine.session import Array, OnnxSession, Options, SessionFailed, first_line
from server.engine.state import States, rows_of

_INITIAL, _PADDING = 0, 1
"""Rows of no stream: what every stream begins with, and where the padding of batches ends."""
_ROWS = 16


class PooledSession(OnnxSession):
    """A session of a graph whose state is in pools.

    `run` takes what `StatePool.gather` gives, and keeps the state; it also takes and gives states as the bundle's graph
    does, and then keeps nothing.

    Raises:
        SessionFailed: the graph cannot be loaded.
    """

    def __init__(self, model: Path, provider: str, options: Options, states: Sequence[State]) -> None:
        graph = with_pools(onnx_file.read(model), states)
        super().__init__(model, provider, options, graph=graph.SerializeToString())
        self._states = tuple(states)
        pools = {pool_output(state) for state in states}
        self._plain = [name for name in self._outputs if name not in pools]

    def states(self, states: Sequence[State]) -> States:
        return StatePool(states, self.provider)

    def run(self, inputs: Mapping[str, Any], *, shrink: bool = False) -> dict[str, Array]:
        if FROM in inputs:
            return self._run_in_place(inputs)
        given = dict(inputs)
        rows = np.arange(len(given[self._states[0].input]))[:, None]
        pools = {pool_input(state): _in_pieces(state, given.pop(state.input)) for state in self._states}
        outputs = super().run({**given, **pools, FROM: rows, TO: rows}, shrink=shrink)
        return {name: outputs[name] for name in self._plain} | {
            state.output: outputs[pool_output(state)].reshape(-1, *state.shape) for state in self._states
        }

    def _run_in_place(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        binding = self._session.io_binding()
        try:
            for name in self._plain:
                binding.bind_output(name, "cpu")
            for state in self._states:
                # The same memory in and out: ONNX Runtime then writes the rows that `TO` names, and copies nothing.
                pool = inputs[pool_input(state)]
                binding.bind_ortvalue_input(pool_input(state), pool)
                binding.bind_ortvalue_output(pool_output(state), pool)
            pools = {pool_input(state) for state in self._states}
            for name, value in inputs.items():
                if name not in pools:
                    binding.bind_cpu_input(name, value)
            self._session.run_with_iobinding(binding)
        except Exception as error:  # ONNX Runtime's errors have no common class
            raise SessionFailed(f"The run failed: {first_line(error)}") from error
        return {name: value.numpy() for name, value in zip(self._plain, binding.get_outputs(), strict=False)}


class StatePool:
    """The rows of one model's streams, as `StateRows` keeps them, on a device.

    A stream has at most one request in flight. Runs share the pool, as each writes rows of its own; what moves or
    writes other rows waits until none runs.

    Args:
        device: `cpu` or `cuda`.
    """

    def __init__(self, states: Sequence[State], device: str) -> None:
        self._states = tuple(states)
        self._device = device
        self._size = _ROWS
        self._pools = {name: self._placed(rows) for name, rows in self._new(self._size).items()}
        self._free = list(range(_PADDING + 1, self._size))
        self._rows: dict[Key, int] = {}
        self._running: dict[Key, int] = {}
        self._runs = 0
        self._waiting = 0
        self._changed = Condition()

    def __len__(self) -> int:
        """Streams that have rows."""
        return len(self._rows)

    def __contains__(self, stream: Key) -> bool:
        return stream in self._rows

    def gather(self, streams: Sequence[Key], size: int, *, fresh: Collection[Key] = ()) -> dict[str, Any]:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
            new = sum(one not in self._rows for one in streams)
            if new > len(self._free):
                with self._at_rest():
                    self._grow(new)
            begins = [_INITIAL if one in fresh else self._rows.get(one, _INITIAL) for one in streams]
            for one in streams:
                self._running[one] = self._rows[one] if one in self._rows else self._free.pop()
            ends = [self._running[one] for one in streams]
            self._runs += 1
            pools = {pool_input(state): self._pools[state.input] for state in self._states}
        padding = size - len(streams)
        return {
            FROM: np.array(begins + [_INITIAL] * padding, np.int64)[:, None],
            TO: np.array(ends + [_PADDING] * padding, np.int64)[:, None],
            **pools,
        }

    def scatter(self, streams: Sequence[Key], outputs: dict[str, Array]) -> None:
        with self._changed:
            for one in streams:
                self._rows[one] = self._running.pop(one)
            self._ended()

    def failed(self, streams: Sequence[Key]) -> None:
        with self._changed:
            for one in streams:
                row = self._running.pop(one)
                if self._rows.get(one) != row:
                    self._free.append(row)
            self._ended()

    def reset(self, stream: Key) -> None:
        with self._changed:
            row = self._rows.pop(stream, None)
            if row is not None and stream not in self._running:
                self._free.append(row)

    def get(self, stream: Key) -> list[bytes] | None:
        with self._changed:
            row = self._rows.get(stream)
            if row is None:
                return None
            return [self._pools[state.input].numpy()[_place(state, row)].tobytes() for state in self._states]

    def put(self, stream: Key, buffers: Sequence[bytes]) -> None:
        rows = rows_of(buffers, self._states)
        with self._changed, self._at_rest():
            if stream not in self._rows and not self._free:
                self._grow(1)
            row = self._rows[stream] if stream in self._rows else self._free.pop()
            for state in self._states:
                whole = self._pools[state.input].numpy().copy()
                whole[_place(state, row)] = _in_pieces(state, rows[state.input])
                self._pools[state.input] = self._placed(whole)
            self._rows[stream] = row

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        """While no run uses the pool; the lock is held, so that none begins."""
        self._waiting += 1
        try:
            self._changed.wait_for(lambda: not self._runs)
            yield
        finally:
            self._waiting -= 1
            self._changed.notify_all()

    def _ended(self) -> None:
        self._runs -= 1
        self._changed.notify_all()

    def _grow(self, least: int) -> None:
        """Make room for so many streams more, and for as many again as there are."""
        more = max(least, self._size)
        for name, rows in self._new(more).items():
            self._pools[name] = self._placed(np.concatenate([self._pools[name].numpy(), rows]))
        self._free += range(self._size, self._size + more)
        self._size += more

    def _new(self, rows: int) -> dict[str, Array]:
        first = first_rows(self._states, rows)
        return {state.input: _in_pieces(state, first[state.input]) for state in self._states}

    def _placed(self, rows: Array) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_numpy(rows, self._device, 0)


def _in_pieces(state: State, rows: Array) -> Array:
    """Rows [B, *shape] as they lie in a pool."""
    return rows.reshape(-1, pieces(state)[1])


def _place(state: State, row: int) -> slice:
    count, _ = pieces(state)
    return slice(row * count, (row + 1) * count)
