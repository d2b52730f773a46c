import pytest
from fakes import assert_problem

from server.core.errors import CapacityExceeded, SourceFileRefused, StreamExists


def post(client, **body):
    return client.post("/v1/streams", json=body)


def test_a_stream_is_made_and_the_answer_says_where_it_is(site, client):
    answer = post(client, name="front door", url="rtsp://camera/1", username="me", password="hunter2")
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/streams/{answer.json()['id']}"
    ((new, force),) = site.runtime.streams.made
    assert (new.name, new.username, new.password.get_secret_value(), force) == ("front door", "me", "hunter2", False)
    assert "hunter2" not in answer.text
    assert "password" not in answer.json()


def test_whoever_insists_is_heard(site, client):
    assert client.post("/v1/streams?force=true", json={"url": "rtsp://camera/1"}).status_code == 201
    assert client.patch("/v1/streams/stream1?force=true", json={"paused": False}).status_code == 200
    assert [force for _, force in [*site.runtime.streams.made, *site.runtime.streams.changed]] == [True, True]


def test_a_frame_rate_that_is_not_said_is_told_from_one_that_is_null(site, client):
    post(client, url="rtsp://camera/1")
    post(client, url="rtsp://camera/1", analysis={"sample_fps": None})
    assert ["sample_fps" in new.analysis.model_fields_set for new, _ in site.runtime.streams.made] == [False, True]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": ""}, "url"),
        ({"url": "rtsp://a b"}, "url"),
        ({"url": "rtsp://camera/\n"}, "url"),
        ({"url": "rtsp://camera", "usrname": "me"}, "usrname"),
        ({"url": "rtsp://camera", "name": " "}, "name"),
        ({"url": "rtsp://camera", "password": ""}, "password"),
        ({"url": "rtsp://camera", "transport": "sctp"}, "transport"),
        ({"url": "rtsp://camera", "loop": "yes"}, "loop"),
        ({"url": "rtsp://camera", "analysis": {"sample_fps": 0}}, "analysis.sample_fps"),
        ({"url": "rtsp://camera", "analysis": {"lables": []}}, "analysis.lables"),
    ],
)
def test_a_wrong_field_is_named(client, body, field):
    problem = assert_problem(post(client, **body), 422, "fields_invalid")
    assert problem["errors"][0]["field"] == field
    assert "hunter2" not in str(problem)


def test_a_password_that_is_too_long_is_not_shown_in_the_answer(client):
    answer = post(client, url="rtsp://camera", password="hunter2" * 100)
    assert_problem(answer, 422, "fields_invalid")
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CapacityExceeded("It asks for too much.", hint="add ?force=true"), 503),
        (SourceFileRefused("It is in no folder.", hint="`[sources] folders`"), 422),
        (StreamExists("Another one has that name."), 409),
    ],
)
def test_what_the_server_refuses_is_a_problem_with_its_code(site, client, error, status):
    site.runtime.streams.broken = error
    assert_problem(post(client, url="rtsp://camera/1"), status, error.code)


def test_a_body_that_is_no_json_is_refused(client):
    headers = {"Content-Type": "application/json"}
    assert_problem(client.post("/v1/streams", content=b"{", headers=headers), 400, "body_invalid")
    assert_problem(client.post("/v1/streams", data={"url": "rtsp://a"}), 415, "content_type_unsupported")
    assert_problem(client.post("/v1/streams", json={"url": "a" * 70_000}), 413, "upload_too_large")


def test_a_stream_is_found_by_its_exact_name(site, client):
    for name in ("yard", "yard 2", "Höfe & Co."):
        site.runtime.streams.add(name)
    for name in ("yard", "Höfe & Co."):
        assert [one["name"] for one in client.get("/v1/streams", params={"name": name}).json()["items"]] == [name]
    assert client.get("/v1/streams?name=yar").json() == {"items": []}
    assert client.get("/v1/streams?name=yard&state=paused").json() == {"items": []}
    assert_problem(client.get("/v1/streams?name="), 422, "fields_invalid")


def test_a_name_in_the_place_of_an_id_is_answered_with_how_to_find_the_id(site, client):
    site.runtime.streams.add("yard")
    problem = assert_problem(client.get("/v1/streams/yard"), 404, "stream_not_found")
    assert "GET /v1/streams?name=yard finds its id" in problem["hint"]


def test_streams_come_in_pages_and_by_state(site, client):
    for name in "abc":
        site.runtime.streams.add(name)
    site.runtime.streams.add("d", state="paused")
    first = client.get("/v1/streams?limit=2").json()
    assert [one["name"] for one in first["items"]] == ["a", "b"]
    second = client.get("/v1/streams", params={"cursor": first["next_cursor"]}).json()
    assert [one["name"] for one in second["items"]] == ["c", "d"]
    assert "next_cursor" not in second
    assert [one["name"] for one in client.get("/v1/streams?state=paused").json()["items"]] == ["d"]
    assert_problem(client.get("/v1/streams?state=well"), 422, "fields_invalid")


def test_what_is_said_in_a_change_is_told_from_what_is_not(site, client):
    site.runtime.streams.add()
    for kind in ("application/json", "application/merge-patch+json"):
        answer = client.patch(
            "/v1/streams/stream1", content=b'{"paused": true, "username": null}', headers={"Content-Type": kind}
        )
        assert answer.json()["paused"] is True
    ((change, _), _) = site.runtime.streams.changed
    assert change.model_fields_set == {"paused", "username"}


def test_a_stream_can_be_looked_at_and_deleted(site, client):
    site.runtime.streams.add()
    assert client.get("/v1/streams/stream1").json()["name"] == "front door"
    assert client.delete("/v1/streams/stream1").status_code == 204
    for answer in (client.get("/v1/streams/stream1"), client.delete("/v1/streams/stream1")):
        assert_problem(answer, 404, "stream_not_found")


def test_a_declared_stream_is_changed_in_the_settings_file(site, client):
    site.runtime.streams.add(id="cfg_front", managed_by="config")
    for answer in (
        client.patch("/v1/streams/cfg_front", json={"paused": True}),
        client.delete("/v1/streams/cfg_front"),
    ):
        assert_problem(answer, 409, "stream_declared")


def test_a_source_is_tried(site, client):
    answer = client.post("/v1/streams/probe", json={"url": "rtsp://camera/1", "password": "hunter2"})
    assert answer.json() == {"codec": "h264", "width": 640, "height": 360, "fps": 10.0, "picture": "SlBFRw=="}
    failed = client.post("/v1/streams/probe", json={"url": "rtsp://broken/1"})
    assert failed.status_code == 200
    assert failed.json() == {"error": {"code": "source_unauthorized", "message": "It wants a password."}}
    assert_problem(client.post("/v1/streams/probe", json={"name": "a"}), 422, "fields_invalid")
