"""Models on their way in: accepted, converted one at a time in a process of its own, put into the repository."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from model_export.bundle import Bundle
from model_export.errors import ModelExists, VidserveError
from model_export.options import ImportOptions, name_of
from server.core.errors import QueueFull, Stopping, StorageError
from server.domain.model_import import ImportFailure, ImportState, ModelImport
from server.runtime.models.import_attempt import ImportAttempt, ImportCrashed, ImportLimits
from server.runtime.models.import_ledger import ImportLedger, fingerprint, shown
from server.runtime.models.models import Models
from server.storage.disk import writing
from server.storage.imports import ImportStore, KeptImport
from server.storage.uploads import Upload

_log = logging.getLogger(__name__)

_ATTEMPTS = 3
"""So often an import is begun that each time ended with the server."""


class Imports:
    """Accepts and shows imports, and sees to them in turn. What was accepted is brought to its end, also after the
    server was killed: then it begins again, and becomes the version that it would have become.

    Args:
        waiting: how many may wait for their turn.
    """

    def __init__(self, store: ImportStore, models: Models, limits: ImportLimits, *, waiting: int) -> None:
        self._store = store
        self._ledger = ImportLedger(store)
        self._models = models
        self._limits = limits
        self._waiting = waiting
        self._queue: deque[str] = deque()
        self._wake = asyncio.Event()
        self._creating = asyncio.Lock()
        self._in_hand: _InHand | None = None
        self._worker: asyncio.Task[None] | None = None

    # ── from outside ─────────────────────────────────────────────────────────────────────────────────────────────

    async def restart(self) -> None:
        """Go on with what an earlier run of the server left unfinished."""
        self._queue.extend(await self._ledger.load())
        if self._queue:
            _log.info("%d unfinished imports begin again", len(self._queue))
        self._wake.set()
        self._worker = asyncio.create_task(self._work(), name="imports")

    def check_room(self, key: str | None) -> None:
        """See that a new import would be taken, or that there is one with this key already.

        Raises:
            QueueFull: as many wait as may.
            Stopping: the server is on its way out.
        """
        if self._worker is None:
            raise Stopping("The server is stopping.", hint="Send the model again when it is back.")
        if len(self._queue) >= self._waiting and not self._ledger.knows_key(key):
            raise QueueFull(
                f"{len(self._queue)} models wait already, and no more may.",
                hint="Send it again when one of them is done; GET /v1/imports lists them.",
            )

    async def submit(
        self, upload: Upload, options: ImportOptions | None, *, key: str | None
    ) -> tuple[ModelImport, bool]:
        """Accept an ONNX file, or, without options, a bundle as zip.

        Returns:
            The import, and whether it was made now: the same `key` (Idempotency-Key) again gives the same one.

        Raises:
            QueueFull: as many wait as may.
            KeyConflict: the key was used for something else.
            ModelExists: that version is there already.
            StorageFull: no space is left.
        """
        if options is not None and options.name is None:
            options = options.model_copy(update={"name": name_of(upload.name)})
        print_ = fingerprint(upload, options.model_dump_json(by_alias=True) if options else "")
        one = KeptImport(
            shown=ModelImport(
                id=secrets.token_hex(8),
                state=ImportState.IMPORTING,
                created_at=datetime.now(UTC),
                source=upload.name,
                family=options.family if options else None,
            ),
            options=options,
            key=key,
            fingerprint=print_,
        )
        async with self._creating:
            known = self._ledger.of_key(key, print_)
            if known is not None:
                return self._shown(known), False
            self.check_room(None)
            if options is not None:
                await asyncio.to_thread(self._refuse_taken, options, upload)
            await self._ledger.create(one, upload)
        self._queue.append(one.shown.id)
        self._wake.set()
        return one.shown, True

    async def get(self, id: str) -> ModelImport:
        """
        Raises:
            ImportNotFound: no import has this id.
        """
        return self._shown(self._ledger.find(id))

    async def wait(self, id: str, seconds: float) -> ModelImport:
        """An import once it has ended, or when the seconds have passed.

        Raises:
            ImportNotFound: no import has this id.
        """
        await self._ledger.ended(id, seconds)
        return await self.get(id)

    async def list(self, *, limit: int, before: int | None) -> tuple[Sequence[ModelImport], int | None]:
        """A page of imports, newest first, those with a number less than `before`; and the next page's `before`."""
        page, more = self._ledger.page(limit=limit, before=before)
        return [self._shown(one) for one in page], more

    async def delete(self, id: str) -> None:
        """Forget an import; one that has not ended ends here, and no model comes of it.

        Raises:
            ImportNotFound: no import has this id.
        """
        self._ledger.find(id)
        if id in self._queue:
            self._queue.remove(id)
        elif self._in_hand is not None and self._in_hand.id == id:
            task = self._in_hand.task
            if not self._in_hand.placing:  # then it is as good as done
                task.cancel()
            await asyncio.wait([task])
        await self._ledger.delete(id)

    async def close(self) -> None:
        """Stop what is in hand; it begins again after the next start."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    # ── one after the other ──────────────────────────────────────────────────────────────────────────────────────

    async def _work(self) -> None:
        while True:
            while self._queue:
                in_hand = self._in_hand = _InHand(self._queue.popleft())
                in_hand.task = asyncio.create_task(self._bring_in(in_hand), name=f"import {in_hand.id}")
                try:
                    await asyncio.wait([in_hand.task])
                finally:
                    in_hand.task.cancel()
                    await asyncio.gather(in_hand.task, return_exceptions=True)
                    self._in_hand = None
            self._wake.clear()
            await self._wake.wait()

    async def _bring_in(self, in_hand: _InHand) -> None:
        """One import to its end."""
        id = in_hand.id
        try:
            one = await self._begin(id)
            attempt = in_hand.attempt = self._attempt(one)
            await attempt.run()
            in_hand.placing = True
            model = await self._place(one, attempt.made)
            _log.info("import %s: %s is in the repository", id, model)
            await self._end(in_hand, state=ImportState.DONE, model=model)
        except VidserveError as error:
            _log.warning("import %s failed: %s", id, error)
            await self._fail(in_hand, error.code, error.message, error.hint)
        except Exception:  # the edge of a task: the import must not stay `importing` for ever
            _log.exception("import %s", id)
            await self._fail(in_hand, "internal_error", "The server made a mistake; its log says which.", None)

    async def _begin(self, id: str) -> KeptImport:
        """Counted before anything is done, so that one that takes the server with it does so three times at most."""
        one = self._ledger.find(id)
        if one.attempts >= _ATTEMPTS:
            raise ImportCrashed(f"The server ended {_ATTEMPTS} times while it brought this model in.")
        target = one.target
        if one.options is not None and target is None:
            target = await asyncio.to_thread(self._target, one.options)
        started = one.shown.started_at or datetime.now(UTC)
        await asyncio.to_thread(self._store.clean, one)
        return await self._ledger.change(id, {"started_at": started}, attempts=one.attempts + 1, target=target)

    def _attempt(self, one: KeptImport) -> ImportAttempt:
        folder = self._store.folder(one.shown.id)
        return ImportAttempt(folder, self._store.upload(one), one.options, one.target or 1, self._limits)

    async def _place(self, one: KeptImport, made: Path) -> str:
        """Move the bundle into the repository, and have it take over where an older version serves.

        Raises:
            ModelExists: the version that was asked for is there already, and is another one.
        """
        free = one.options is not None and one.options.version is None
        manifest = (await asyncio.to_thread(self._take, made, renumber=free)).manifest
        with contextlib.suppress(VidserveError):  # what is set as default may be gone; who asks for it is told
            await self._models.resolve(manifest.name)
        return manifest.id

    async def _fail(self, in_hand: _InHand, code: str, message: str, hint: str | None) -> None:
        error = ImportFailure(code=code, message=message, hint=hint)
        await self._end(in_hand, state=ImportState.FAILED, error=error)

    async def _end(self, in_hand: _InHand, **shown: object) -> None:
        lines = in_hand.attempt.lines if in_hand.attempt else ()
        said = {**shown, "ended_at": datetime.now(UTC), "lines": tuple(lines)}
        try:
            one = await self._ledger.change(in_hand.id, said)
            await asyncio.to_thread(self._store.tidy, one)
        except (StorageError, OSError) as error:
            # Right as long as the server runs; after the next start it begins again, to the same end.
            _log.error("the end of import %s cannot be written: %s", in_hand.id, error)
        self._ledger.tell_ended(in_hand.id)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _shown(self, one: KeptImport) -> ModelImport:
        in_hand = self._in_hand
        if in_hand is None or in_hand.id != one.shown.id or in_hand.attempt is None or one.shown.state.ended:
            return one.shown
        return shown(one, in_hand.attempt.lines)

    def _refuse_taken(self, options: ImportOptions, upload: Upload) -> None:
        """A version that is there is refused before any work, unless it came of the same file."""
        for entry in self._models.repository.entries(options.name) if options.version else ():
            same = entry.bundle is not None and entry.bundle.manifest.provenance.source_sha256 == upload.sha256
            if entry.version == options.version and not same:
                raise ModelExists(
                    f"{options.name}@{entry.version} is there already.",
                    hint="Leave `version` out, or remove that one first.",
                )

    def _target(self, options: ImportOptions) -> int:
        return options.version or self._models.repository.next_version(options.name or "")

    def _take(self, made: Path, *, renumber: bool) -> Bundle:
        repository = self._models.repository
        with writing(repository.root):
            return repository.take(Bundle.open(made), renumber=renumber)


class _InHand:
    """The import that is being seen to.

    Attributes:
        placing: its bundle is on its way into the repository.
    """

    task: asyncio.Task[None]

    def __init__(self, id: str) -> None:
        self.id = id
        self.attempt: ImportAttempt | None = None
        self.placing = False
