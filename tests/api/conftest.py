import asyncio
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

sys.path.insert(0, str(Path(__file__).parent))

from fakes import FakeRuntime

from server.api.application import build
from server.api.deps import Intake
from server.storage.uploads import Uploads

UPLOAD_BYTES = 3 * 1024 * 1024
MODEL_BYTES = 2 * 1024 * 1024


@asynccontextmanager
async def _lifespan(app):
    app.state.runtime = FakeRuntime()
    app.state.loop = asyncio.get_running_loop()
    yield


class Site:
    """The application behind a real HTTP server, with a runtime made of dictionaries."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.upload_bytes = UPLOAD_BYTES
        self.model_bytes = MODEL_BYTES
        self.app = build(Intake(Uploads(data / "uploads"), UPLOAD_BYTES, MODEL_BYTES), _lifespan)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(self.app, log_config=None, ws="websockets-sansio", ws_per_message_deflate=False)
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20, trust_env=False)

    def start(self) -> None:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    @property
    def runtime(self) -> FakeRuntime:
        return self.app.state.runtime

    def do(self, action: Callable[[], object]) -> object:
        """Have it done on the server's event loop; what it returned."""

        async def done() -> object:
            return action()

        return asyncio.run_coroutine_threadsafe(done(), self.app.state.loop).result(20)

    def uploads(self) -> list[Path]:
        """What lies in the folder of uploads."""
        folder = self.data / "uploads"
        return list(folder.iterdir()) if folder.is_dir() else []


@pytest.fixture(scope="session")
def running_site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("data"))
    site.start()
    yield site
    site.stop()


@pytest.fixture
def site(running_site):
    """A site whose runtime is as new."""
    running_site.app.state.runtime = FakeRuntime()
    yield running_site
    assert running_site.uploads() == []


@pytest.fixture
def client(site):
    return site.client
