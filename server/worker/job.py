"""One job in its worker: the parts put together, walked, and the last word sent."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import msgspec

from model_export.errors import VidserveError
from model_export.manifest import Manifest, Task
from model_export.sampling import Sampler
from server.analytics.scene import Scene
from server.core.calls import CallRow
from server.domain.analysis import Analysis, frames_fps
from server.domain.job import JobState
from server.domain.outcome import OUTCOMES, Outcome
from server.wire.messages import JobEnded, JobProgress, StartJob
from server.worker.checkpoint import Checkpoint
from server.worker.errors import CheckpointUnreadable
from server.worker.feeds import ungated
from server.worker.frames import Feed, FileFrames
from server.worker.gated import GatedFrames
from server.worker.publisher import Publisher
from server.worker.requests import Requests
from server.worker.source import Watched
from server.worker.surroundings import Surroundings
from server.worker.walk import Walk

_log = logging.getLogger(__name__)

_NOTHING = JobProgress(frames=(0,) * len(OUTCOMES), pts_s=0.0, progress=None, width=0, height=0)


class RunningJob:
    """A job on a thread of its own.

    Args:
        ended: called, on that thread, when it is over.
    """

    def __init__(self, order: StartJob, surroundings: Surroundings, ended: Callable[[str, int], None]) -> None:
        self._order = order
        self._around = surroundings
        self._ended = ended
        self._cancelled = Flag()
        self._silent = False
        self._thread = Thread(target=self._body, name=order.job, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        """Ask it to stop at the next frame."""
        self._cancelled.set()

    def abandon(self) -> None:
        """Stop without a last word: the worker ends, and another one goes on from the checkpoint."""
        self._silent = True
        self._cancelled.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False if it took longer."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _body(self) -> None:
        order = self._order
        identity = f"{self._around.name}.{self._around.incarnation}.{order.job}.{order.attempt}"
        publisher = Publisher(
            self._around.context,
            self._around.api,
            identity,
            self._around.incarnation,
            job=order.job,
            attempt=order.attempt,
        )
        try:
            with self._around.rows.lent(order.job) as row:
                ended = self._run(publisher, identity, row)
                if not self._silent:
                    publisher.end(ended)
        finally:
            publisher.close()
            self._ended(order.job, order.attempt)

    def _run(self, publisher: Publisher, identity: str, row: CallRow) -> JobEnded:
        """The whole job; whatever goes wrong becomes its last word."""
        walk: Walk | None = None
        try:
            with ExitStack() as stack:
                walk = self._build(publisher, identity, row, stack)
                try:
                    walk.run()
                except BaseException:
                    walk.abandon()
                    raise
                if walk.frames.source.exceeded is not None:
                    raise walk.frames.source.exceeded
                return self._done(walk)
        except VidserveError as error:
            return self._failed(walk, error.code, str(error))
        except MemoryError:
            return self._failed(walk, "decoder_memory", "A frame of the video takes more memory than there is.")
        except Exception:  # the edge of a thread: one job's bug must not take the others with it
            _log.exception("job failed", extra={"job": self._order.job})
            return self._failed(walk, "internal_error", "The server made a mistake; its log says which.")

    def _build(self, publisher: Publisher, identity: str, row: CallRow, stack: ExitStack) -> Walk:
        order, around = self._order, self._around
        manifest = Manifest.read(Path(order.bundle) / "manifest.json")
        analysis = Analysis.model_validate_json(order.analysis)
        source = stack.enter_context(closing(Watched(around.open_source, Path(order.source), row)))
        frames = FileFrames(source, Sampler(frames_fps(manifest, analysis)), around.recorder, self._cancelled)
        requests = stack.enter_context(closing(self._requests(identity, order.job, manifest, analysis.confidence)))
        if order.gate:
            feed: Feed = self._gated(frames, requests, identity, manifest)
        else:
            feed = ungated(frames, manifest, analysis, requests)
        walk = Walk(
            frames=frames,
            feed=stack.enter_context(closing(feed)),
            requests=requests,
            scene=Scene(manifest, analysis, owner=order.job),
            publisher=publisher,
            checkpoint_s=order.checkpoint_s,
            give_way=around.precedence.give_way,
        )
        if order.checkpoint:
            try:
                walk.resume(Checkpoint.decode(order.checkpoint))
            except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
                raise CheckpointUnreadable(f"The checkpoint cannot be read: {error}") from error
        return walk

    def _gated(self, frames: FileFrames, requests: Requests, identity: str, manifest: Manifest) -> GatedFrames:
        background = Manifest.read(Path(self._order.gate) / "manifest.json")
        if manifest.input is None or background.input is None:
            raise VidserveError(f"{background.id} or {manifest.id} takes tensors, not frames.")
        motion = self._requests(f"{identity}.gate", f"{self._order.job}/gate", background)
        return GatedFrames(
            frames, manifest.input, requests, background.input, motion, parts=manifest.task is Task.DETECT
        )

    def _requests(self, identity: str, stream: str, manifest: Manifest, confidence: float | None = None) -> Requests:
        around, order = self._around, self._order
        # To the engine a job's attempts are its incarnations, wherever they run.
        return Requests(
            around.context, order.engine, identity, order.attempt, stream, manifest, around.slots, confidence
        )

    def _done(self, walk: Walk) -> JobEnded:
        state = JobState.CANCELLED if self._cancelled.is_set() else JobState.DONE
        warnings = []
        if state is JobState.DONE and walk.frames.source.truncated:
            warnings.append("truncated")
        if walk.outcomes[Outcome.INFERENCE_ERROR]:
            warnings.append("inference_errors")
        if walk.outcomes[Outcome.DECODE_ERROR]:
            warnings.append("decode_errors")
        return self._last_word(state, walk, tuple(warnings))

    def _failed(self, walk: Walk | None, code: str, message: str) -> JobEnded:
        return self._last_word(JobState.FAILED, walk, code=code, message=message)

    def _last_word(
        self,
        state: JobState,
        walk: Walk | None,
        warnings: tuple[str, ...] = (),
        code: str = "",
        message: str = "",
    ) -> JobEnded:
        return JobEnded(
            job=self._order.job,
            attempt=self._order.attempt,
            state=state,
            progress=walk.progress() if walk else _NOTHING,
            summary=msgspec.json.encode(walk.scene.summary()) if walk else b"{}",
            warnings=warnings,
            code=code,
            message=message,
        )
