import json
import socket
import time

import pytest
from fakes import assert_problem

VIDEO = bytes(range(256)) * 700


def the_job(site, answer):
    assert answer.status_code == 202, answer.text
    return site.runtime.jobs.jobs[answer.json()["id"]]


def test_a_posted_video_becomes_a_job_and_arrives_byte_for_byte(site, client):
    answer = client.post("/v1/jobs", files={"file": ("street.mp4", VIDEO)}, data={"model": "yolox-nano"})
    job = the_job(site, answer)
    assert answer.headers["location"] == f"/v1/jobs/{job.id}"
    assert (job.source, job.analysis.model) == ("street.mp4", "yolox-nano")
    assert site.runtime.jobs.videos[job.id] == VIDEO


@pytest.mark.parametrize("order", [("analysis", "file"), ("file", "analysis")])
def test_the_analysis_may_stand_before_or_after_the_file(site, client, order):
    parts = {"file": ("a.mp4", VIDEO), "analysis": (None, json.dumps({"labels": ["car"], "sample_fps": 5}))}
    job = the_job(site, client.post("/v1/jobs", files=[(name, parts[name]) for name in order]))
    assert job.analysis.labels == ("car",)
    assert job.analysis.sample_fps == 5


def test_the_analysis_may_come_as_a_file_of_its_own(site, client):
    parts = {"file": ("a.mp4", VIDEO), "analysis": ("analysis.json", b'{"track": false}', "application/json")}
    assert the_job(site, client.post("/v1/jobs", files=parts)).analysis.track is False


def test_a_file_without_analysis_is_analysed_by_default(site, client):
    job = the_job(site, client.post("/v1/jobs", files={"file": ("a.mp4", VIDEO)}))
    assert job.analysis.model is None


def test_only_the_last_part_of_a_file_name_is_kept(site, client):
    for sent, kept in (("../../etc/passwd", "passwd"), ("C:\\videos\\a.avi", "a.avi"), ("straße.mp4", "straße.mp4")):
        assert the_job(site, client.post("/v1/jobs", files={"file": (sent, VIDEO)})).source == kept


def test_a_video_full_of_boundary_like_bytes_arrives_whole(site, client):
    video = b"\r\n--boundary\r\n--\r\n" * 20_000 + b"\r"
    headers = {"Content-Type": "multipart/form-data; boundary=boundaryX"}
    head = b'--boundaryX\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    answer = client.post("/v1/jobs", content=head + video + b"\r\n--boundaryX--\r\n", headers=headers)
    assert site.runtime.jobs.videos[the_job(site, answer).id] == video


def test_a_url_becomes_a_job_that_does_not_show_its_secrets(site, client):
    url = "https://user:secret@example.com/a.mp4?token=secret"
    answer = client.post("/v1/jobs", json={"url": url, "analysis": {"model": "yolox-nano"}})
    assert the_job(site, answer).source == "https://example.com/a.mp4"
    assert "secret" not in answer.text


def test_a_url_inside_the_network_is_refused_and_the_setting_is_named(site, client):
    problem = assert_problem(client.post("/v1/jobs", json={"url": "http://127.0.0.1/a.mp4"}), 422, "url_refused")
    assert "[jobs] allow_private_urls" in problem["hint"]


def test_the_same_key_gives_the_same_job(site, client):
    send = {"files": {"file": ("a.mp4", VIDEO)}, "headers": {"Idempotency-Key": "k1"}}
    first, second = client.post("/v1/jobs", **send), client.post("/v1/jobs", **send)
    assert first.json() == second.json()
    assert first.headers["location"] == second.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"


def test_the_same_key_with_another_video_is_a_conflict(site, client):
    headers = {"Idempotency-Key": "k1"}
    client.post("/v1/jobs", files={"file": ("a.mp4", VIDEO)}, headers=headers)
    answer = client.post("/v1/jobs", files={"file": ("a.mp4", b"other")}, headers=headers)
    assert_problem(answer, 409, "idempotency_key_conflict")


def test_a_key_must_be_printable(client):
    answer = client.post("/v1/jobs", files={"file": ("a.mp4", VIDEO)}, headers={"Idempotency-Key": "x" * 256})
    assert_problem(answer, 422, "fields_invalid")


@pytest.mark.parametrize(
    ("analysis", "field", "said"),
    [
        ('{"sampel_fps": 5}', "analysis.sampel_fps", "`sample_fps`"),
        ('{"sample_fps": -1}', "analysis.sample_fps", "greater than 0"),
        ('{"zones": []}', "analysis.zones", "not known"),
        ("{nonsense", "analysis", "not JSON"),
        ("[]", "analysis", "object"),
        ('{"track": 0}', "analysis.track", "boolean"),
        ('{"sample_fps": "5"}', "analysis.sample_fps", "number"),
    ],
)
def test_a_wrong_analysis_is_refused_by_field(client, analysis, field, said):
    answer = client.post("/v1/jobs", files={"file": ("a.mp4", VIDEO)}, data={"analysis": analysis})
    (error,) = assert_problem(answer, 422, "fields_invalid")["errors"]
    assert error["field"] == field
    assert said in error["message"]


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"url": "https://example.com/a", "analysis": {"label": ["car"]}}, "analysis.label", "`labels`"),
        ({"uri": "https://example.com/a"}, "uri", "`url`"),
        ({"analysis": {}}, "url", "missing"),
        ({"url": "https://example.com/a", "callback_url": "https://example.com"}, "callback_url", "not known"),
    ],
)
def test_a_wrong_json_body_is_refused_by_field(client, body, field, said):
    errors = assert_problem(client.post("/v1/jobs", json=body), 422, "fields_invalid")["errors"]
    assert any(error["field"] == field and said in error["message"] for error in errors)


def test_an_unknown_field_is_refused_with_the_nearest_known_one(client):
    answer = client.post("/v1/jobs", files={"file": ("a.mp4", VIDEO)}, data={"modle": "yolox-nano"})
    assert "`model`" in assert_problem(answer, 422, "fields_invalid")["detail"]


def test_a_field_that_comes_twice_is_refused(client):
    answer = client.post("/v1/jobs", files=[("file", ("a", VIDEO)), ("file", ("b", VIDEO))])
    assert_problem(answer, 422, "fields_invalid")


def test_model_and_analysis_must_not_contradict_each_other(site, client):
    def post(**data):
        return client.post("/v1/jobs", files={"file": ("a", VIDEO)}, data=data)

    assert_problem(post(model="yolox-nano", analysis='{"model": "yolox-tiny"}'), 422, "fields_invalid")
    job = the_job(site, post(model="yolox-nano", analysis='{"labels": ["car"]}'))
    assert (job.analysis.model, job.analysis.labels) == ("yolox-nano", ("car",))


def test_empty_fields_of_a_form_are_absent(site, client):
    answer = client.post("/v1/jobs", files={"file": ("a", VIDEO)}, data={"model": "", "analysis": " "})
    assert the_job(site, answer).analysis.model is None


def test_a_model_that_cannot_be_a_name_is_refused(client):
    answer = client.post("/v1/jobs", files={"file": ("a", VIDEO)}, data={"model": "Not A Name"})
    assert assert_problem(answer, 422, "fields_invalid")["errors"][0]["field"] == "model"


def test_a_model_that_is_not_there_is_not_found_and_the_video_is_gone(client):
    answer = client.post("/v1/jobs", files={"file": ("a", VIDEO)}, data={"model": "nobody"})
    assert_problem(answer, 404, "model_not_found")


@pytest.mark.parametrize("files", [{"file": ("a.mp4", b"")}, {"model": (None, "yolox-nano")}])
def test_an_empty_or_absent_file_is_refused(client, files):
    assert assert_problem(client.post("/v1/jobs", files=files), 422, "fields_invalid")["errors"][0]["field"] == "file"


def test_a_body_of_another_type_is_refused_with_what_to_send(client):
    for headers in ({"Content-Type": "video/mp4"}, {}):
        problem = assert_problem(
            client.post("/v1/jobs", content=b"x", headers=headers), 415, "content_type_unsupported"
        )
        assert "-F file=@" in problem["hint"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"not a form"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\ncut off'),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Type: text/plain\r\n\r\nnameless\r\n--b--\r\n"),
        ("multipart/form-data; boundary=" + "b" * 500, b"x"),
        ("multipart/form-data; boundary=b", b""),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused(client, kind, body):
    assert_problem(client.post("/v1/jobs", content=body, headers={"Content-Type": kind}), 400, "body_invalid")


def test_a_field_that_never_ends_is_refused(client):
    answer = client.post("/v1/jobs", files={"analysis": (None, "x" * 200_000), "file": ("a", VIDEO)})
    assert_problem(answer, 422, "fields_invalid")


def test_a_json_body_that_never_ends_is_refused(client):
    assert_problem(client.post("/v1/jobs", json={"url": "x" * 200_000}), 413, "upload_too_large")


def test_a_file_that_says_it_is_too_large_is_refused_before_it_is_sent(site):
    with socket.create_connection(("127.0.0.1", site.port)) as connection:
        connection.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 99999999999\r\n\r\n"
        )
        assert b" 413 " in connection.recv(4096)


def test_a_full_queue_refuses_a_video_before_it_is_sent(site):
    site.runtime.jobs.full = True
    with socket.create_connection(("127.0.0.1", site.port)) as connection:
        connection.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 1000000\r\n\r\n"
        )
        answer = connection.recv(4096).lower()
    assert b" 429 " in answer.partition(b"\r\n")[0]
    assert b"\r\nretry-after: " in answer


def test_a_full_queue_still_answers_who_sends_again_what_was_taken(site, client):
    send = {"files": {"file": ("a.mp4", VIDEO)}, "headers": {"Idempotency-Key": "k1"}}
    first = client.post("/v1/jobs", **send)
    site.runtime.jobs.full = True
    assert client.post("/v1/jobs", **send).json() == first.json()
    send["headers"] = {"Idempotency-Key": "k2"}
    assert_problem(client.post("/v1/jobs", **send), 429, "queue_full")


def test_a_file_that_turns_out_too_large_is_refused_while_it_is_read(site, client):
    sent = 0

    def body():
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(64):
            sent += 2**20
            yield bytes(2**20)
        yield b"\r\n--b--\r\n"

    answer = client.post("/v1/jobs", content=body(), headers={"Content-Type": "multipart/form-data; boundary=b"})
    problem = assert_problem(answer, 413, "upload_too_large")
    assert str(site.upload_bytes) in problem["detail"]
    assert "[limits] upload_bytes" in problem["hint"]


def test_a_file_of_exactly_the_limit_is_taken(site, client):
    video = bytes(site.upload_bytes)
    assert the_job(site, client.post("/v1/jobs", files={"file": ("a", video)}))


def test_an_upload_that_the_client_breaks_off_leaves_nothing(site):
    with socket.create_connection(("127.0.0.1", site.port)) as connection:
        connection.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 2000000\r\n\r\n"
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + bytes(1_500_000)
        )
        eventually(lambda: site.uploads() and site.uploads()[0].stat().st_size > 1_000_000)
    eventually(lambda: not site.uploads())
    assert not site.runtime.jobs.jobs


def eventually(what, seconds=10):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "did not happen"
        time.sleep(0.01)


def test_of_thousands_of_fields_that_are_wrong_twenty_are_named(client):
    body = {"x" * 10_000: 1, **{str(number): 1 for number in range(5000)}}
    answer = client.post("/v1/jobs", json=body)
    problem = assert_problem(answer, 422, "fields_invalid")
    assert len(problem["errors"]) == 20
    assert problem["detail"].endswith(" … and 4982 more.")  # and `url` is missing
    assert len(answer.content) < 6000
