"""A bundle on its way into a running server, by `POST /v1/models`."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from model_export.bundle import Bundle
from training.errors import TrainingError

_SEND_S, _WAIT_S = 120.0, 30
_HINT = "Is it running, and is this its address? It looks like http://HOST:PORT."


class UploadFailed(TrainingError):
    """The server does not answer, or does not take the bundle."""

    code = "upload_failed"


def key_of(file: Path | None, environ: Mapping[str, str]) -> str | None:
    """The key to send: what the file holds, else what `VIDSERVE_ADMIN_KEY` says.

    Raises:
        UploadFailed: the file cannot be read.
    """
    if file is None:
        return environ.get("VIDSERVE_ADMIN_KEY") or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UploadFailed(f"{file} cannot be read: {error}.", hint="Name the file that holds the key.") from error


class Server:
    """A server that models are brought to.

    Args:
        url: its address.
        key: to be sent; None: none.
    """

    def __init__(self, url: str, key: str | None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            self._client = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=_SEND_S, trust_env=False)
        except httpx.InvalidURL as error:
            raise UploadFailed(f"{url} is no URL: {error}.", hint=_HINT) from error
        self._url = url

    def next_version(self, name: str) -> int:
        """One more than the highest version of a model that it has."""
        answer = self._ask("GET", f"/v1/models/{name}", none=httpx.codes.NOT_FOUND)
        return max(answer["versions"], default=0) + 1 if answer else 1

    def send(self, bundle: Bundle) -> str:
        """Bring a bundle in, and wait until it is there; returns `name@version`.

        Raises:
            UploadFailed: the server does not take it; the message is its own.
        """
        with tempfile.TemporaryDirectory(prefix="vidserve-export-") as folder:
            archive = Path(folder) / f"{bundle.manifest.name}.zip"
            with zipfile.ZipFile(archive, "w") as content:
                for path in sorted(path for path in bundle.folder.rglob("*") if path.is_file()):
                    content.write(path, path.relative_to(bundle.folder))
            with archive.open("rb") as file:
                made = self._ask("POST", "/v1/models", files={"file": (archive.name, file, "application/zip")})
        while made["state"] not in ("done", "failed"):
            made = self._ask("GET", f"/v1/imports/{made['id']}", params={"wait": _WAIT_S})
        if made["state"] == "failed":
            error = made["error"]
            raise UploadFailed(f"The server refused the bundle: {error['message']}", hint=error.get("hint"))
        return str(made["model"])

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, path: str, *, none: int | None = None, **more: Any) -> dict[str, Any]:
        """The answer; nothing where its status is `none`."""
        try:
            answer = self._client.request(method, path, **more)
            body: dict[str, Any] = answer.json() if answer.status_code != none else {}
        except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
            raise UploadFailed(
                f"{self._url} does not answer: {str(error) or type(error).__name__}.", hint=_HINT
            ) from error
        except ValueError as error:
            raise UploadFailed(f"{self._url} does not answer as vidserve does.", hint=_HINT) from error
        if answer.is_error and answer.status_code != none:
            wants_key = answer.status_code == httpx.codes.UNAUTHORIZED
            hint = "Name the file that holds its key with --key-file." if wants_key else body.get("hint")
            raise UploadFailed(f"{method} {path}: {body.get('detail', answer.status_code)}", hint=hint)
        return body
