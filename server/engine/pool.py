"""State that stays on the device: a pool with a row for each stream, which runs read and write where it lies.

Carried to the host and back, the state of a background model costs more than its run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import Condition
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from model_export import onnx_file
from model_export.manifest import State
from model_export.state_pool import FROM, TO, pieces, pool_input, pool_output, reader, with_pools, writer
from model_export.states import first_rows
from server.engine.batcher import Key
from server.engine.session import Array, OnnxSession, Options, SessionFailed, first_line
from server.engine.state import States, rows_of

_INITIAL, _PADDING = 0, 1
"""Rows of no stream: what every stream begins with, and where the padding of batches ends."""
_ROWS = 16
_MADE = Path("the graph of a state's rows")
Pool = tuple[ort.OrtValue, str | None]
"""A pool, and the name of the output that shall be the same memory, if one is."""


class InPlace(OnnxSession):
    """A session that writes the pools that it is given where they lie.

    Args:
        model: what the graph was made of.
    """

    def __init__(self, graph: onnx.ModelProto, provider: str, options: Options, *, model: Path = _MADE) -> None:
        super().__init__(model, provider, options, graph=graph.SerializeToString())

    def run_in_place(self, inputs: Mapping[str, Array], pools: Mapping[str, Pool]) -> dict[str, Array]:
        """All outputs but the pools, by name.

        Args:
            pools: by the names of the inputs.

        Raises:
            SessionFailed: the graph cannot be run on these inputs.
        """
        written = {output: pool for pool, output in pools.values() if output is not None}
        plain = [name for name in self._outputs if name not in written]
        binding = self._session.io_binding()
        try:
            for name in plain:
                binding.bind_output(name, "cpu")
            # The same memory in and out: ONNX Runtime then writes the rows that `TO` names, and copies nothing.
            for name, (pool, _) in pools.items():
                binding.bind_ortvalue_input(name, pool)
            for name, pool in written.items():
                binding.bind_ortvalue_output(name, pool)
            for name, value in inputs.items():
                binding.bind_cpu_input(name, value)
            self._session.run_with_iobinding(binding)
        except Exception as error:  # ONNX Runtime's errors have no common class
            raise SessionFailed(f"The run failed: {first_line(error)}") from error
        return {name: value.numpy() for name, value in zip(plain, binding.get_outputs(), strict=False)}


class PooledSession(InPlace):
    """A session of a graph whose state is in pools.

    `run` takes what `StatePool.gather` gives, and keeps the state; it also takes and gives states as the bundle's graph
    does, and then keeps nothing.

    Raises:
        SessionFailed: the graph cannot be loaded.
    """

    def __init__(self, model: Path, provider: str, options: Options, states: Sequence[State]) -> None:
        super().__init__(with_pools(onnx_file.read(model), states), provider, options, model=model)
        self._states = {pool_input(state): state for state in states}

    def states(self, states: Sequence[State]) -> States:
        return StatePool(states, self.provider)

    def run(self, inputs: Mapping[str, Any], *, shrink: bool = False) -> dict[str, Array]:
        given = dict(inputs)
        if FROM in given:
            pools = {name: (given.pop(name), pool_output(state)) for name, state in self._states.items()}
            return self.run_in_place(given, pools)
        rows = np.arange(len(given[next(iter(self._states.values())).input]))[:, None]
        for name, state in self._states.items():
            given[name] = _in_pieces(state, given.pop(state.input))
        outputs = super().run({**given, FROM: rows, TO: rows}, shrink=shrink)
        for state in self._states.values():
            outputs[state.output] = outputs.pop(pool_output(state)).reshape(-1, *state.shape)
        return outputs


class StatePool:
    """The rows of one model's streams, as `StateRows` keeps them, on a device.

    A stream has at most one request in flight. Runs share the pool, as each writes rows of its own; the pool grows when
    none runs.

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
        self._growing = False
        self._changed = Condition()
        self._reader = InPlace(reader(states), device, Options())
        self._writer = InPlace(writer(states), device, Options())

    def __len__(self) -> int:
        """Streams that have rows."""
        return len(self._rows)

    def __contains__(self, stream: Key) -> bool:
        return stream in self._rows

    def gather(self, streams: Sequence[Key], size: int, *, fresh: Collection[Key] = ()) -> dict[str, Any]:
        with self._changed:
            self._changed.wait_for(lambda: not self._growing)
            new = sum(one not in self._rows for one in streams)
            if new > len(self._free):
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
            pools = {pool_input(state): (self._pools[state.input], None) for state in self._states}
        rows = self._reader.run_in_place({FROM: np.array([[row]])}, pools)
        return [rows[state.input].tobytes() for state in self._states]

    def put(self, stream: Key, buffers: Sequence[bytes]) -> None:
        rows = rows_of(buffers, self._states)
        taken = self.gather([stream], 1)
        pools = {pool_input(state): (taken[pool_input(state)], pool_output(state)) for state in self._states}
        given = {state.output: rows[state.input] for state in self._states}
        try:
            self._writer.run_in_place({TO: taken[TO], **given}, pools)
        except BaseException:
            self.failed([stream])
            raise
        self.scatter([stream], {})

    def _ended(self) -> None:
        self._runs -= 1
        self._changed.notify_all()

    def _grow(self, least: int) -> None:
        """Make room for so many streams more, and for as many again as there are, when no run uses the pool."""
        self._growing = True
        try:
            self._changed.wait_for(lambda: not self._runs)
            more = max(least, self._size)
            larger = {
                name: self._placed(np.concatenate([self._pools[name].numpy(), rows]))
                for name, rows in self._new(more).items()
            }
        finally:
            self._growing = False
            self._changed.notify_all()
        self._pools = larger
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
