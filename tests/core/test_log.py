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
        ("?user%70assword=abc&user%5Fpw=d", "?user%70assword=***&user%5Fpw=***"),
        ("?auth%5Bpw%5D=a&url=rtsp://h/?token=b", "?auth%5Bpw%5D=***&url=rtsp://h/?token=***"),
        ("?password=a,b;c&x=1", "?password=***&x=1"),
        ("?token=&x=1", "?token=&x=1"),
        ("Authorization: Bearer abcdefgh.ijk", "Authorization: Bearer ***"),
        ("nothing to hide: a bearer came", "nothing to hide: a bearer came"),
        ("rtsp://me:ge#heim@cam/1 and on", "rtsp://***@cam/1 and on"),
        ("rtsp://me:ge/he@im@cam/1", "rtsp://***@cam/1"),
        ("http://cam:80/a b@c", "http://cam:80/a b@c"),
    ],
)
def test_redacted(text: str, expected: str) -> None:
    assert redacted(text) == expected


SECRETS = (
    "pw=1&pas=1&pass=1&loginpas=1&userpass=1&pass2=1&passcode=1&pwd=1&userpwd=1&psw=1&authkey=1&authbasic=1&Authorization=1"
    "&key=1&accesskey=1&secretkey=1&apiKey=1&key_1=1&AWSAccessKeyId=1&session=1&sessionid=1&PHPSESSID=1&jwt=1&sig=1&urlsig=1"
    "&credentials=1&client_secret=1&access_token=1&X-Goog-Signature=1"
)
PLAIN = (
    "channel=1&subtype=1&stream=1&resolution=1&fps=1&profile=1&codec=1&width=1&power=1&user=1&name=1&compass=1&bypass=1"
    "&passes=1&keyframe=1&keywords=1&monkey=1&author=1&authors=1&signal=1&design=1&sessions=1&tokens=1"
)


def test_what_cameras_call_their_secrets_is_masked_and_the_rest_can_be_read() -> None:
    assert redacted(f"http://cam/live?{SECRETS}") == f"http://cam/live?{SECRETS}".replace("=1", "=***")
    assert redacted(f"http://cam/live?{PLAIN}") == f"http://cam/live?{PLAIN}"


HOSTILE = "/v1/x\n2026-01-02T10:00:00Z [error] FORGED\r\x1b[31m\x9b\x85\u2028\u202e"


@pytest.mark.parametrize("format", ["text", "json"])
def test_who_chooses_a_path_forges_no_entries(format: str) -> None:
    written = Written(format=format)
    logging.getLogger("x").info(
        "the client went away: %s", HOSTILE, extra={"path": HOSTILE, "all": [{"path": HOSTILE}]}
    )
    assert len(written.text.splitlines()) == 1
    assert written.text.rstrip("\n").isprintable()
    assert "FORGED" in written.text


def test_a_traceback_keeps_its_lines_and_nothing_else_that_moves_a_terminal() -> None:
    written = Written()
    try:
        raise ValueError("no \x1b[31mcolour")
    except ValueError:
        logging.getLogger("x").exception("failed")
    assert "Traceback" in written.text.splitlines()[1]
    assert "\x1b" not in written.text


def test_the_configuration_travels_to_children() -> None:
    config = LogConfig.of(LogSettings(level="debug", format="json")).named("worker-1")
    assert config.process == "worker-1"
    assert pickle.loads(pickle.dumps(config)) == config
    assert msgspec.json.decode(msgspec.json.encode(config), type=LogConfig) == config
