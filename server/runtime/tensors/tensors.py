"""Tensors that clients send to models directly: a request divided into blocks, run, and put together again."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import numpy as np

from model_export.manifest import Manifest
from server.core.errors import ModelUnavailable, SequenceInvalid
from server.domain.inference import Inference, Inferred, Tensor, TensorModel
from server.engine.answers import OutputTooLarge
from server.runtime.models.loading import Loaded
from server.runtime.models.models import Models
from server.runtime.tensors import sequences
from server.runtime.tensors.arrivals import Arrivals
from server.runtime.tensors.asking import Asking
from server.runtime.tensors.exchange import Block, Exchange, metas_of, somewhere
from server.runtime.tensors.model import tensor_model
from server.runtime.tensors.pieces import divided
from server.runtime.tensors.room import Room
from server.runtime.tensors.sequences import Sequences
from server.wire.tally import Tally
from server.wire.tensors import tensors_bytes

_PATIENCE_S = 10.0
_SWEEP_S = 1.0
_AT_ONCE = 32
"""Blocks of a request that are asked at a time."""
_ALIGNED = 64
"""Bytes that lie between two tensors of a slot at most."""


class Tensors:
    """
    Args:
        asking: the talk with the engine.
        room: for tensors, shared with the engine.
        request_bytes: that one request may have.
        sequences_at_once: of recurrent models.
        idle_s: how long one of these is kept without a request.

    Attributes:
        arrivals: how many requests may be under way.
    """

    def __init__(
        self,
        models: Models,
        asking: Asking,
        room: Room,
        arrivals: Arrivals,
        *,
        request_bytes: int,
        sequences_at_once: int,
        idle_s: float,
    ) -> None:
        self.arrivals = arrivals
        self.request_bytes = request_bytes
        self._models = models
        self._asking = asking
        self._room = room
        self._exchange = Exchange(asking, room)
        self._sequences = Sequences(sequences_at_once, idle_s, asking.stream)
        self._sweep_s = min(_SWEEP_S, idle_s / 4)
        self._described: dict[str, tuple[Manifest, TensorModel]] = {}
        self._seen: dict[str, int] = {}
        """Bytes of a row's outputs by model, the most there were, where the model does not declare them."""
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """From now on forget sequences that nobody uses."""
        self._spawn(self._sweep())

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._exchange.close()
        self._asking.close()
        self._room.close()

    def engine_lost(self) -> None:
        """The engine is gone, and with it what it had been asked and the state of every sequence."""
        self._asking.engine_lost()
        for sequence in self._sequences.of():
            self._end(sequence)

    # ── what there is ────────────────────────────────────────────────────────────────────────────────────────────

    async def describe(self, reference: str) -> TensorModel:
        """What a model takes and answers; it need not be loaded.

        Raises:
            ModelNotFound: there is none.
        """
        return self._describe(await self._manifest(reference))

    async def tallies(self) -> Sequence[Tally]:
        """What the models that are up have been asked and have done.

        Raises:
            ModelUnavailable: the engine does not say.
        """
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._asking.tallies()
        except TimeoutError as error:
            raise ModelUnavailable("The engine does not answer.") from error

    async def unload(self, reference: str) -> None:
        """End a model's sequences, and give its memory back.

        Raises:
            ModelNotFound: there is none.
            ModelInUse: jobs that run need it.
        """
        wanted = (await self._models.resolve(reference)).manifest
        for model in self._models.loading.of(wanted.name):
            if "@" not in reference or model.id == wanted.id:
                for sequence in self._sequences.of(model.id):
                    self._end(sequence)
        await self._models.unload(reference)

    # ── the way of a request ─────────────────────────────────────────────────────────────────────────────────────

    async def infer(self, reference: str, inference: Inference) -> Inferred:
        """Ask a model, `name` or `name@version`, which is loaded if it is not.

        Raises:
            ModelNotFound, ModelUnavailable: as `Models.load`.
            SequenceInvalid, TooManyRequests: as the sequence is.
            UploadTooLarge: a row, or what cannot be divided, fits no slot.
            DeadlinePassed: nobody wants the answer any more.
            VidserveError: in the engine's own words.
        """
        if (await self._manifest(reference)).state:
            return await self._in_sequence(reference, inference)
        async with self._models.serving(reference) as model:
            return await self._in_blocks(model, inference)

    async def _in_blocks(self, model: Loaded, inference: Inference) -> Inferred:
        """As many rows at a time as share a run, side by side; the outputs are put below each other."""
        manifest = model.bundle.manifest
        stream = self._asking.stream()
        sizes = model.said.sizes if model.said is not None else ()
        rows = len(inference.inputs[0].array) if sizes else 1
        if rows == 1:
            outputs = await self._block(manifest, inference, inference.inputs, stream, 1)
            return Inferred(manifest.name, manifest.version, outputs)
        row_bytes = max(tensors_bytes(metas_of(inference.inputs)) // rows, self._expected(manifest, inference))
        fitting = (self._room.largest - _ALIGNED * len(inference.inputs)) // row_bytes
        parts = divided(rows, sizes, at_most=max(1, fitting))
        starts = itertools.accumulate(parts, initial=0)
        answers: list[Sequence[Tensor]] = [()] * len(parts)
        # Shared by those who take the next one when they are done with one: more at once would only wait for slots.
        todo = iter(enumerate(zip(starts, parts, strict=False)))

        async def work() -> None:
            for number, (start, part) in todo:
                inputs = [Tensor(one.name, one.array[start : start + part]) for one in inference.inputs]
                answers[number] = await self._block(manifest, inference, inputs, stream, number)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_AT_ONCE, len(parts))):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        outputs = await _below_each_other(answers)
        return Inferred(manifest.name, manifest.version, outputs)

    async def _block(
        self, manifest: Manifest, inference: Inference, inputs: Sequence[Tensor], stream: str, number: int
    ) -> Sequence[Tensor]:
        rows = len(inputs[0].array) if manifest.shares_runs else 1
        expected = rows * self._expected(manifest, inference)
        while True:
            try:
                return await self._exchange.run(
                    Block(
                        stream=stream,
                        seq=number,
                        model=manifest.id,
                        inputs=inputs,
                        outputs=inference.outputs,
                        expected=expected,
                        urgent=inference.urgent,
                        deadline=inference.deadline,
                    )
                )
            except OutputTooLarge as error:
                if error.needed <= expected:
                    raise
                # Now it is known; asking again costs a run, once for each model.
                expected = error.needed
                self._seen[manifest.id] = max(self._seen.get(manifest.id, 0), -(-expected // rows))

    async def _in_sequence(self, reference: str, inference: Inference) -> Inferred:
        """A frame of a recurrent model, in its turn. The sequence ends with the version that it began with."""
        step = inference.step
        if step is None:
            raise SequenceInvalid(
                f"{reference} remembers earlier frames, and this one belongs to no sequence.",
                hint="Say which with the parameters sequence_id and, of its first frame, sequence_start.",
            )
        while True:
            sequence = self._sequences.find(reference, step, time.monotonic())
            async with sequence.turn:
                if sequence.over:
                    continue  # it ended while this frame waited
                try:
                    return await self._next(sequence, inference, reset=step.start)
                except (asyncio.CancelledError, ModelUnavailable, OutputTooLarge):
                    self._end(sequence)  # nobody knows what it remembers now
                    raise
                finally:
                    sequence.used_at = time.monotonic()
                    if step.end or not sequence.model:
                        self._end(sequence)

    async def _next(self, sequence: sequences.Sequence, inference: Inference, *, reset: bool) -> Inferred:
        if not sequence.model:
            model = (await self._models.acquire(sequence.key[0])).manifest.id
            if sequence.over:  # the engine died meanwhile, and all sequences with it
                self._models.release(model)
                raise ModelUnavailable("The engine ended while the sequence began.", hint="Begin it again.")
            sequence.model = model
        manifest = self._models.loading.models[sequence.model].bundle.manifest
        sequence.asked += 1
        outputs = await self._exchange.run(
            Block(
                stream=sequence.stream,
                seq=sequence.asked,
                model=manifest.id,
                inputs=inference.inputs,
                outputs=inference.outputs,
                # It cannot be asked twice, so there must be room for all that may come.
                expected=self._expected(manifest, inference) or self._room.largest,
                urgent=inference.urgent,
                deadline=inference.deadline,
                reset=reset,
            )
        )
        return Inferred(manifest.name, manifest.version, outputs)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _manifest(self, reference: str) -> Manifest:
        known = self._models.at_hand(reference)
        return (known.bundle if known is not None else await self._models.resolve(reference)).manifest

    def _describe(self, manifest: Manifest) -> TensorModel:
        known, model = self._described.get(manifest.id, (None, None))
        if known is not manifest or model is None:
            model = tensor_model(manifest)
            self._described[manifest.id] = manifest, model
        return model

    def _expected(self, manifest: Manifest, inference: Inference) -> int:
        """Bytes of the wanted outputs, of a row where rows share runs; as many as were seen where it does not say."""
        outputs = self._describe(manifest).outputs
        wanted = [spec for spec in outputs if not inference.outputs or spec.name in inference.outputs]
        shapes = [spec.shape[1:] if manifest.shares_runs else spec.shape for spec in wanted]
        if any(None in shape for shape in shapes):
            return self._seen.get(manifest.id, 0)
        return sum(
            math.prod(size or 1 for size in shape) * np.dtype(spec.dtype).itemsize
            for spec, shape in zip(wanted, shapes, strict=True)
        )

    def _end(self, sequence: sequences.Sequence) -> None:
        if self._sequences.end(sequence):
            if sequence.model:
                self._models.release(sequence.model)
            if sequence.asked:
                self._spawn(self._asking.leave(sequence.stream))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._sweep_s)
            for sequence in self._sequences.idle(time.monotonic()):
                self._end(sequence)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _below_each_other(parts: Sequence[Sequence[Tensor]]) -> Sequence[Tensor]:
    total = sum(one.array.nbytes for part in parts for one in part)
    return await somewhere(
        total,
        lambda: [
            Tensor(same[0].name, np.concatenate([one.array for one in same])) for same in zip(*parts, strict=True)
        ],
    )
