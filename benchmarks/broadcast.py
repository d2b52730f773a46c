"""A real server with one stream that says ten results a second, for `benchmarks.subscribers`.

    python -m benchmarks.broadcast DATA     (prints its port when it is ready; ends with a signal)

Each result says when it was published (`sent`, CLOCK_MONOTONIC).
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import msgspec

from server.commands.address import listen
from server.commands.serve import serve
from server.core.settings import EngineSettings, Settings
from server.events.item import Kind
from server.runtime import Runtime

STREAM = "benchmark"
RATE = 10
OBJECTS = 30
"""In each result, which takes 4 KB then."""


def main() -> None:
    settings = Settings(data=Path(sys.argv[1]), engine=EngineSettings(tune=False))
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    speaking: list[asyncio.Task[None]] = []

    async def speak(runtime: Runtime, url: str) -> bool:
        runtime.bus.open(STREAM)
        speaking.append(asyncio.create_task(_speak(runtime)))
        print(port, flush=True)
        return True

    asyncio.run(serve(settings, listener, speak))


async def _speak(runtime: Runtime) -> None:
    box = [123.45, 67.89, 234.56, 178.9]
    objects = [
        {"track_id": n, "label": "person", "class_id": 0, "confidence": 0.9123, "box": box} for n in range(OBJECTS)
    ]
    frame = 0
    due = time.monotonic()
    while True:
        frame += 1
        row = {"frame": frame, "sent": time.monotonic(), "width": 1280, "height": 720, "objects": objects}
        runtime.bus.publish(STREAM, Kind.RESULT, msgspec.json.encode(row))
        due += 1 / RATE
        await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
