import re
import socket

import pytest
from fakes import assert_problem

from model_export.errors import ModelExists
from model_export.preprocessing import Colour
from server.core.errors import StorageFull
from server.domain.model_import import ImportFailure, ImportState

MODEL = bytes(range(256)) * 700


def post(client, file=("net.onnx", MODEL), headers=None, **fields):
    return client.post("/v1/models", files={"file": file}, data=fields, headers=headers)


def the_import(site, answer):
    assert answer.status_code == 202, answer.text
    return site.runtime.imports.imports[answer.json()["id"]]


def options_of(site, answer):
    return site.runtime.imports.options[the_import(site, answer).id]


def test_a_posted_onnx_file_becomes_an_import_and_arrives_byte_for_byte(site, client):
    answer = post(client, family="yolox", name="nano")
    made = the_import(site, answer)
    assert answer.headers["location"] == f"/v1/imports/{made.id}"
    assert answer.json() == {
        "id": made.id,
        "state": "importing",
        "created_at": "2026-01-02T03:04:05Z",
        "source": "net.onnx",
        "family": "yolox",
        "lines": [],
    }
    assert site.runtime.imports.files[made.id] == MODEL


def test_a_file_alone_is_a_bundle(site, client):
    assert options_of(site, post(client, ("b.zip", MODEL))) is None
    assert options_of(site, post(client, ("b.zip", MODEL), family=" ", name="")) is None


def test_the_options_are_those_of_the_command_line(site, client):
    options = options_of(
        site, post(client, family="yolox", input="640x384", mean="1,2,3", color="rgb", pad="0", version="3")
    )
    assert (options.size, options.mean, options.colour) == ((640, 384), (1, 2, 3), Colour.RGB)
    assert (options.pad, options.version, options.name) == (0, 3, "net")


def test_labels_come_as_a_file_or_as_text(site, client):
    text = options_of(site, post(client, family="yolox", labels="car\nbus"))
    parts = {
        "file": ("n.onnx", MODEL),
        "labels": ("coco.names", b"\xef\xbb\xbfcar\r\nbus\r\n"),
        "family": (None, "yolox"),
    }
    file = options_of(site, client.post("/v1/models", files=parts))
    assert text.labels == file.labels == ("car", "bus")
    many = "\n".join(f"some class number {number}" for number in range(20_000))
    assert len(options_of(site, post(client, family="yolox", labels=many)).labels) == 20_000


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"family": "yolo"}, "family", "'yolox'"),
        ({"name": "net"}, "family", "it is missing"),
        ({"family": "yolox", "name": "My Net"}, "name", "is not a name"),
        ({"family": "yolox", "input": "640"}, "input", "'640' is not WxH"),
        ({"family": "yolox", "mean": "a"}, "mean", "is not one number or three"),
        ({"family": "yolox", "std": "0.229"}, "std", "multiply"),
        ({"family": "yolox", "color": "grb"}, "color", "'bgr' or 'rgb'"),
        ({"family": "yolox", "pad": "256"}, "pad", "255"),
        ({"family": "yolox", "labels": "car\n\nbus"}, "labels", "line 2 is empty"),
        ({"family": "yolox", "labels": "x" * 700_000}, "labels", "longer than"),
        ({"family": "yolox", "version": "0"}, "version", "1"),
        ({"family": "yolox", "famly": "x"}, "famly", "`family`"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(client, fields, field, said):
    errors = assert_problem(post(client, **fields), 422, "fields_invalid")["errors"]
    assert any(error["field"] == field and said in error["message"] for error in errors), errors


def test_a_file_name_that_makes_no_name_wants_one(client):
    errors = assert_problem(post(client, ("ß.onnx", MODEL), family="yolox"), 422, "fields_invalid")["errors"]
    assert errors[0]["field"] == "name"


@pytest.mark.parametrize("files", [{"file": ("n.onnx", b"")}, {"family": (None, "yolox")}])
def test_an_empty_or_absent_file_is_refused(client, files):
    assert assert_problem(client.post("/v1/models", files=files), 422, "fields_invalid")["errors"][0]["field"] == "file"


def test_a_body_of_another_type_is_refused_with_what_to_send(client):
    for headers in ({"Content-Type": "application/zip"}, {}):
        answer = client.post("/v1/models", content=b"x", headers=headers)
        assert "-F file=@" in assert_problem(answer, 415, "content_type_unsupported")["hint"]


def test_a_form_that_is_cut_off_is_refused(client):
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="n"\r\n\r\ncut off'
    answer = client.post("/v1/models", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert_problem(answer, 400, "body_invalid")


def test_a_model_that_turns_out_too_large_is_refused_while_it_is_read(site, client):
    def body():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="n"\r\n\r\n'
        for _ in range(64):
            yield bytes(2**20)
        yield b"\r\n--b--\r\n"

    answer = client.post("/v1/models", content=body(), headers={"Content-Type": "multipart/form-data; boundary=b"})
    problem = assert_problem(answer, 413, "upload_too_large")
    assert str(site.model_bytes) in problem["detail"]
    assert "[limits] model_bytes" in problem["hint"]
    assert_problem(post(client, ("n.onnx", bytes(site.model_bytes + 1)), family="raw"), 413, "upload_too_large")
    assert post(client, ("n.onnx", bytes(site.model_bytes)), family="raw").status_code == 202


def test_a_model_that_says_it_is_too_large_is_refused_before_it_is_sent(site):
    with socket.create_connection(("127.0.0.1", site.port)) as connection:
        connection.sendall(
            b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 99999999999\r\n\r\n"
        )
        assert b" 413 " in connection.recv(4096)


def test_a_model_that_does_not_get_its_turn_is_refused_before_it_is_sent(site, client):
    site.runtime.imports.full = True
    with socket.create_connection(("127.0.0.1", site.port)) as connection:
        connection.sendall(
            b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 1000000\r\n\r\n"
        )
        answer = connection.recv(4096)
    assert b" 429 " in answer
    assert re.search(rb"retry-after: \d", answer)
    assert_problem(post(client, family="raw"), 429, "queue_full")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(ModelExists("net@1 is there already."), 409, "model_exists"), (StorageFull("No space."), 507, "storage_full")],
)
def test_a_refusal_is_a_problem_and_leaves_nothing(site, client, error, status, code):
    site.runtime.imports.broken = error
    assert_problem(post(client, family="raw"), status, code)


def test_the_same_key_gives_the_same_import(site, client):
    first, second = (post(client, family="raw", headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == second.json()
    assert first.headers["location"] == second.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"


def test_imports_are_listed_newest_first_in_pages(site, client):
    made = [site.runtime.imports.add().id for _ in range(3)]
    first = client.get("/v1/imports?limit=2").json()
    rest = client.get("/v1/imports", params={"cursor": first["next_cursor"]}).json()
    assert [one["id"] for one in first["items"] + rest["items"]] == made[::-1]
    assert "next_cursor" not in rest
    for cursor in ("j1", "i", "1"):
        assert_problem(client.get("/v1/imports", params={"cursor": cursor}), 422, "fields_invalid")


def test_an_import_says_why_it_failed(site, client):
    error = ImportFailure(code="import_refused", message="It is none.", hint="Export it again.")
    failed = site.runtime.imports.add(state=ImportState.FAILED, error=error)
    answer = client.get(f"/v1/imports/{failed.id}").json()
    assert answer["error"] == {"code": "import_refused", "message": "It is none.", "hint": "Export it again."}


def test_an_import_can_be_waited_for(site, client):
    made = site.runtime.imports.add()
    assert client.get(f"/v1/imports/{made.id}").json()["state"] == "importing"
    assert client.get(f"/v1/imports/{made.id}?wait=2.5").json()["model"] == "net@1"
    assert site.runtime.imports.waited == [2.5]
    assert_problem(client.get(f"/v1/imports/{made.id}?wait=61"), 422, "fields_invalid")


def test_a_deleted_import_is_not_found_any_more(site, client):
    made = site.runtime.imports.add()
    assert client.delete(f"/v1/imports/{made.id}").status_code == 204
    for answer in (client.get(f"/v1/imports/{made.id}"), client.delete(f"/v1/imports/{made.id}")):
        assert_problem(answer, 404, "import_not_found")
    assert_problem(client.get("/v1/imports/nobody?wait=1"), 404, "import_not_found")
