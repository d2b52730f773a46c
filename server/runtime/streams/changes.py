"""What a stream shall be, from what somebody says of it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from server.core.errors import FieldProblem, FieldsInvalid, SourceUrlInvalid
from server.domain.analysis import Analysis
from server.domain.stream import DECLARED_PREFIX, KeptStream, ManagedBy, NewStream, ProbeSource, StreamChange, live
from server.runtime.streams.sources import separated, shown, title
from server.worker.live.hosts import PORTS

_NEVER_NULL = ("name", "url", "transport", "loop", "paused", "analysis")
_MASK = "***"


def made(id: str, new: NewStream, names: Collection[str]) -> KeptStream:
    """A new stream.

    Args:
        names: that are taken; one that nobody chose is made another one.

    Raises:
        SourceUrlInvalid: the URL cannot be read.
        FieldsInvalid: credentials are said twice, or masked.
    """
    source = _source(new.url, new.username, new.password)
    if _masked(source["password"]):
        raise FieldsInvalid(FieldProblem("password", "it is masked."), hint="Send the password itself.")
    name = new.name or _free(title(str(source["url"])), names)
    return KeptStream(
        id=id,
        created_at=datetime.now(UTC),
        name=name,
        transport=new.transport,
        loop=new.loop,
        paused=new.paused,
        analysis=live(new.analysis),
        **source,
    )


def probed(probe: ProbeSource) -> tuple[str, str | None, str | None]:
    """URL, username and password of a source that is to be tried; raises as `made`."""
    source = _source(probe.url, probe.username, probe.password)
    password = source["password"]
    return source["url"], source["username"], None if password is None else password.get_secret_value()


def declared(name: str, new: NewStream) -> KeptStream:
    """A stream that the settings file declares as `[streams.NAME]`.

    Raises:
        SourceUrlInvalid: the URL cannot be read; it says of which stream.
        FieldsInvalid: credentials are said twice.
    """
    try:
        stream = made(f"{DECLARED_PREFIX}{name}", new.model_copy(update={"name": new.name or name}), ())
    except SourceUrlInvalid as error:
        raise SourceUrlInvalid(f"streams.{name}.url: {error.message}", hint=error.hint) from None
    return stream.model_copy(update={"managed_by": ManagedBy.CONFIG})


def changed(stream: KeptStream, change: StreamChange) -> KeptStream:
    """A stream as it is after a change.

    Raises:
        SourceUrlInvalid: the URL cannot be read.
        FieldsInvalid: something is null that cannot be, credentials are said twice, or a password is kept that was
            given for another host.
    """
    said = {name: getattr(change, name) for name in change.model_fields_set}
    nulls = [name for name in _NEVER_NULL if name in said and said[name] is None]
    if nulls:
        raise FieldsInvalid(*(FieldProblem(name, "it cannot be null.") for name in nulls), hint="Leave it out.")
    if "password" in said and _masked(said["password"]):
        del said["password"]
    if "url" in said:
        said |= _moved(stream, said)
    if "analysis" in said:
        analysis = stream.analysis.model_dump() | change.analysis.model_dump(include=change.analysis.model_fields_set)  # type: ignore[union-attr]
        said["analysis"] = Analysis.model_validate(analysis)
    return stream.model_copy(update=said)


def _moved(stream: KeptStream, said: dict[str, Any]) -> dict[str, Any]:
    """URL and credentials of a stream whose URL is said anew, perhaps just as it was shown. A password is for where it
    was given: who may change a stream, and does not know it, must not have it sent elsewhere.
    """
    if said["url"] == shown(stream.url):
        return {"url": stream.url}
    source = _source(said["url"], said.get("username"), said.get("password"))
    if f"={_MASK}" in source["url"]:
        raise FieldsInvalid(
            FieldProblem("url", f"it has {_MASK} where a secret was masked."), hint="Write the URL as it is, in full."
        )
    if _masked(source["password"]):
        del source["password"]
    if stream.password is not None and source.get("password") is None and "password" not in said:
        was, now = _place(stream.url), _place(source["url"])
        if was != now:
            raise FieldsInvalid(
                FieldProblem("password", f"the one that is kept is for {was}, and is not sent to {now}."),
                hint="Send `password` with the new `url`, or `password: null` for none.",
            )
    return {key: value for key, value in source.items() if value is not None}


def _source(url: str, username: str | None, password: SecretStr | None) -> dict[str, Any]:
    """URL, username and password apart."""
    bare, its_username, its_password = separated(url)
    if its_username is not None and username not in (None, its_username):
        raise FieldsInvalid(FieldProblem("username", "it is another one in `url`."), hint="Say it once.")
    if its_password is not None and password is not None and password.get_secret_value() != its_password:
        raise FieldsInvalid(FieldProblem("password", "it is another one in `url`."), hint="Say it once.")
    secret = password or (None if its_password is None else SecretStr(its_password))
    return {"url": bare, "username": username or its_username, "password": secret}


def _place(url: str) -> str:
    """Where a source is: scheme, host and port."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS:
        return url
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{parts.port or PORTS[parts.scheme]}"


def _masked(password: SecretStr | None) -> bool:
    """Whether it is nothing but asterisks: what a form shows where there is a password."""
    return password is not None and set(password.get_secret_value()) == {"*"}


def _free(name: str, names: Collection[str]) -> str:
    number, found = 1, name
    while found in names:
        number += 1
        found = f"{name} ({number})"
    return found
