"""What a person sees at /docs, in a real browser that has no internet."""

import shutil
import subprocess

import pytest


@pytest.fixture
def chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no browser here: `make test-deps` installs chromium")
    return found


def test_the_documentation_page_shows_every_call_without_the_internet(server, chromium, tmp_path):
    page = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--user-data-dir={tmp_path}",
            "--virtual-time-budget=8000",
            "--dump-dom",
            f"http://127.0.0.1:{server.port}/docs",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    for path in server.client.get("/openapi.json").json()["paths"]:
        # Swagger UI breaks long paths with zero-width spaces or <wbr>; each is an attribute as well.
        assert f'data-path="{path}"' in page, path
