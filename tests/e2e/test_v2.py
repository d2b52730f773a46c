"""`/v2` as its clients use it: Triton's own client, and what it would never send."""

import concurrent.futures
import gzip
import json
import os
import signal
import time
import zlib
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from serving import Server, eventually, serving
from tensor_models import SIDE, brought_in, every_type, free_size, picking, pictures, whole
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from benchmarks import gru
from model_export.bundle import Bundle
from server.runtime.runtime import SHIPPED

HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def v2(tmp_path_factory):
    """A server with small models that take tensors, and a recurrent one."""
    data = tmp_path_factory.mktemp("data")
    gru.write(data / "models")
    env = {
        "VIDSERVE_V2__SEQUENCE_IDLE_S": "10",
        "VIDSERVE_V2__SEQUENCES": "4",
        "VIDSERVE_V2__REQUEST_BYTES": "33554432",
    }
    with serving(data, env={**env, "VIDSERVE_ENGINE__TUNE": "false"}) as server:
        made = {"pictures": pictures(), "stuck": pictures(2), "types": every_type(), "free": free_size()}
        made |= {"whole": whole(), "picking": picking()}
        server.files = {name: brought_in(server, name, proto) for name, proto in made.items()}
        yield server


@pytest.fixture
def client(v2):
    with triton.InferenceServerClient(f"127.0.0.1:{v2.port}", concurrency=16) as made:
        yield made


def tensors(arrays, *, binary=True):
    made = []
    for name, array in arrays.items():
        one = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        made.append(one.set_data_from_numpy(array, binary_data=binary))
    return made


def bare(model, arrays):
    """What ONNX Runtime alone answers, with one thread as the server's sessions have."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, arrays), strict=True))


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def assert_same(result, expected):
    """Bit for bit, shapes and types included."""
    for name, array in expected.items():
        got = result.as_numpy(name)
        assert (got.dtype, got.shape) == (array.dtype, array.shape)
        assert got.tobytes() == array.tobytes()


# ── what there is ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_client_finds_the_server_and_its_models(v2, client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("pictures", "1")
    assert client.get_server_metadata()["name"] == "vidserve"
    said = client.get_model_metadata("pictures")
    assert said["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 3, SIDE, SIDE]}]
    assert said["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 5]}]
    assert said["versions"] == ["1"]
    config = client.get_model_config("pictures")
    # Which batches pay is measured when a model comes up: it need not be the most that are allowed.
    assert config["max_batch_size"] == v2.client.get("/v1/models/pictures").json()["max_batch"]
    assert config["max_batch_size"] in (1, 2, 4, 8)
    assert config["input"] == [{"name": "images", "data_type": "TYPE_FP32", "dims": [3, SIDE, SIDE]}]


def test_the_state_of_a_recurrent_model_is_not_the_clients_business(client):
    said = client.get_model_metadata("gru")
    assert [one["name"] for one in said["inputs"] + said["outputs"]] == ["frames", "probabilities"]


def test_models_are_listed_loaded_and_unloaded(client):
    def states():
        return {one["name"]: (one["state"], one["reason"]) for one in client.get_model_repository_index()}

    assert states()["whole"] == ("READY", "")
    client.unload_model("whole")
    assert states()["whole"] == ("UNAVAILABLE", "unloaded")
    assert not client.is_model_ready("whole")
    client.load_model("whole")
    assert client.is_model_ready("whole")


def test_one_that_is_not_loaded_is_loaded_when_it_is_asked(client):
    client.unload_model("whole")
    points = {"points": noise(3, 2)}
    assert client.infer("whole", tensors(points)).as_numpy("mean").shape == (2,)


# ── the same numbers ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rows", [1, 2, 3, 8, 21])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_pictures_in_nchw_are_answered_as_onnx_runtime_alone_does(v2, client, rows, binary):
    arrays = {"images": noise(rows, 3, SIDE, SIDE)}
    outputs = [triton.InferRequestedOutput("logits", binary_data=binary)]
    result = client.infer("pictures", tensors(arrays, binary=binary), outputs=outputs, request_id="17")
    alone = [bare(v2.files["pictures"], {"images": arrays["images"][row : row + 1]})["logits"] for row in range(rows)]
    assert_same(result, {"logits": np.concatenate(alone)})
    said = result.get_response()
    assert (said["id"], said["model_name"], said["model_version"]) == ("17", "pictures", "1")


def test_a_model_with_a_fixed_batch_is_answered_whole(v2, client):
    arrays = {"images": noise(2, 3, SIDE, SIDE)}
    assert_same(client.infer("stuck", tensors(arrays)), bare(v2.files["stuck"], arrays))
    assert client.get_model_config("stuck")["max_batch_size"] == 0
    with pytest.raises(InferenceServerException, match=r"\[400\].*must have \[2, 3, 16, 16\]"):
        client.infer("stuck", tensors({"images": noise(1, 3, SIDE, SIDE)}))


def test_rows_that_belong_together_are_not_divided(v2, client):
    arrays = {"points": noise(100, 2)}
    assert_same(client.infer("whole", tensors(arrays)), bare(v2.files["whole"], arrays))


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_every_datatype_comes_back_as_it_went(client, binary):
    arrays = {}
    for name in ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))):
        limits = np.array([[0, 1]], bool) if name == "bool" else np.iinfo(name)
        arrays[name] = limits if name == "bool" else np.array([[limits.min, limits.max]], name)
    for name in ("float16", "float32", "float64"):
        arrays[name] = np.array([[np.finfo(name).max, np.finfo(name).tiny]], name)
    outputs = [triton.InferRequestedOutput(f"{name}_out", binary_data=binary) for name in arrays]
    result = client.infer("types", tensors(arrays, binary=binary), outputs=outputs)
    assert_same(result, {f"{name}_out": array for name, array in arrays.items()})


def test_sizes_that_a_model_leaves_free_do_not_mix(v2, client):
    shapes = [(1, 1, 8, 8), (2, 1, 5, 7), (1, 1, 400, 400), (3, 1, 8, 8)]
    with concurrent.futures.ThreadPoolExecutor(4) as crew:
        asked = [{"x": noise(*shapes[n % 4], seed=n)} for n in range(32)]
        for arrays, result in zip(asked, crew.map(lambda one: infer_alone(v2, "free", one), asked), strict=True):
            assert_same(result, {"y": arrays["x"] * 2})


def infer_alone(server, model, arrays, **options):
    """With a client of its own: one is not to be shared by threads."""
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        return client.infer(model, tensors(arrays), **options)


def test_outputs_larger_than_a_message_come_back(v2, client):
    arrays = {"x": noise(3, 1, 700, 700)}
    assert_same(client.infer("free", tensors(arrays)), {"y": arrays["x"] * 2})


def test_frames_of_a_model_for_video_are_answered_with_its_standard_outputs(client):
    bundle = Bundle.open(next(Path(SHIPPED / "moving-objects").iterdir()))
    takes = bundle.manifest.input
    frames = np.random.default_rng(1).integers(0, 256, (4, 1, takes.height, takes.width, 3), np.uint8)
    state = {s.input: np.full((1, *s.shape), s.initial, s.dtype) for s in bundle.manifest.state}
    for number, frame in enumerate(frames):
        expected = bare(str(bundle.model), {takes.name: frame, **state})
        state = {s.input: expected.pop(s.output) for s in bundle.manifest.state}
        options = {"sequence_id": 5, "sequence_start": number == 0, "sequence_end": number == 3}
        assert_same(client.infer("moving-objects", tensors({takes.name: frame}), **options), expected)


@pytest.mark.data
def test_yolox_answers_as_onnx_runtime_alone_does(yolox_server):
    manifest = Bundle.open(yolox_server.data / "models/yolox-nano/1")
    frames = np.random.default_rng(2).integers(0, 256, (3, 416, 416, 3), np.uint8)
    result = infer_alone(yolox_server, "yolox-nano", {"frames": frames})
    alone = [bare(str(manifest.model), {"frames": frames[row : row + 1]}) for row in range(3)]
    assert_same(result, {name: np.concatenate([one[name] for one in alone]) for name in alone[0]})


# ── sequences ────────────────────────────────────────────────────────────────────────────────────────────────────


def sequence_of(bundle, frames):
    """What a recurrent model says of each frame, run by ONNX Runtime alone."""
    state, said = {"state": np.zeros((1, 256), np.float32)}, []
    for frame in frames:
        outputs = bare(str(bundle.model), {"frames": frame[None], **state})
        state = {"state": outputs.pop("next_state")}
        said.append(outputs)
    return said


def test_sequences_side_by_side_are_each_answered_as_if_they_were_alone(v2):
    bundle = Bundle.open(v2.data / "models/gru/1")
    random = np.random.default_rng(4)
    ids = [7, 2**63, "camera-a"]
    frames = {id: random.integers(0, 256, (12, gru.SIDE, gru.SIDE, 3), np.uint8) for id in ids}

    def play(id):
        with triton.InferenceServerClient(f"127.0.0.1:{v2.port}") as own:
            return [
                own.infer(
                    "gru",
                    tensors({"frames": frame[None]}),
                    sequence_id=id,
                    sequence_start=number == 0,
                    sequence_end=number == len(frames[id]) - 1,
                )
                for number, frame in enumerate(frames[id])
            ]

    with concurrent.futures.ThreadPoolExecutor(3) as crew:
        for id, results in zip(ids, crew.map(play, ids), strict=True):
            for result, expected in zip(results, sequence_of(bundle, frames[id]), strict=True):
                assert_same(result, expected)


def a_frame(client, **options):
    frame = {"frames": np.full((1, gru.SIDE, gru.SIDE, 3), 9, np.uint8)}
    return client.infer("gru", tensors(frame), **options).as_numpy("probabilities").tobytes()


def test_a_sequence_that_starts_again_remembers_nothing(client):
    first = a_frame(client, sequence_id=1, sequence_start=True)
    assert a_frame(client, sequence_id=1) != first
    assert a_frame(client, sequence_id=1, sequence_start=True, sequence_end=True) == first


def test_a_sequence_must_begin_and_is_over_after_its_end(client):
    with pytest.raises(InferenceServerException, match=r"\[400\] gru remembers earlier frames"):
        a_frame(client)
    with pytest.raises(InferenceServerException, match=r"\[400\] There is no sequence 99"):
        a_frame(client, sequence_id=99)
    a_frame(client, sequence_id=99, sequence_start=True, sequence_end=True)
    with pytest.raises(InferenceServerException, match=r"\[400\] There is no sequence 99"):
        a_frame(client, sequence_id=99)


def test_a_sequence_is_one_frame_at_a_time(client):
    frames = {"frames": np.zeros((2, gru.SIDE, gru.SIDE, 3), np.uint8)}
    with pytest.raises(InferenceServerException, match=r"\[400\] gru takes one frame of a sequence at a time"):
        client.infer("gru", tensors(frames), sequence_id=3, sequence_start=True)


def test_idle_sequences_are_forgotten_and_until_then_there_are_only_so_many(client):
    for id in range(1, 5):
        a_frame(client, sequence_id=id, sequence_start=True)
    with pytest.raises(InferenceServerException, match=r"\[429\] 4 sequences are under way"):
        a_frame(client, sequence_id=5, sequence_start=True)

    def begins():
        try:
            return a_frame(client, sequence_id=5, sequence_start=True, sequence_end=True)
        except InferenceServerException:
            return None

    eventually(begins, seconds=60)
    with pytest.raises(InferenceServerException, match="There is no sequence 1"):
        a_frame(client, sequence_id=1)


def test_unloading_a_model_ends_its_sequences(client):
    a_frame(client, sequence_id=1, sequence_start=True)
    client.unload_model("gru")
    with pytest.raises(InferenceServerException, match="There is no sequence 1"):
        a_frame(client, sequence_id=1)


# ── together and statistics ──────────────────────────────────────────────────────────────────────────────────────


def counted(client, model):
    return client.get_inference_statistics(model)["model_stats"][0]


def test_requests_of_several_clients_share_runs_and_each_gets_its_own_rows(v2, client):
    before = counted(client, "pictures")
    asked = [{"images": noise(1 + n % 3, 3, SIDE, SIDE, seed=n)} for n in range(120)]
    with concurrent.futures.ThreadPoolExecutor(12) as crew:
        results = list(crew.map(lambda one: infer_alone(v2, "pictures", one), asked))
    for arrays, result in zip(asked[::10], results[::10], strict=True):
        alone = [bare(v2.files["pictures"], {"images": row[None]})["logits"] for row in arrays["images"]]
        assert_same(result, {"logits": np.concatenate(alone)})
    after = counted(client, "pictures")
    rows = sum(len(one["images"]) for one in asked)
    assert after["inference_count"] - before["inference_count"] == rows
    runs = after["execution_count"] - before["execution_count"]
    most = v2.client.get("/v1/models/pictures").json()["max_batch"]
    assert runs < rows if most > 1 else runs == rows
    by_size = {one["batch_size"]: one["compute_infer"]["count"] for one in after["batch_stats"]}
    assert sum(by_size.values()) == after["execution_count"]
    assert sum(size * runs for size, runs in by_size.items()) == after["inference_count"]
    assert max(by_size) <= most <= 8
    stats = after["inference_stats"]
    assert stats["success"]["ns"] >= stats["queue"]["ns"] + stats["compute_infer"]["ns"] > 0
    assert after["last_inference"] > (time.time() - 60) * 1000


def test_what_fails_is_counted_and_fails_alone(v2, client):
    before = counted(client, "picking")["inference_stats"]["fail"]["count"]

    def pick(index):
        try:
            return infer_alone(v2, "picking", {"index": np.array([index])}).as_numpy("rows")[0, 0]
        except InferenceServerException as error:
            return error.status()

    with concurrent.futures.ThreadPoolExecutor(4) as crew:
        assert list(crew.map(pick, [0, 1, 9, 2, 3, 9])) == [0, 3, "422", 6, 9, "422"]
    assert counted(client, "picking")["inference_stats"]["fail"]["count"] == before + 2


def test_statistics_are_of_a_version_or_of_all(client):
    every = {one["name"] for one in client.get_inference_statistics()["model_stats"]}
    assert {"pictures", "types"} <= every
    assert client.get_inference_statistics("pictures", "1")["model_stats"][0]["version"] == "1"
    with pytest.raises(InferenceServerException, match=r"\[404\]"):
        client.get_inference_statistics("nobody")


# ── the rest of the protocol ─────────────────────────────────────────────────────────────────────────────────────


def test_classes_are_told_by_value_and_index(client):
    arrays = {"images": noise(2, 3, SIDE, SIDE)}
    logits = client.infer("pictures", tensors(arrays)).as_numpy("logits")
    for binary in (True, False):
        wanted = [triton.InferRequestedOutput("logits", binary_data=binary, class_count=2)]
        said = client.infer("pictures", tensors(arrays), outputs=wanted).as_numpy("logits")
        texts = [text.decode() if isinstance(text, bytes) else text for text in said[:, 0]]
        assert [int(text.split(":")[1]) for text in texts] == logits.argmax(1).tolist()
        assert said.shape == (2, 2)


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
def test_a_request_may_be_packed(client, packing):
    arrays = {"images": noise(1, 3, SIDE, SIDE)}
    plain = client.infer("pictures", tensors(arrays)).as_numpy("logits")
    packed = client.infer("pictures", tensors(arrays), request_compression_algorithm=packing)
    assert packed.as_numpy("logits").tobytes() == plain.tobytes()


def test_a_deadline_that_has_passed_is_told(client):
    with pytest.raises(InferenceServerException, match=r"\[504\] Its deadline passed"):
        client.infer("pictures", tensors({"images": noise(1, 3, SIDE, SIDE)}), timeout=1)
    assert client.infer("pictures", tensors({"images": noise(1, 3, SIDE, SIDE)}), timeout=60_000_000, priority=1)


def test_a_dead_engine_is_told_and_the_next_request_is_answered(v2, client):
    a_frame(client, sequence_id=8, sequence_start=True)
    [engine] = v2.children("server.engine.process")
    os.kill(engine, signal.SIGKILL)

    def answered():
        try:
            return client.infer("pictures", tensors({"images": noise(1, 3, SIDE, SIDE)}))
        except InferenceServerException as error:
            if error.status() != "503":
                raise
            return None

    eventually(answered)
    with pytest.raises(InferenceServerException, match="There is no sequence 8"):
        a_frame(client, sequence_id=8)


# ── bad input ────────────────────────────────────────────────────────────────────────────────────────────────────


def asked(**changes):
    """A good request for `pictures`, with changes to its input."""
    data = [0.5] * (3 * SIDE * SIDE)
    return {"inputs": [{"name": "images", "shape": [1, 3, SIDE, SIDE], "datatype": "FP32", "data": data, **changes}]}


def binary(size=12 * SIDE * SIDE, **more):
    header = json.dumps(
        {"inputs": [{"name": "images", "shape": [1, 3, SIDE, SIDE], "datatype": "FP32"}]}
        | {"inputs": [{**asked()["inputs"][0], "parameters": {"binary_data_size": size}}]}
        | more
    )
    plain = json.loads(header)
    del plain["inputs"][0]["data"]
    return json.dumps(plain).encode()


RAW = bytes(12 * SIDE * SIDE)
BAD = {
    "no JSON": (b"{", {}, "request is not JSON"),
    "no object": (b"[]", {}, "not one of the protocol"),
    "empty": (b"", {}, "request is not JSON"),
    "no inputs": ({"inputs": []}, {}, "not one of the protocol"),
    "deep": (b'{"parameters": {"a": ' + b"[" * 100_000, {}, "not JSON"),
    "deep data": (b'{"inputs": [{"data": ' + b"[" * 100_000, {}, "not JSON"),
    "missing": ({"inputs": [asked(name="image")["inputs"][0]]}, {}, "has no input 'image'"),
    "twice": ({"inputs": asked()["inputs"] * 2}, {}, "is there twice"),
    "too many": ({"inputs": asked()["inputs"] * 300}, {}, "not one of the protocol"),
    "shape": (asked(shape=[1, SIDE, SIDE, 3]), {}, r"must have [-1, 3, 16, 16]"),
    "rank": (asked(shape=[3 * SIDE * SIDE]), {}, r"must have [-1, 3, 16, 16]"),
    "no rows": (asked(shape=[0, 3, SIDE, SIDE]), {}, "nothing is in it"),
    "negative": (asked(shape=[-1, 3, SIDE, SIDE]), {}, "not one of the protocol"),
    "huge shape": (asked(shape=[2**31, 3, SIDE, SIDE]), {}, "has the shape"),
    "datatype": (asked(datatype="FP64"), {}, "must be FP32"),
    "unknown datatype": (asked(datatype="FLOAT"), {}, "must be FP32"),
    "too few": (asked(data=[1.0]), {}, "has the shape [1]"),
    "too many values": (asked(data=[1.0] * 5000), {}, "has more than"),
    "text": (asked(data=["1"] * (3 * SIDE * SIDE)), {}, "is not FP32"),
    "null": (asked(data=[None] * (3 * SIDE * SIDE)), {}, "is not FP32"),
    "too large a number": (asked(data=[1e39] * (3 * SIDE * SIDE)), {}, "is not FP32"),
    "ragged": (asked(data=[[[[1.0]], [[1.0, 2.0]]]]), {}, "is not FP32"),
    "no data": ({"inputs": [{"name": "images", "shape": [1, 3, SIDE, SIDE], "datatype": "FP32"}]}, {}, "has no `data`"),
    "NaN": (json.dumps(asked()).replace("0.5", "NaN", 1).encode(), {}, "not JSON"),
    "output": ({**asked(), "outputs": [{"name": "boxes"}]}, {}, "has no output 'boxes'"),
    "sequence": ({**asked(), "parameters": {"sequence_id": -1}}, {}, "sequence_id is"),
    "timeout": ({**asked(), "parameters": {"timeout": "soon"}}, {}, "timeout is a whole number"),
    "flag": ({**asked(), "parameters": {"binary_data_output": 1}}, {}, "binary_data_output is true or false"),
    "shared memory": (asked(parameters={"shared_memory_region": "a"}), {}, "shared-memory extension is not there"),
    "header too long": (binary() + RAW, {HEADER: "999999999"}, "and the body has"),
    "header no number": (binary() + RAW, {HEADER: "ten"}, "and the body has"),
    "header negative": (binary() + RAW, {HEADER: "-5"}, "and the body has"),
    "header too short": (binary() + RAW, {HEADER: "10"}, "not JSON"),
    "header of 0": (binary() + RAW, {HEADER: "0"}, "not JSON"),
    "size too small": (binary(4) + RAW, {HEADER: str(len(binary(4)))}, "binary_data_size says 4"),
    "size too large": (binary(10**9) + RAW, {HEADER: str(len(binary(10**9)))}, "binary_data_size says"),
    "size no number": (binary("all") + RAW, {HEADER: str(len(binary("all")))}, "binary_data_size is a whole number"),
    "cut off": (binary() + RAW[:-1], {HEADER: str(len(binary()))}, "ends 1 bytes before"),
    "too much": (binary() + RAW + b"x", {HEADER: str(len(binary()))}, "1 bytes follow"),
    "not packed": (b"plain", {"Content-Encoding": "gzip"}, "cannot be unpacked"),
    "packed and cut": (gzip.compress(RAW)[:-9], {"Content-Encoding": "gzip"}, "ends too early"),
}


@pytest.mark.parametrize(("body", "headers", "said"), BAD.values(), ids=BAD)
def test_what_cannot_be_run_is_refused_with_the_reason(v2, body, headers, said):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = v2.client.post("/v2/models/pictures/infer", content=content, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert said in answer.json()["error"]
    assert answer.json()["code"] in ("body_invalid", "tensor_invalid")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("nobody/infer", 404, "model_not_found"),
        ("pictures/versions/9/infer", 404, "model_not_found"),
        ("pictures/versions/latest/infer", 404, "model_not_found"),
        ("pictures@1/versions/2/infer", 404, "model_not_found"),
        ("NOT%20A%20NAME/infer", 404, "model_not_found"),
        ("pictures/infere", 404, "not_found"),
    ],
)
def test_a_model_or_a_version_that_is_not_there_is_not_found(v2, path, status, code):
    answer = v2.client.post(f"/v2/models/{path}", content=json.dumps(asked()))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["error"]


def test_a_value_that_an_integer_type_does_not_have_is_refused(v2):
    for data in ([1.5], [True], [2**63], ["1"]):
        body = {"inputs": [{"name": "index", "shape": [1], "datatype": "INT64", "data": data}]}
        answer = v2.client.post("/v2/models/picking/infer", json=body)
        assert answer.status_code == 400, data
        assert "is not INT64" in answer.json()["error"]


def test_a_bool_is_nothing_but_0_and_1(client):
    arrays = {name: np.zeros((1, 2), name) for name in ("bool", "float16", "float32", "float64")}
    arrays |= {
        f"{sign}int{bits}": np.zeros((1, 2), f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)
    }
    sent = tensors(arrays)
    sent[0]._raw_data = b"\x01\x02"
    with pytest.raises(InferenceServerException, match="neither 0 nor 1"):
        client.infer("types", sent)


def test_more_bytes_than_are_taken_are_refused_before_they_are_sent(v2):
    answer = v2.client.post("/v2/models/pictures/infer", content=bytes(33554433))
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")


def test_more_json_than_is_read_is_refused(v2):
    answer = v2.client.post("/v2/models/pictures/infer", content=b" " * (17 * 2**20))
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
    assert "binary" in answer.json()["error"]


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
def test_a_bomb_is_refused_when_it_has_unfolded_as_far_as_a_request_may(v2, packing):
    pack = gzip.compress if packing == "gzip" else zlib.compress
    bomb = pack(bytes(200 * 2**20))
    assert len(bomb) < 2**20
    answer = v2.client.post("/v2/models/pictures/infer", content=bomb, headers={"Content-Encoding": packing})
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")


def test_a_packing_that_is_not_known_is_refused(v2):
    answer = v2.client.post("/v2/models/pictures/infer", content=b"x", headers={"Content-Encoding": "br"})
    assert (answer.status_code, answer.json()["code"]) == (415, "content_type_unsupported")


def test_a_tensor_that_no_slot_holds_is_refused_with_what_to_set(v2):
    array = noise(1, 1, 2100, 2100)
    body = json.dumps({"inputs": [{"name": "x", "shape": list(array.shape), "datatype": "FP32"}]})
    header = json.dumps(
        {
            **json.loads(body),
            "inputs": [{**json.loads(body)["inputs"][0], "parameters": {"binary_data_size": array.nbytes}}],
        }
    ).encode()
    answer = v2.client.post(
        "/v2/models/free/infer", content=header + array.tobytes(), headers={HEADER: str(len(header))}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
    assert "v2.shm_mb" in answer.json()["error"]


def test_a_model_is_not_loaded_with_what_a_client_sends(client):
    with pytest.raises(InferenceServerException, match=r"\[400\].*config"):
        client.load_model("pictures", config="{}")


def test_requests_beyond_what_may_be_under_way_are_refused_and_the_server_stays_quick(tmp_path):
    env = {"VIDSERVE_V2__REQUESTS": "2", "VIDSERVE_V2__SHM_MB": "8"}
    with serving(tmp_path / "data", env=env) as server:
        brought_in(server, "pictures", pictures())
        arrays = {"images": noise(512, 3, SIDE, SIDE)}

        def ask(_):
            try:
                return infer_alone(server, "pictures", arrays) and "200"
            except InferenceServerException as error:
                return error.status()

        with concurrent.futures.ThreadPoolExecutor(8) as crew:
            said = set(crew.map(ask, range(32)))
        assert said == {"200", "429"}
        held = Server.segments(server)
        assert any("tensors" in name for name in held)
        assert ask(0) == "200"
