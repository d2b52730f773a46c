from __future__ import annotations

import io
import json
import logging
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from server.core.log import LogConfig, bound, configure, redacted
from server.core.settings import LogSettings


@pytest.fixture(autouse=True)
def _the_log_as_it_was() -> Iterator[None]:
    root, formatwarning = logging.getLogger(), warnings.formatwarning
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    warnings.formatwarning = formatwarning
    root.handlers, root.level = handlers, level


class Written:
    """What a configured log writes."""

    def __init__(self, **config: Any) -> None:
        self._stream = io.StringIO()
        configure(LogConfig(**config), self._stream)

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def entry(self) -> dict[str, Any]:
        return json.loads(self.text.splitlines()[-1])  # type: ignore[no-any-return]


def test_a_json_entry_names_process_job_request_and_what_came_as_extra() -> None:
    written = Written(format="json", process="worker-0")
    with bound(job="job_1", request="req_1"):
        logging.getLogger("server.worker").info("frame %d", 3, extra={"pts_s": 0.12})
    entry = written.entry
    assert entry["message"] == "frame 3"
    assert (entry["process"], entry["job"], entry["request"]) == ("worker-0", "job_1", "req_1")
    assert (entry["logger"], entry["level"], entry["pts_s"]) == ("server.worker", "info", 0.12)
    assert entry["timestamp"].endswith("Z")


def test_what_was_bound_is_gone_afterwards() -> None:
    written = Written(format="json")
    with bound(job="job_1"):
        pass
    logging.getLogger("x").info("later")
    assert "job" not in written.entry


def test_text_has_no_colours_off_a_terminal() -> None:
    written = Written()
    logging.getLogger("x").warning("careful")
    assert "[warning  ] careful" in written.text
    assert "\x1b" not in written.text


def test_text_has_colours_where_asked_for() -> None:
    written = Written(colour=True)
    logging.getLogger("x").warning("careful")
    assert "\x1b[" in written.text


def test_entries_below_the_level_are_left_out() -> None:
    written = Written(level="warning")
    logging.getLogger("x").info("chatter")
    assert written.text == ""


@pytest.mark.parametrize("name", ["uvicorn.error", "uvicorn.access"])
def test_uvicorn_goes_through_the_same_pipe(name: str) -> None:
    logging.getLogger(name).addHandler(logging.StreamHandler())
    written = Written(format="json")
    logging.getLogger(name).info("%s started", "it")
    assert written.entry["message"] == "it started"
    assert len(written.text.splitlines()) == 1


def test_warnings_go_through_the_same_pipe() -> None:
    written = Written(format="json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", UserWarning, stacklevel=1)
    assert written.entry["message"].startswith("UserWarning: old (")


@pytest.mark.parametrize("format", ["text", "json"])
def test_credentials_are_written_nowhere(format: str) -> None:
    written = Written(format=format)
    try:
        raise ValueError("cannot open rtsp://me:hunter2@cam/1")
    except ValueError as error:
        logging.getLogger("x").exception(
            "opening %s", "http://me:hunter2@h/?token=hunter2", extra={"error": error, "urls": ["ws://hunter2@h"]}
        )
    assert "hunter2" not in written.text
    assert "rtsp://***@cam/1" in written.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://u:p@ss@cam:554/1", "rtsp://***@cam:554/1"),
        ("http://h/a@b?x=1", "http://h/a@b?x=1"),
        ("GET /x?a=1&token=abc&b=2", "GET /x?a=1&token=***&b=2"),
        ("?X-Amz-Signature=abc", "?X-Amz-Signature=***"),
        ("api_key=abc, monkey=3", "api_key=***, monkey=3"),
        ("Authorization: Bearer abcdefgh.ijk", "Authorization: Bearer ***"),
        ("nothing to hide: a bearer came", "nothing to hide: a bearer came"),
        ("rtsp://me:ge#heim@cam/1 and on", "rtsp://***@cam/1 and on"),
        ("rtsp://me:ge/he@im@cam/1", "rtsp://***@cam/1"),
        ("http://cam:80/a b@c", "http://cam:80/a b@c"),
    ],
)
def test_redacted(text: str, expected: str) -> None:
    assert redacted(text) == expected


def test_the_configuration_travels_to_children() -> None:
    config = LogConfig.of(LogSettings(level="debug", format="json")).named("worker-1")
    assert config.process == "worker-1"
    assert pickle.loads(pickle.dumps(config)) == config
    assert msgspec.json.decode(msgspec.json.encode(config), type=LogConfig) == config
