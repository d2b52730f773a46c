import pytest
from fakes import a_model, assert_problem

from server.domain.model import ModelState

JPEG = {"Content-Type": "image/jpeg"}


def test_models_are_listed_by_name_and_version_in_pages(client):
    first = client.get("/v1/models?limit=2").json()
    rest = client.get("/v1/models", params={"cursor": first["next_cursor"]}).json()
    ids = [(model["name"], model["version"]) for model in first["items"] + rest["items"]]
    assert ids == [("moving-objects", 1), ("yolox-nano", 1), ("yolox-nano", 2)]
    assert "next_cursor" not in rest


def test_a_model_says_when_it_does_not_run_on_what_was_asked_for(site, client):
    why = {"provider": "CPUExecutionProvider", "asked_provider": "CUDAExecutionProvider", "provider_reason": "no GPU"}
    site.runtime.models.models = [a_model(state=ModelState.READY, **why)]
    answer = client.get("/v1/models/yolox-nano").json()
    assert {name: answer[name] for name in why} == why
    assert answer["input"] == {"width": 416, "height": 416}


def test_a_name_alone_is_the_version_that_serves(client):
    assert client.get("/v1/models/yolox-nano").json()["version"] == 1
    assert client.get("/v1/models/yolox-nano@2").json()["version"] == 2


@pytest.mark.parametrize("send", [{"json": {"version": 2}, "path": "yolox-nano"}, {"path": "yolox-nano@2"}])
def test_another_version_can_be_made_the_one_that_serves(client, send):
    answer = client.put(f"/v1/models/{send.pop('path')}/default", **send)
    assert (answer.status_code, answer.json()["version"], answer.json()["default"]) == (200, 2, True)
    assert client.get("/v1/models/yolox-nano").json()["version"] == 2


def test_a_default_must_say_one_version(client):
    assert_problem(client.put("/v1/models/yolox-nano/default"), 422, "fields_invalid")
    assert_problem(client.put("/v1/models/yolox-nano@1/default", json={"version": 2}), 422, "fields_invalid")
    assert_problem(client.put("/v1/models/yolox-nano/default", json={"version": 0}), 422, "fields_invalid")
    assert_problem(client.put("/v1/models/yolox-nano/default", json={"version": 9}), 404, "model_not_found")


def test_models_are_loaded_and_unloaded_by_hand(site, client):
    assert client.post("/v1/models/yolox-nano@2/load").json()["version"] == 2
    assert client.post("/v1/models/yolox-nano/unload").status_code == 200
    assert site.runtime.models.called == [("load", "yolox-nano@2"), ("unload", "yolox-nano@1")]


def test_a_name_that_is_not_there_or_cannot_be_is_not_found(client):
    for name in ("nobody", "Not%20A%20Name", "yolox-nano@0", "a@b@c", f"yolox-nano@{'9' * 5000}", "yolox-nano@1%0A"):
        assert_problem(client.get(f"/v1/models/{name}"), 404, "model_not_found")
        assert_problem(client.post(f"/v1/models/{name}/predict", content=b"x", headers=JPEG), 404, "model_not_found")


def test_a_cursor_of_another_list_is_refused(client):
    for cursor in ("j1", "yolox-nano", "%%%", "ü"):
        assert_problem(client.get("/v1/models", params={"cursor": cursor}), 422, "fields_invalid")


def test_a_picture_comes_raw_or_as_a_form(site, client):
    raw = client.post("/v1/models/yolox-nano/predict", content=b"jpeg", headers=JPEG)
    form = client.post("/v1/models/yolox-nano/predict", files={"file": ("a.jpg", b"jpeg")})
    assert raw.json() == form.json()
    assert raw.json()["objects"][0]["label"] == "car"
    assert site.runtime.models.called == [("yolox-nano", b"jpeg", None, None)] * 2


def test_a_picture_has_options(site, client):
    query = {"confidence": 0.3, "labels": ["car", "person"]}
    client.post("/v1/models/yolox-nano@1/predict", params=query, content=b"jpeg", headers=JPEG)
    assert site.runtime.models.called == [("yolox-nano@1", b"jpeg", 0.3, ["car", "person"])]


def test_a_picture_that_cannot_be_used_is_refused(client):
    path = "/v1/models/yolox-nano/predict"
    assert_problem(client.post(path, data={"a": "b"}), 415, "content_type_unsupported")
    assert_problem(client.post(path, files={"picture": b"x"}), 422, "fields_invalid")
    assert_problem(client.post(f"{path}?confidence=2", content=b"x", headers=JPEG), 422, "fields_invalid")
    assert_problem(client.post(path, content=bytes(33 * 2**20), headers=JPEG), 413, "upload_too_large")
    assert_problem(client.post(path, files={"file": bytes(34 * 2**20)}), 413, "upload_too_large")
    answer = client.post(path, content=b"too early", headers=JPEG)
    assert_problem(answer, 503, "model_unavailable")
    assert int(answer.headers["retry-after"]) > 0


def test_a_model_can_be_made_the_one_that_serves_where_none_is_named(client):
    answer = client.put("/v1/models/yolox-nano/server-default")
    assert (answer.status_code, answer.json()["server_default"]) == (200, True)
    marked = [model for model in client.get("/v1/models").json()["items"] if model["server_default"]]
    assert [(model["name"], model["version"]) for model in marked] == [("yolox-nano", 1)]
    hint = assert_problem(client.put("/v1/models/yolox-nano@2/server-default"), 422, "fields_invalid")["hint"]
    assert "/v1/models/yolox-nano@2/default" in hint
    assert_problem(client.put("/v1/models/nobody/server-default"), 404, "model_not_found")


def test_a_removed_model_is_not_found_any_more(client):
    assert client.delete("/v1/models/yolox-nano@2").status_code == 204
    assert_problem(client.get("/v1/models/yolox-nano@2"), 404, "model_not_found")
    assert_problem(client.delete("/v1/models/yolox-nano@2"), 404, "model_not_found")


def test_a_model_that_is_needed_or_came_with_the_server_is_not_removed(client):
    assert_problem(client.delete("/v1/models/yolox-nano@1"), 409, "model_in_use")
    assert_problem(client.delete("/v1/models/moving-objects"), 409, "model_read_only")
