"""`vidserve bench --server URL`: how much a running server can take, of single pictures and of streams."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from rich.console import Console, JustifyMethod
from rich.status import Status
from rich.table import Table

from model_export.errors import VidserveError
from model_export.video import open_video
from server.commands.client import Client, ServerRefuses
from server.commands.crowd import Bearing, Crowd, Terms
from server.commands.demo import SAMPLE
from server.commands.open_loop import Arrivals, arrivals
from server.commands.reports import check_report, write_report

_FIRST_RATE = 5.0
_MOST_RATE = 5000.0
_KEPT_UP = 0.95
"""The part of a rate that must be answered."""


class PictureUnreadable(VidserveError):
    """The picture to be sent cannot be read."""

    code = "picture_unreadable"


@dataclass(frozen=True)
class Strain:
    """What to measure.

    Attributes:
        model: None: the server's default.
        rates: of single pictures a second; empty: doubled until it is too much.
        picture: to be sent; None: one of the sample video.
        latency_s: the most that p95 of the latency may be.
        cameras: of which streams are made; empty: none.
        streams: what is asked of them.
        seconds: how long each rate is kept up.
    """

    model: str | None
    rates: Sequence[float]
    picture: Path | None
    latency_s: float
    cameras: Sequence[str]
    streams: Terms
    seconds: float


class RatesUnclear(VidserveError):
    """Rates that cannot be read."""

    code = "rates_invalid"


def rates_of(text: str | None) -> tuple[float, ...]:
    """Rates between commas; none if nothing is said.

    Raises:
        RatesUnclear
    """
    try:
        rates = tuple(float(word) for word in text.split(",")) if text else ()
    except ValueError:
        rates = (0.0,)
    if not all(0 < rate <= _MOST_RATE for rate in rates):
        raise RatesUnclear(f"--rate {text}: not rates above 0 to {_MOST_RATE:g}.", hint="Write --rate 5,10,20.")
    return rates


def run(server: str, key: str | None, strain: Strain, *, report: Path | None) -> None:
    """Measure, say what was found, and write it down.

    Raises:
        ServerUnreachable, ServerRefuses, CameraSilent, PictureUnreadable, NotSaved
    """
    check_report(report)
    picture = _sample() if strain.picture is None else _read(strain.picture)
    console = Console(highlight=False, soft_wrap=True)
    figures = asyncio.run(_measure(Client(server, key), strain, picture, console))
    if report is not None:
        write_report(report, figures)


async def _measure(client: Client, strain: Strain, picture: bytes, console: Console) -> dict[str, Any]:
    async with client:
        model = strain.model or await _default_model(client)
        console.print(f"{client.server}, {model}", markup=False)
        with console.status("") as status:
            pictures = [one async for one in _pictures(client, model, picture, strain, status)]
        console.print(_pictures_table(pictures, strain), soft_wrap=False)
        bearings: list[Bearing] = []
        if strain.cameras:
            with console.status("") as status:
                bearings = await _streams(client, model, strain, status)
            console.print(_streams_table(bearings), soft_wrap=False)
    for line in _summary(pictures, bearings, strain):
        console.print(line, markup=False)
    return {
        "server": client.server,
        "model": model,
        "pictures": [_picture_figures(one, strain) for one in pictures],
        "streams": [_stream_figures(one) for one in bearings],
    }


async def _default_model(client: Client) -> str:
    models = (await client.call("GET", "/v1/models", params={"limit": 200})).json()["items"]
    for model in models:
        if model.get("server_default"):
            return str(model["name"])
    raise ServerRefuses("The server has no default model.", hint="Name a model.")


async def _pictures(
    client: Client, model: str, picture: bytes, strain: Strain, status: Status
) -> AsyncIterator[Arrivals]:
    """One rate after the other, until one is too much."""

    async def ask() -> str:
        head = {"Content-Type": "image/jpeg"}
        return await client.try_call("POST", f"/v1/models/{model}/predict", content=picture, headers=head)

    await client.call("POST", f"/v1/models/{model}/load")
    for rate in strain.rates or _doubling():
        status.update(f"{rate:g} pictures a second …")
        found = await arrivals(ask, rate, strain.seconds)
        yield found
        if not strain.rates and _too_much(found, strain):
            return


def _doubling() -> Iterator[float]:
    rate = _FIRST_RATE
    while rate <= _MOST_RATE:
        yield rate
        rate *= 2


async def _streams(client: Client, model: str, strain: Strain, status: Status) -> list[Bearing]:
    crowd = Crowd(client, strain.cameras, model, strain.streams)
    found = []
    try:
        async for bearing in crowd.grow():
            found.append(bearing)
            status.update(f"{bearing.streams} streams: {bearing.why or 'all is well'} …")
    finally:
        await crowd.leave()
    return found


def _too_much(found: Arrivals, strain: Strain) -> str:
    """Why a rate is more than the server can take, or nothing."""
    p95 = found.latency_s(0.95)
    if found.errors:
        return ", ".join(f"{count} × {code}" for code, count in found.errors.items())
    if p95 is None or p95 > strain.latency_s:
        return "too slow"
    return "does not keep up" if found.answered_s < _KEPT_UP * found.rate else ""


def _pictures_table(found: Sequence[Arrivals], strain: Strain) -> Table:
    table = _table("pictures/s", "answered/s", "p50 ms", "p95 ms", "p99 ms", "")
    for one in found:
        latencies = (one.latency_s(share) for share in (0.5, 0.95, 0.99))
        milliseconds = ("" if value is None else f"{1e3 * value:.0f}" for value in latencies)
        table.add_row(f"{one.rate:g}", f"{one.answered_s:.1f}", *milliseconds, _too_much(one, strain))
    return table


def _streams_table(found: Sequence[Bearing]) -> Table:
    table = _table("streams", "frames/s", "analysed/s", "dropped/s", "p95 of age ms", "")
    for one in found:
        age = "" if math.isnan(one.age_s) else f"{1e3 * one.age_s:.0f}"
        dropped = sum(rate for outcome, rate in one.frames.items() if outcome.startswith("dropped"))
        rates = (sum(one.frames.values()), one.frames.get("analysed", 0.0), dropped)
        table.add_row(str(one.streams), *(f"{rate:.1f}" for rate in rates), age, one.why)
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in headings:
        numbers = bool(heading)
        justify: JustifyMethod = "right" if numbers else "left"
        table.add_column(heading, justify=justify, no_wrap=numbers, min_width=len(heading))
    return table


def _summary(pictures: Sequence[Arrivals], bearings: Sequence[Bearing], strain: Strain) -> Iterator[str]:
    well = [one.rate for one in pictures if not _too_much(one, strain)]
    asked = f"p95 at most {1e3 * strain.latency_s:g} ms, counted from when each should have been sent"
    yield f"Pictures a second, {asked}: {max(well, default=0):g}."
    if bearings:
        terms = strain.streams
        most = max((one.streams for one in bearings if not one.why), default=0)
        rate = "every frame" if terms.fps is None else f"{terms.fps:g} frames a second"
        asked = f"{rate}, p95 of age at most {1e3 * terms.age_s:g} ms, {terms.kept:.0%} of the frames kept"
        yield f"Streams, {asked}: {most}{' or more' if most == terms.most else ''}."


def _picture_figures(one: Arrivals, strain: Strain) -> dict[str, Any]:
    return {
        "rate": one.rate,
        "sent": one.sent,
        "answered_s": one.answered_s,
        "latency_s": {f"p{100 * share:g}": one.latency_s(share) for share in (0.5, 0.95, 0.99, 1.0)},
        "errors": one.errors,
        "too_much": _too_much(one, strain),
    }


def _stream_figures(one: Bearing) -> dict[str, Any]:
    age_s = None if math.isnan(one.age_s) else one.age_s
    return {"streams": one.streams, "frames_s": one.frames, "age_p95_s": age_s, "too_much": one.why}


def _read(picture: Path) -> bytes:
    try:
        return picture.read_bytes()
    except OSError as error:
        raise PictureUnreadable(f"{picture} cannot be read: {error.strerror}.") from error


def _sample() -> bytes:
    """The first frame of the sample video as JPEG."""
    with closing(open_video(SAMPLE)) as source:
        source.grab()
        frame = source.retrieve()
    assert frame is not None
    return cv2.imencode(".jpg", frame)[1].tobytes()
