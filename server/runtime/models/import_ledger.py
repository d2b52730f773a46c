"""What is known of every import, for the event loop: in memory, and behind a thread on the disk."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from typing import Any

from server.core.errors import ImportNotFound, KeyConflict
from server.domain.model_import import ModelImport
from server.storage.imports import ImportStore, KeptImport
from server.storage.uploads import Upload

_KEPT = 100


class ImportLedger:
    """The only way to the folder of imports. The newest hundred are kept, and those that have not ended."""

    def __init__(self, store: ImportStore) -> None:
        self._store = store
        self._known: dict[str, KeptImport] = {}
        """By id, oldest first."""
        self._ended: dict[str, asyncio.Event] = {}

    async def load(self) -> Sequence[str]:
        """Read what an earlier run of the server left; the ids of those that have not ended, oldest first."""
        self._known = {one.shown.id: one for one in await asyncio.to_thread(self._store.load)}
        unfinished = [id for id, one in self._known.items() if not one.shown.state.ended]
        self._ended = {id: asyncio.Event() for id in unfinished}
        return unfinished

    def find(self, id: str) -> KeptImport:
        """
        Raises:
            ImportNotFound: no import has this id.
        """
        if id not in self._known:
            raise ImportNotFound(f"There is no import {id!r}.", hint="GET /v1/imports lists those there are.")
        return self._known[id]

    def of_key(self, key: str | None, fingerprint: str) -> KeptImport | None:
        """The import that an Idempotency-Key was used for.

        Raises:
            KeyConflict: the key was used for something else.
        """
        for one in self._known.values():
            if key is None or one.key != key:
                continue
            if one.fingerprint != fingerprint:
                raise KeyConflict(
                    f"The Idempotency-Key {key!r} was used for import {one.shown.id}, of another file or with other "
                    "options.",
                    hint="Send a new key for a new request.",
                )
            return one
        return None

    def knows_key(self, key: str | None) -> bool:
        """Whether an Idempotency-Key was used."""
        return key is not None and any(one.key == key for one in self._known.values())

    async def create(self, one: KeptImport, upload: Upload) -> None:
        """Keep a new import. One call at a time.

        Raises:
            StorageFull: no space is left; nothing is kept.
        """
        number = 1 + max((other.number for other in self._known.values()), default=0)
        numbered = one.model_copy(update={"number": number})
        await asyncio.to_thread(self._store.create, numbered, upload)
        self._known[one.shown.id] = numbered
        self._ended[one.shown.id] = asyncio.Event()
        ended = [id for id, other in self._known.items() if other.shown.state.ended]
        for id in ended[: max(0, len(self._known) - _KEPT)]:
            await self.delete(id)

    async def change(self, id: str, shown: dict[str, Any] | None = None, **changes: Any) -> KeptImport:
        """Change an import, also what clients see of it.

        Raises:
            StorageError: the disk does not take it. Clients see it all the same.
        """
        before = self._known[id]
        after = before.model_copy(update={**changes, "shown": before.shown.model_copy(update=shown or {})})
        self._known[id] = after
        await asyncio.to_thread(self._store.save, after)
        return after

    def page(self, *, limit: int, before: int | None) -> tuple[Sequence[KeptImport], int | None]:
        """Newest first, those with a number less than `before`; and the next page's `before`."""
        found = [one for one in reversed(self._known.values()) if before is None or one.number < before]
        page = found[:limit]
        return page, page[-1].number if len(found) > limit else None

    async def ended(self, id: str, seconds: float) -> None:
        """Wait for an import's end, or until the seconds have passed."""
        event = self._ended.get(id)
        if event is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)

    async def delete(self, id: str) -> None:
        """Forget an import and everything of it."""
        self._known.pop(id, None)
        await asyncio.to_thread(self._store.delete, id)
        self.tell_ended(id)

    def tell_ended(self, id: str) -> None:
        """It has ended: whoever waits for that need not wait any longer."""
        event = self._ended.pop(id, None)
        if event is not None:
            event.set()


def fingerprint(upload: Upload, asked: str) -> str:
    """Stands for all that was sent with an Idempotency-Key."""
    return hashlib.sha256(f"{upload.sha256}\n{upload.name}\n{asked}".encode()).hexdigest()


def shown(one: KeptImport, lines: Sequence[str]) -> ModelImport:
    """An import that is in hand, with what it has said up to now."""
    return one.shown.model_copy(update={"lines": tuple(lines)})
