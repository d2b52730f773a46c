"""Calls made up from the OpenAPI document: none ends in a server error, or in an answer that the document lacks."""

import os
import subprocess
import sys

from serving import serving

_KEY = "the-key-of-the-house"
_CONFIG = """
warnings = false

[checks]
# "Not now" is an answer, and documented: a model is loaded while others ask for it.
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]
# What is right by the document may be wrong for other reasons: a label that the model does not have.
positive_data_acceptance.enabled = false
# What is accepted (202) is there later: a model that is being brought in.
ensure_resource_availability.enabled = false

# In a form a list of one is sent as what it holds, so what breaks the document there may arrive as what keeps it.
[[operations]]
include-name = "POST /v1/models"
checks.negative_data_rejection.enabled = false

# Answers that never end; tests of their own ask for them.
[[operations]]
include-path-regex = "^/v1/(streams/[^/]+/)?subscribe$"
enabled = false
"""


def test_every_answer_is_as_documented(tmp_path):
    with serving(tmp_path / "data", env={"VIDSERVE_ADMIN_KEY": _KEY}) as server:
        _call_everything(server, tmp_path)


def _call_everything(server, tmp_path):
    seconds = int(os.environ.get("VIDSERVE_TEST_SCHEMA_S", "30"))
    (tmp_path / "schemathesis.toml").write_text(_CONFIG)
    url = f"http://127.0.0.1:{server.port}/openapi.json"
    run = [sys.executable, "-m", "schemathesis.cli", "--no-color", "run", url, "--max-time", str(seconds)]
    run += ["--header", f"Authorization: Bearer {_KEY}"]
    ended = subprocess.run(
        [*run, "--seed", "1"], capture_output=True, text=True, cwd=tmp_path, timeout=120 + 2 * seconds
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert server.process.poll() is None
    assert server.client.get("/health/live").status_code == 200
