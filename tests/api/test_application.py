import logging
import re

import msgspec
import pytest
from fakes import a_row, assert_problem
from structlog.contextvars import get_contextvars

from model_export.options import ImportOptions
from server.api import examples
from server.api.errors import Problem, Refused
from server.core.errors import StorageFull
from server.core.statuses import STATUS
from server.domain.event import Event
from server.domain.health import Health
from server.domain.job import Job, JobState
from server.domain.model import ModelStatus
from server.domain.model_import import ModelImport
from server.domain.result import Row
from server.domain.stream import NewStream, ProbeResult, ProbeSource, Stream, StreamChange


def test_live_answers_whatever_the_server_lacks(site, client):
    site.runtime.problems = ("Model yolox-nano is loading.",)
    for path in ("/health/live", "/livez"):
        assert client.get(path).json() == {"status": "live"}


def test_ready_says_what_is_not(site, client):
    for path in ("/health/ready", "/readyz"):
        assert client.get(path).json()["ready"] is True
    site.runtime.problems = ("Model yolox-nano is loading.",)
    for path in ("/health/ready", "/readyz"):
        problem = assert_problem(client.get(path), 503, "not_ready")
        assert problem["problems"] == ["Model yolox-nano is loading."]
        assert problem["parts"]["engine"]["ok"] is False
        assert "retry-after" in client.get(path).headers


def test_a_request_is_timed_by_the_route_and_not_by_the_path(site, client):
    job = site.runtime.jobs.add()
    client.get(f"/v1/jobs/{job.id}")
    client.get("/v1/jobs/nobody/results")
    client.get("/nowhere/1234")
    client.request("BREW", "/v1/jobs")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    counted = re.findall(r'_count\{method="(\w+)",route="(.*?)",status="(\d+)"\} 1\.0', answer.text)
    assert set(counted) == {
        ("GET", "/v1/jobs/{job_id}", "200"),
        ("GET", "/v1/jobs/{job_id}/results", "404"),
        ("GET", "unknown", "404"),
        ("other", "/v1/jobs", "405"),
    }


def test_every_answer_has_a_request_id_and_a_sane_one_of_the_client_is_kept(client):
    assert client.get("/livez", headers={"X-Request-ID": "call-7"}).headers["x-request-id"] == "call-7"
    made = client.get("/livez", headers={"X-Request-ID": "a b;c"}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert client.get("/nowhere").headers["x-request-id"] != made


def test_the_request_id_is_bound_to_the_log(site, client, monkeypatch):
    seen = {}

    async def get(job_id):
        seen.update(get_contextvars())
        return job

    job = site.runtime.jobs.add()
    monkeypatch.setattr(site.runtime.jobs, "get", get)
    client.get(f"/v1/jobs/{job.id}", headers={"X-Request-ID": "call-7"})
    assert seen["request_id"] == "call-7"


def test_an_error_of_the_tree_becomes_a_problem_with_its_status(site, client):
    site.runtime.jobs.broken = StorageFull("No space is left.", hint="Delete jobs.")
    problem = assert_problem(client.post("/v1/jobs", files={"file": b"x"}), 507, "storage_full")
    assert problem == {
        "type": "urn:vidserve:problem:storage_full",
        "title": "Storage full",
        "status": 507,
        "code": "storage_full",
        "detail": "No space is left.",
        "hint": "Delete jobs.",
    }


def test_what_nobody_foresaw_is_a_problem_too_and_its_trace_is_logged(site, client, caplog):
    site.runtime.jobs.broken = RuntimeError("secret detail")
    with caplog.at_level(logging.ERROR):
        answer = client.post("/v1/jobs", files={"file": b"x"}, headers={"X-Request-ID": "call-8"})
    problem = assert_problem(answer, 500, "internal_error")
    assert "secret" not in answer.text
    assert "call-8" in problem["hint"]
    assert "secret detail" in caplog.text


def test_a_path_or_method_that_is_not_there_is_a_problem(client):
    for path in ("/v1/cameras", "/v1/jobs/", "/v1/models/"):
        assert_problem(client.get(path), 404, "not_found")
    answer = client.delete("/v1/jobs")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert client.post("/docs").headers["allow"] == "GET, HEAD"


def test_who_opens_the_server_in_a_browser_comes_to_the_documentation(client, document):
    for path, place in (("/", "docs"), ("/favicon.ico", "docs/favicon-32x32.png")):
        for ask in (client.get, client.head):
            answer = ask(path, follow_redirects=False)
            assert (answer.status_code, answer.headers["location"]) == (307, place)
            assert ask(path, follow_redirects=True).status_code == 200
        assert path not in document["paths"]
    assert client.post("/").status_code == 405


def test_the_documentation_page_needs_no_other_server(client):
    page = client.get("/docs").text
    assert re.findall(r'(?:src|href)="([^"]*)"', page)
    assert not re.findall(r"https?://", page)
    for name in re.findall(r'"(docs/[^"]+)"', page):
        assert client.get(f"/{name}").status_code == 200
    assert client.get("/docs/secrets.txt").status_code == 404


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json()


def test_every_reference_of_the_document_leads_somewhere(client, document):
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', client.get("/openapi.json").text))
    assert names <= set(document["components"]["schemas"])
    assert {"Job", "Row", "Problem", "JobByUrl", "Analysis", "ModelStatus", "Health"} <= names | {"JobByUrl"}


def test_every_call_is_explained_and_its_problems_are_problems(document):
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            assert call["summary"], (method, path)
            assert call["description"], (method, path)
            for status, answer in call["responses"].items():
                if int(status) >= 400:
                    form = "application/json" if path.startswith("/v2") else "application/problem+json"
                    assert list(answer["content"]) == [form], (method, path, status)


def test_the_examples_are_what_they_are_examples_of(document):
    for model, shown in (
        (Job, (examples.JOB, examples.NEW_JOB)),
        (Stream, (examples.STREAM, examples.NEW_STREAM)),
        (ProbeResult, (examples.PROBE, examples.FAILED_PROBE)),
        (ModelStatus, (examples.MODEL, examples.UNLOADED_MODEL)),
        (ModelImport, (examples.IMPORT, examples.NEW_IMPORT)),
        (Health, (examples.READY,)),
    ):
        for one in shown:
            model.model_validate(one)
    for kind, one in (
        (Row, examples.ROW),
        (Row, examples.STREAM_ROW),
        (Row, examples.PICTURE_ROW),
        (Event, examples.EVENT),
    ):
        msgspec.convert(one, kind, strict=False)
    for path, method, model in (
        ("/v1/streams", "post", NewStream),
        ("/v1/streams/probe", "post", ProbeSource),
        ("/v1/streams/{stream_id}", "patch", StreamChange),
    ):
        for body in document["paths"][path][method]["requestBody"]["content"].values():
            for one in body["examples"].values():
                model.model_validate(one["value"])
    for path, calls in document["paths"].items():
        for call in calls.values():
            for status, answer in call["responses"].items():
                if int(status) >= 400 and path.startswith("/v2"):
                    refused = Refused.model_validate(answer["content"]["application/json"]["example"])
                    assert STATUS[refused.code] == int(status)
                elif int(status) >= 400:
                    example = Problem.model_validate(answer["content"]["application/problem+json"]["example"])
                    assert example.status == int(status)
                    assert {**STATUS, "not_ready": 503}[example.code] == int(status)


@pytest.mark.parametrize(
    ("call", "codes"),
    [
        ("POST /v1/jobs", {404: "model_not_found", 409: "idempotency_key_conflict", 429: "queue_full"}),
        ("GET /v1/jobs/{job_id}/results", {404: "job_not_found", 406: "format_not_possible"}),
        ("POST /v1/streams", {404: "model_not_found", 409: "stream_exists", 503: "capacity_exceeded"}),
        ("PATCH /v1/streams/{stream_id}", {404: "stream_not_found", 409: "stream_declared"}),
        ("GET /v1/streams/{stream_id}/snapshot.jpg", {404: "stream_not_found", 503: "snapshot_unavailable"}),
        ("GET /v1/streams/{stream_id}/subscribe", {404: "stream_not_found", 503: "subscribers_full"}),
        ("GET /v1/events/{event_id}", {404: "event_not_found"}),
        ("POST /v1/models", {409: "model_exists", 429: "queue_full"}),
        ("PUT /v1/models/{name}/server-default", {409: "default_configured"}),
        ("GET /v1/imports/{import_id}", {404: "import_not_found"}),
        ("GET /health/ready", {503: "not_ready"}),
    ],
)
def test_the_example_of_a_problem_is_one_that_this_call_gives(document, call, codes):
    method, path = call.split()
    answers = document["paths"][path][method.lower()]["responses"]
    shown = {
        int(status): answer["content"]["application/problem+json"]["example"]
        for status, answer in answers.items()
        if int(status) >= 400
    }
    assert {status: shown[status]["code"] for status in codes} == codes
    texts = [text for one in shown.values() for text in (one["detail"], one.get("hint", ""))]
    if path.startswith("/v1/streams"):
        assert not [text for text in texts if "A job" in text or "smaller video" in text]


def test_every_good_answer_shows_what_it_looks_like(document):
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            for status, answer in call["responses"].items():
                if path.startswith("/v1") and int(status) < 300:
                    assert answer["description"] != "Successful Response", (method, path)
                    for kind, content in answer.get("content", {}).items():
                        assert kind != "application/json" or {"example", "examples"} & set(content), (method, path)


def test_the_form_of_a_job_is_documented(document):
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "application/json"}
    assert set(body["multipart/form-data"]["schema"]["properties"]) == {"file", "analysis", "model"}


def test_the_form_of_a_model_has_the_options_of_the_command_line(document):
    body = document["paths"]["/v1/models"]["post"]["requestBody"]["content"]
    properties = body["multipart/form-data"]["schema"]["properties"]
    said = {"file", *(field.alias or name for name, field in ImportOptions.model_fields.items())}
    assert set(properties) == said
    assert {"family", "labels", "input", "color"} <= said
    assert all(schema["description"] and schema["type"] for schema in properties.values())


def test_nothing_of_a_later_version_stands_in_the_document(document):
    assert set(document["paths"]) == {
        "/v1/jobs",
        "/v1/jobs/{job_id}",
        "/v1/jobs/{job_id}/cancel",
        "/v1/jobs/{job_id}/results",
        "/v1/jobs/{job_id}/subscribe",
        "/v1/streams",
        "/v1/streams/{stream_id}/results",
        "/v1/streams/{stream_id}/snapshot.jpg",
        "/v1/streams/probe",
        "/v1/streams/{stream_id}",
        "/v1/streams/{stream_id}/subscribe",
        "/v1/subscribe",
        "/v1/events",
        "/v1/events/{event_id}",
        "/v1/models",
        "/v1/models/{name}",
        "/v1/models/{name}/default",
        "/v1/models/{name}/server-default",
        "/v1/models/{name}/load",
        "/v1/models/{name}/unload",
        "/v1/models/{name}/predict",
        "/v1/imports",
        "/v1/imports/{import_id}",
        "/v1/tickets",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/stats",
        *(
            f"/v2/models/{{name}}{version}{rest}"
            for version in ("", "/versions/{version}")
            for rest in ("", "/config", "/infer", "/ready", "/stats")
        ),
        "/v2/repository/index",
        "/v2/repository/models/{name}/load",
        "/v2/repository/models/{name}/unload",
        "/health/live",
        "/health/ready",
        "/metrics",
    }


@pytest.mark.parametrize(
    "path", ["/v1/jobs", "/v1/models/yolox-nano", "/health/live", "/docs", "/metrics", "/v2", "/v1/nothing"]
)
def test_head_is_answered_as_get_without_the_body(client, path):
    full, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (full.status_code, b"")
    assert head.headers["content-type"] == full.headers["content-type"]
    assert head.headers["x-request-id"]
    if path != "/metrics":  # which counts the call before
        assert head.headers.get("content-length") == full.headers.get("content-length")


def test_head_of_results_ends_with_the_headers(site, client):
    job = site.runtime.jobs.add(*(a_row(frame) for frame in range(3)), state=JobState.DONE).id
    head = client.head(f"/v1/jobs/{job}/results?format=csv")
    assert (head.status_code, head.headers["content-type"].partition(";")[0]) == (200, "text/csv")
    assert client.head("/v1/jobs/nobody/results").status_code == 404


def test_head_changes_nothing(client):
    answer = client.head("/v1/tickets")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "POST", b"")


def test_head_is_counted_as_what_it_is(site, client):
    client.head("/v1/jobs")
    assert 'vidserve_http_request_duration_seconds_count{method="HEAD",route="/v1/jobs",status="200"} 1.0' in (
        client.get("/metrics").text
    )
