import logging
import re

import pytest
from fakes import assert_problem
from structlog.contextvars import get_contextvars

from model_export.options import ImportOptions
from server.api.errors import Problem, Refused
from server.api.openapi import IMPORT_EXAMPLE, JOB_EXAMPLE
from server.core.errors import StorageFull
from server.core.statuses import STATUS
from server.domain.job import Job
from server.domain.model_import import ModelImport


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
    assert answer.headers["allow"] == "GET, POST"
    assert set(client.post("/docs").headers["allow"].split(", ")) == {"GET", "HEAD"}


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
    Job.model_validate(JOB_EXAMPLE)
    ModelImport.model_validate(IMPORT_EXAMPLE)
    for path, calls in document["paths"].items():
        for call in calls.values():
            for status, answer in call["responses"].items():
                if int(status) >= 400 and path.startswith("/v2"):
                    refused = Refused.model_validate(answer["content"]["application/json"]["example"])
                    assert STATUS[refused.code] == int(status)
                elif int(status) >= 400:
                    example = Problem.model_validate(answer["content"]["application/problem+json"]["example"])
                    assert (example.status, STATUS[example.code]) == (int(status), int(status))


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
