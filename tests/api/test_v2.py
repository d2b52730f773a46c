import gzip
import json
import struct
import time
import zlib

import numpy as np
import pytest
from fakes import a_model

from server.api.v2 import arrival
from server.core.errors import BodyInvalid, ModelUnavailable, relayed
from server.domain.inference import Step
from server.domain.model import ModelError, ModelState

HEADER = "Inference-Header-Content-Length"
X = {"name": "x", "shape": [1, 2], "datatype": "FP32"}
ROW = {**X, "data": [1.5, -2]}


def infer(client, body, path="net", **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(f"/v2/models/{path}/infer", content=content, headers=headers)


def refused(answer, status, code):
    """The answer is that error, in the protocol's form."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    said = answer.json()
    assert (set(said), said["code"]) == ({"error", "code"}, code)
    return said["error"]


@pytest.fixture
def asked(site):
    """The last inference that the runtime was asked for."""
    return lambda: site.runtime.tensors.asked[-1][1]


def test_numbers_travel_as_json_flat_or_nested(client):
    for data in ([1.5, -2], [[1.5, -2]]):
        answer = infer(client, {"id": "a", "inputs": [{**X, "data": data}]})
        assert answer.json() == {
            "model_name": "net",
            "model_version": "1",
            "id": "a",
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [3.0, -4.0]}],
        }


def test_numbers_travel_as_bytes_after_the_object(client):
    said = {"inputs": [{**X, "parameters": {"binary_data_size": 8}}], "parameters": {"binary_data_output": True}}
    header = json.dumps(said).encode()
    answer = infer(client, header + struct.pack("<2f", 1.5, -2), **{HEADER: str(len(header))})
    length = int(answer.headers[HEADER])
    assert answer.headers["content-type"] == "application/octet-stream"
    output = json.loads(answer.content[:length])["outputs"][0]
    assert output == {"name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    assert struct.unpack("<2f", answer.content[length:]) == (3.0, -4.0)


def test_an_output_may_want_something_else_than_all(client):
    output = {"name": "y", "parameters": {"binary_data": False}}
    answer = infer(client, {"inputs": [ROW], "outputs": [output], "parameters": {"binary_data_output": True}})
    assert answer.json()["outputs"][0]["data"] == [3.0, -4.0]
    assert HEADER not in answer.headers


def test_what_json_has_no_number_for_comes_as_null(client):
    said = json.dumps({"inputs": [{**X, "parameters": {"binary_data_size": 8}}]}).encode()
    answer = infer(client, said + struct.pack("<2f", np.nan, np.inf), **{HEADER: str(len(said))})
    assert answer.json()["outputs"][0]["data"] == [None, None]


def test_classes_have_the_labels_of_the_model(client):
    output = {"name": "y", "parameters": {"classification": 1}}
    said = infer(client, {"inputs": [ROW], "outputs": [output]}).json()["outputs"][0]
    assert (said["datatype"], said["shape"], said["data"]) == ("BYTES", [1, 1], ["3.000000:0:cat"])


def test_parameters_say_sequence_urgency_and_deadline(client, asked):
    infer(client, {"inputs": [ROW]})
    assert (asked().step, asked().urgent, asked().deadline) == (None, False, None)
    sequence = {"sequence_id": "a", "sequence_start": True, "sequence_end": False}
    infer(client, {"inputs": [ROW], "parameters": {**sequence, "priority": 1, "timeout": 600_000_000}})
    assert (asked().step, asked().urgent) == (Step("a", start=True, end=False), True)
    assert 500 < asked().deadline - time.monotonic() <= 600
    infer(client, {"inputs": [ROW], "parameters": {"sequence_id": 0, "priority": 2}})
    assert (asked().step, asked().urgent) == (None, False)


@pytest.mark.parametrize("length", ["9" * 5000, "9" * 20, "-1", "1e3", "²"])
def test_a_length_that_is_none_is_told(client, length):
    answer = infer(client, {"inputs": [ROW]}, **{HEADER: length.encode()})
    assert len(refused(answer, 400, "body_invalid")) < 300


@pytest.mark.parametrize("number", ["9" * 20, "9" * 309, "9" * 1500, "-1", "1.5", "true"])
@pytest.mark.parametrize("name", ["timeout", "priority"])
def test_a_number_that_is_none_of_64_bits_is_told(client, name, number):
    body = b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}], "parameters": {"%s": %s}}'
    answer = infer(client, body % (name.encode(), number.encode()))
    assert (answer.status_code, answer.json()["code"] in ("tensor_invalid", "body_invalid")) == (400, True)


@pytest.mark.parametrize("version", ["0", "01", "x", "9" * 11, "9" * 32])
def test_a_version_that_is_none_is_not_found(client, version):
    refused(infer(client, {"inputs": [ROW]}, f"net/versions/{version}"), 404, "model_not_found")


@pytest.mark.parametrize("path", ["net/versions/3", "net@3", "net@3/versions/3"])
def test_a_version_is_named_in_the_path(site, client, path):
    assert infer(client, {"inputs": [ROW]}, path).status_code == 200
    assert site.runtime.tensors.asked[-1][0] == "net@3"


@pytest.mark.parametrize(
    ("error", "status"),
    [(ModelUnavailable("It is loading."), 503), (relayed("run_failed", "An index is out of range."), 422)],
)
def test_what_goes_wrong_has_the_protocols_form(site, client, error, status):
    site.runtime.tensors.broken = error
    answer = infer(client, {"inputs": [ROW]})
    assert refused(answer, status, error.code) == error.message
    assert ("retry-after" in answer.headers) is (status == 503)


def test_what_nobody_foresaw_has_the_protocols_form(site, client):
    site.runtime.tensors.broken = RuntimeError("oh")
    assert "request" in refused(infer(client, {"inputs": [ROW]}), 500, "internal_error")


def test_a_path_or_a_method_that_is_not_there_has_it_too(client):
    refused(client.get("/v2/nothing"), 404, "not_found")
    answer = client.get("/v2/models/net/infer")
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    assert client.get("/v1/nothing").headers["content-type"] == "application/problem+json"
    assert client.get("/v23").headers["content-type"] == "application/problem+json"


def test_no_more_requests_are_under_way_than_may_be(site, client):
    with site.runtime.tensors.arrivals.one(), site.runtime.tensors.arrivals.one():
        answer = infer(client, {"inputs": [ROW]})
        refused(answer, 429, "too_many_requests")
        assert int(answer.headers["retry-after"]) > 0
    assert infer(client, {"inputs": [ROW]}).status_code == 200


def test_no_more_bytes_arrive_than_may(site, client):
    refused(infer(client, bytes(2049)), 413, "upload_too_large")
    with site.runtime.tensors.arrivals.one() as other:
        other.grow(3000)
        refused(infer(client, bytes(2000)), 429, "too_many_requests")
        chunks = (bytes(500) for _ in range(4))  # nobody says how many come
        refused(client.post("/v2/models/net/infer", content=chunks), 429, "too_many_requests")
    assert infer(client, {"inputs": [ROW]}).status_code == 200


def in_members(body, size):
    return b"".join(gzip.compress(body[at : at + size]) for at in range(0, len(body), size))


def test_a_body_may_be_packed_in_one_member_or_in_several(client):
    body = json.dumps({"inputs": [ROW]}).encode()
    for packed in (
        gzip.compress(body),
        in_members(body, 10),
        gzip.compress(b"") + gzip.compress(body) + gzip.compress(b""),
    ):
        answer = infer(client, packed, **{"Content-Encoding": "gzip"})
        assert answer.json()["outputs"][0]["data"] == [3.0, -4.0], answer.text
    assert infer(client, zlib.compress(body), **{"Content-Encoding": "deflate"}).status_code == 200


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (in_members(b"x" * 30, 10)[:-5], "ends too early"),
        (gzip.compress(b"{}") + b"rest", "cannot be unpacked"),
        (gzip.compress(b"{}")[:5], "ends too early"),
        (b"", "ends too early"),
    ],
    ids=["last member cut off", "rest behind", "cut off", "empty"],
)
def test_what_cannot_be_unpacked_to_its_end_is_told(client, packed, said):
    assert said in refused(infer(client, packed, **{"Content-Encoding": "gzip"}), 400, "body_invalid")


def test_a_bomb_is_as_large_as_what_is_in_all_of_its_members(client):
    for bomb in (gzip.compress(bytes(2049)), in_members(bytes(3000), 100)):
        refused(infer(client, bomb, **{"Content-Encoding": "gzip"}), 413, "upload_too_large")


def test_a_body_in_countless_members_is_refused():
    unpacking = arrival.Unpacking(gzip.compress(b"") * 10_001, 16 + zlib.MAX_WBITS)
    with pytest.raises(BodyInvalid, match="more than 10000 parts"):
        unpacking.piece()


def test_the_index_says_what_serves_and_why_not(site, client):
    failed = a_model(
        version=2, state=ModelState.FAILED, error=ModelError(code="golden_mismatch", message="Other answers.")
    )
    states = (ModelState.READY, ModelState.LOADING, ModelState.UNLOADED)
    site.runtime.models.models = [
        failed,
        *(a_model(name, state=state) for name, state in zip("abc", states, strict=True)),
    ]
    found = client.post("/v2/repository/index").json()
    assert [(one["name"], one["state"], one["reason"]) for one in found] == [
        ("yolox-nano", "UNAVAILABLE", "Other answers."),
        ("a", "READY", ""),
        ("b", "LOADING", ""),
        ("c", "UNAVAILABLE", "unloaded"),
    ]
    assert [one["name"] for one in client.post("/v2/repository/index", json={"ready": True}).json()] == ["a"]
    refused(client.post("/v2/repository/index", content=b"{"), 400, "body_invalid")


def test_models_are_loaded_and_unloaded(site, client):
    assert client.post("/v2/repository/models/yolox-nano/load").status_code == 200
    assert client.post("/v2/repository/models/net/unload", json={"parameters": {"unload_dependents": False}}).is_success
    assert site.runtime.models.called == [("load", "yolox-nano@1")]
    assert site.runtime.tensors.unloaded == ["net"]
    answer = client.post("/v2/repository/models/yolox-nano/load", json={"parameters": {"config": "{}"}})
    refused(answer, 400, "tensor_invalid")
    refused(client.post("/v2/repository/models/nobody/load"), 404, "model_not_found")


def test_a_model_that_is_not_ready_says_why(site, client):
    site.runtime.models.models = [a_model(state=ModelState.LOADING)]
    answer = client.get("/v2/models/yolox-nano/ready")
    assert "It is loading." in refused(answer, 503, "model_unavailable")
    site.runtime.models.models = [a_model(state=ModelState.READY)]
    assert client.get("/v2/models/yolox-nano/versions/1/ready").json() == {"ready": True}
    site.runtime.problems = ("Model x is loading.",)
    assert "Model x" in refused(client.get("/v2/health/ready"), 503, "model_unavailable")


def test_statistics_are_what_the_engine_measured(site, client):
    site.runtime.models.models = [a_model("net")]
    first, second = client.get("/v2/models/stats").json()["model_stats"]
    assert (first["name"], first["version"], second["version"]) == ("net", "1", "2")
    assert (first["inference_count"], first["execution_count"], first["last_inference"]) == (6, 2, 1500)
    assert first["inference_stats"]["queue"] == {"count": 2, "ns": 500_000_000}
    assert first["inference_stats"]["fail"] == {"count": 0, "ns": 0}
    assert first["batch_stats"][0]["batch_size"] == 3
    assert len(client.get("/v2/models/net/stats").json()["model_stats"]) == 2
    assert len(client.get("/v2/models/net/versions/1/stats").json()["model_stats"]) == 1
    refused(client.get("/v2/models/nobody/stats"), 404, "model_not_found")
