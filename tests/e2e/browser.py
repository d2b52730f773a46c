"""A real Chromium without a window, told by its DevTools socket what to do."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from websockets.sync.client import ClientConnection, connect

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)


class Page:
    """One page of the browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    def open(self, url: str) -> None:
        self._ask("Page.navigate", url=url)
        loaded = "() => new Promise((done) => document.readyState === 'complete' ? done() : (window.onload = done))"
        self.call(loaded)

    def call(self, function: str, *arguments: object) -> object:
        """Call a function, wait for what it promises, and give its value."""
        expression = f"({function})({', '.join(json.dumps(argument) for argument in arguments)})"
        answer = self._ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def _ask(self, method: str, **parameters: object) -> dict:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=60))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]


@contextlib.contextmanager
def browsing(chromium: str, profile: Path) -> Iterator[Page]:
    """A browser with one empty page."""
    process = subprocess.Popen(
        [chromium, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        said = "DevTools listening on "
        browser = next(line for line in process.stderr if line.startswith(said)).removeprefix(said).strip()
        host = browser.removeprefix("ws://").partition("/")[0]
        with connect(browser, max_size=None) as socket:
            socket.send(json.dumps({"id": 0, "method": "Target.getTargets"}))
            targets = json.loads(socket.recv(timeout=60))["result"]["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        with connect(f"ws://{host}/devtools/page/{page}", max_size=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(20)
        assert process.stderr is not None
        process.stderr.close()
