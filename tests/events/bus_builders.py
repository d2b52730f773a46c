"""A bus and what is said on it."""

from __future__ import annotations

import asyncio
import json

from server.events.bus import Bounds, Bus
from server.events.filter import EVERYTHING, Filter
from server.events.item import Item, Kind, Notice, OwnerKind
from server.events.position import Position
from server.events.subscription import Subscription

EPOCH = "e"


def a_bus(*streams: str, jobs: tuple[str, ...] = (), **bounds: int) -> Bus:
    bus = Bus(Bounds(**bounds), epoch=EPOCH)
    for stream in streams:
        bus.open(stream)
    for job in jobs:
        bus.open(job, OwnerKind.JOB)
    return bus


def say(bus: Bus, owner: str, *frames: int, label: str = "car") -> None:
    """A result for each frame."""
    for frame in frames:
        bus.publish(owner, Kind.RESULT, json.dumps({"frame": frame, "objects": [{"label": label}]}).encode())


def raise_event(bus: Bus, owner: str, type: str, **more: object) -> None:
    bus.publish(owner, Kind.EVENT, json.dumps({"type": type, **more}).encode())


def follower(
    bus: Bus, *owners: str, filter: Filter = EVERYTHING, after: Position | None = None, all: bool = False
) -> Subscription:
    subscription = bus.join()
    bus.follow(subscription, None if all else owners, filter, after=after)
    return subscription


def taken(subscription: Subscription) -> list[Item | Notice]:
    """What waits; nothing, if nothing does."""

    async def now() -> list[Item | Notice]:
        taking = asyncio.create_task(subscription.take())
        await asyncio.sleep(0)
        subscription.wake()
        return await taking

    return asyncio.run(now())


def told(subscription: Subscription) -> list[object]:
    """What waits, in short: the frame of a result, the type of an event, `gap REASON VALUE`."""
    return [_short(one) for one in taken(subscription)]


def _short(one: Item | Notice) -> object:
    if isinstance(one, Notice):
        said = json.loads(one.data)
        return " ".join(str(part) for part in (one.name, said["reason"], said.get("value", "")) if part)
    said = json.loads(one.data)
    return said["frame"] if one.kind is Kind.RESULT else said.get("type", str(one.kind))
