"""An engine that says what it is told to say, and the API process's parts that talk to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from model_builders import detect_manifest

from model_export.bundle import Bundle
from model_export.manifest import Precision, Variant
from model_export.repository import Repository
from server.core.metrics import Metrics
from server.core.metrics_page import Page
from server.runtime.models.loading import Loading
from server.runtime.models.models import Models
from server.wire.messages import Header, LoadModel, ModelFailed, ModelLoaded, ModelUnloaded, UnloadModel
from server.wire.sockets import Received


def a_bundle(root: Path, name: str = "net", version: int = 1, labels: tuple[str, ...] = ("car",)) -> Bundle:
    """A version in a repository's folder; its graph is none."""
    manifest = detect_manifest(name=name, version=version).model_copy(update={"labels": labels})
    return Bundle.write(root / name / str(version), manifest, {"model.onnx": b"graph"})


def a_bundle_with_variant(root: Path, name: str = "net") -> Bundle:
    """As `a_bundle`, with a graph `int8` beside the model's own."""
    variant = Variant(precision=Precision.INT8, metric="accuracy", value=0.93, lost=0.4, tolerance=0.05)
    manifest = detect_manifest(name=name, version=1).model_copy(update={"variants": {"int8": variant}})
    return Bundle.write(root / name / "1", manifest, {"model.onnx": b"graph", "model.int8.onnx": b"other graph"})


class FakeEngine:
    """The engine's end of the hub. A model that it is told to load comes up when the test says so, or at once.

    Attributes:
        at_once: models come up as soon as they are asked for.
        away: it cannot be reached.
        told: every order, as `load net@1`.
    """

    def __init__(self) -> None:
        self.at_once = True
        self.away = False
        self.told: list[str] = []
        self._handlers = {}

    def on(self, kind, handler) -> None:
        self._handlers[kind] = handler

    async def send(self, peer, message, payload=()) -> bool:
        if self.away:
            return False
        if isinstance(message, LoadModel):
            self.told.append(f"load {message.model}")
            if self.at_once:
                self.up(message.model)
        if isinstance(message, UnloadModel):
            self.told.append(f"unload {message.model}")
            self._say(ModelUnloaded(message.model))
        return True

    def up(self, model: str, variant: str | None = None) -> None:
        how = {"provider": "cpu", "asked": "auto", "why": "", "precision": variant or "fp32", "variant": variant}
        size = {"sessions": 1, "threads": 1, "max_batch": 8, "load_s": 0.1}
        self._say(ModelLoaded(model=model, **how, **size, settings=""))

    def down(self, model: str) -> None:
        self._say(ModelFailed(model, "session_failed", "It does not load."))

    def _say(self, message) -> None:
        # As over a socket: never within the call that it answers.
        loop = asyncio.get_running_loop()
        loop.call_soon(self._handlers[type(message)], Received(b"engine", Header(1, "engine", 1), message, []))


class FakePictures:
    """Answers with the bundle that a picture was shown to; holds its answers back while `held` is not set."""

    def __init__(self) -> None:
        self.held = asyncio.Event()
        self.held.set()
        self.seen: list[str] = []

    async def predict(self, bundle, image, *, confidence, labels) -> bytes:
        self.seen.append("@".join(Path(bundle).parts[-2:]))
        await self.held.wait()
        return self.seen[-1].encode()


class Site:
    """Models over a fake engine. Make it inside the event loop."""

    def __init__(self, folder: Path, *, default_model: str | None = None) -> None:
        self.root = folder / "models"
        self.repository = Repository(self.root, shipped=folder / "shipped")
        self.engine = FakeEngine()
        self.pictures = FakePictures()
        self.pinned: set[str] = set()
        page = Page(bytearray(Page.bytes_for(1)), 1)
        metrics = Metrics(page, version="1", jobs=dict, storage=lambda: ({}, 0))
        self.models = Models(
            self.repository,
            Loading(self.engine, metrics, page),
            default_model=default_model,
            engine_address="",
            pictures=self.pictures,
            pinned=self._pinned,
        )

    async def _pinned(self) -> set[str]:
        return set(self.pinned)

    def bundle(self, version: int = 1, name: str = "net", **more) -> Bundle:
        return a_bundle(self.root, name, version, **more)

    async def predict(self, reference: str | None = "net") -> str:
        """Which version looked at a picture."""
        return (await self.models.predict(reference, b"picture")).decode()

    async def told(self, order: str) -> None:
        """Return when the engine has been told so."""
        await until(lambda: order in self.engine.told)

    async def up(self, id: str) -> None:
        """Return when a model that is loading has come up."""
        await self.told(f"load {id}")
        self.engine.up(id)
        await self.ready(id)

    async def ready(self, id: str) -> None:
        """Return when a model is up."""
        await until(lambda: (model := self.models.loading.models.get(id)) and model.ready)

    async def states(self) -> dict[str, str]:
        return {status.id: status.state.value for status in await self.models.list()}

    async def serving(self) -> list[str]:
        return [status.id for status in await self.models.list() if status.default]


async def until(what: Callable[[], object]) -> None:
    """Return when it is so."""
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end, "did not happen"
        await asyncio.sleep(0.002)


async def a_while() -> None:
    """Long enough for most of what must not happen."""
    await asyncio.sleep(0.1)
