"""What can be known without a server of the streams that a settings file declares."""

from __future__ import annotations

from model_export.errors import VidserveError
from model_export.repository import Repository
from server.core.errors import StreamsFull
from server.core.settings import Settings
from server.domain.stream import KeptStream
from server.runtime.runtime import SHIPPED
from server.runtime.streams.changes import declared
from server.runtime.streams.sources import SourcePolicy


def doubts(settings: Settings) -> list[str]:
    """Why streams would not run as things are now, a sentence each. The server starts all the same.

    Raises:
        SourceUrlInvalid, FieldsInvalid: a declaration with which it would not.
        StreamsFull: there are too many.
    """
    streams = {name: declared(name, new) for name, new in settings.streams.items()}
    if len(streams) > settings.limits.streams:
        raise StreamsFull(
            f"{len(streams)} streams are declared, and there may be {settings.limits.streams}.",
            hint="Take some out, or raise `[limits] streams`.",
        )
    said = []
    policy = SourcePolicy.of(settings)
    repository = Repository(settings.data / "models", shipped=SHIPPED)
    for name, stream in streams.items():
        if any(other.name == stream.name for other in streams.values() if other is not stream):
            said.append(f"streams.{name}: another stream is called {stream.name!r} too.")
        said += [f"streams.{name}: {error}" for error in _troubles(stream, settings, policy, repository)]
    return said


def _troubles(
    stream: KeptStream, settings: Settings, policy: SourcePolicy, repository: Repository
) -> list[VidserveError]:
    found = []
    try:
        policy.source(stream)
    except VidserveError as error:
        found.append(error)
    model = stream.analysis.model or settings.engine.default_model
    try:
        if model is not None:
            repository.resolve(model)
    except VidserveError as error:
        found.append(error)
    return found
