"""Models over HTTP: in, taking over, out again; and what strangers send instead of models."""

import concurrent.futures
import json
import platform
import resource
import shutil
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper
from serving import Server, eventually, serving

sys.path.insert(0, str(Path(__file__).parents[1] / "model_export"))
from model_builders import doubling, saved, yolox_like
from wicked_builders import (
    a_link,
    bomb,
    crashing,
    endless,
    greedy,
    pointing_to,
    with_entry,
    with_weights_beside,
    zipped,
)

LABELS = "car\nbus\nperson"
YOLOX = {"family": "yolox", "labels": LABELS}
CHILD = "model_export.import_process"


def picture():
    _, encoded = cv2.imencode(".png", np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8))
    return encoded.tobytes()


def post(server, file, name=None, **fields):
    """An import, as it was accepted."""
    answer = server.client.post("/v1/models", files={"file": (name or file.name, file.read_bytes())}, data=fields)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/imports/{answer.json()['id']}"
    return answer.json()


def ended(server, one):
    def end():
        answer = server.client.get(f"/v1/imports/{one['id']}", params={"wait": 10}).json()
        return answer if answer["state"] != "importing" else None

    return eventually(end, seconds=120)


def bring_in(server, file, name=None, **fields):
    done = ended(server, post(server, file, name, **fields))
    assert done["state"] == "done", done
    return done["model"]


def predict(server, name):
    return server.client.post(f"/v1/models/{name}/predict", content=picture(), headers={"Content-Type": "image/png"})


def left_behind(server):
    """Files of imports and uploads, what is known of the former aside."""
    found = [path for kind in ("imports", "uploads") for path in (server.data / kind).rglob("*") if path.is_file()]
    return [path for path in found if path.name != "import.json"]


def test_an_onnx_file_is_brought_in_and_answers(server, tmp_path, few_frames):
    file = saved(yolox_like(), tmp_path, "Street Net.onnx")
    done = ended(server, post(server, file, **YOLOX))
    assert (done["state"], done["model"]) == ("done", "street-net@1")
    assert any("Parity shown" in line for line in done["lines"])
    row = predict(server, "street-net").json()
    assert row["model"] == "street-net@1"
    assert {found["label"] for found in row["objects"]} <= set(LABELS.split("\n"))
    job = server.wait(server.post(few_frames, model="street-net"))
    assert (job["state"], job["model"]) == ("done", "street-net@1")
    assert left_behind(server) == []


def test_a_bundle_travels_from_one_server_to_another_byte_for_byte(server, tmp_path):
    reference = bring_in(server, saved(yolox_like(), tmp_path, "travel.onnx"), **YOLOX)
    here = server.data / "models/travel/1"
    with serving(tmp_path / "other") as other:
        file = zipped(here, tmp_path / "travel.zip")
        assert bring_in(other, file) == reference
        there = other.data / "models/travel/1"
        for path in here.iterdir():
            assert (there / path.name).read_bytes() == path.read_bytes()
        assert predict(other, "travel").json() == predict(server, "travel").json()
        assert bring_in(other, file) == reference  # the same again is the same model


def test_a_new_version_takes_over_and_no_request_fails_meanwhile(server, tmp_path):
    file = saved(yolox_like(), tmp_path, "succession.onnx")
    bring_in(server, file, **YOLOX)
    assert predict(server, "succession").status_code == 200
    seen, over = [], False

    def ask():
        while not over:
            answer = predict(server, "succession")
            seen.append(answer.json()["model"] if answer.status_code == 200 else answer.text)

    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(ask) for _ in range(2)]
        try:
            bring_in(server, file, **YOLOX)
            eventually(lambda: seen[-1] == "succession@2")
        finally:
            over = True
    for one in asking:
        one.result()
    assert set(seen) == {"succession@1", "succession@2"}

    def states():
        items = server.client.get("/v1/models", params={"limit": 200}).json()["items"]
        return {f"{m['name']}@{m['version']}": (m["state"], m["default"]) for m in items}

    eventually(lambda: states()["succession@1"] == ("unloaded", False))
    assert states()["succession@2"] == ("ready", True)
    server.client.put("/v1/models/succession@1/default").raise_for_status()
    assert predict(server, "succession").json()["model"] == "succession@1"


def test_a_model_is_removed_when_no_job_needs_it(server, tmp_path, long_video):
    bring_in(server, saved(yolox_like(), tmp_path, "passing.onnx"), **YOLOX)
    job = server.post(long_video, model="passing")
    eventually(lambda: server.rows(job))
    refused = server.client.delete("/v1/models/passing")
    assert (refused.status_code, refused.json()["code"]) == (409, "model_in_use")
    server.client.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()
    assert server.wait(job)["state"] == "cancelled"
    assert server.client.delete("/v1/models/passing").status_code == 204
    gone = server.client.delete("/v1/models/passing")
    assert (gone.status_code, gone.json()["code"]) == (404, "model_not_found")
    assert predict(server, "passing").status_code == 404
    assert not (server.data / "models/passing").exists()
    assert server.rows(job)  # what it found stays
    shipped = server.client.delete("/v1/models/moving-objects")
    assert (shipped.status_code, shipped.json()["code"]) == (409, "model_read_only")


def test_a_version_that_was_removed_can_be_another_model_when_it_comes_again(server, tmp_path):
    file = saved(yolox_like(), tmp_path, "again.onnx")
    bring_in(server, file, **YOLOX)
    first = predict(server, "again").json()
    server.client.delete("/v1/models/again").raise_for_status()
    assert bring_in(server, file, family="yolox", labels="one\ntwo\nthree") == "again@1"
    second = predict(server, "again").json()
    names = dict(zip(LABELS.split("\n"), ("one", "two", "three"), strict=True))
    assert [names[found["label"]] for found in first["objects"]] == [found["label"] for found in second["objects"]]


def test_the_model_where_none_is_named_can_be_chosen(tmp_path, few_frames):
    with serving(tmp_path / "data") as server:
        bring_in(server, saved(yolox_like(), tmp_path, "chosen.onnx"), **YOLOX)
        assert server.client.put("/v1/models/chosen/server-default").json()["server_default"] is True
        assert server.wait(server.post(few_frames))["model"] == "chosen@1"
        server.client.delete("/v1/models/chosen").raise_for_status()
        assert server.wait(server.post(few_frames))["model"] == "moving-objects@1"


def changed(server, tmp_path, change):
    """A good bundle as zip, with its folder changed first."""
    folder = tmp_path / "changed"
    shutil.copytree(server.data / "models/good/1", folder)
    change(folder)
    return zipped(folder, tmp_path / "bundle.zip")


def another_manifest(folder):
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["inputs"][0]["shape"] = [None, 32, 32, 3]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def text(folder):
    (folder / "notes.zip").write_text("not a zip")
    return folder / "notes.zip"


def truncated(folder):
    file = saved(yolox_like(), folder)
    file.write_bytes(file.read_bytes()[:-1000])
    return file


def elsewhere(folder, location):
    return pointing_to(with_weights_beside(folder / "net"), location)


RAW = {"family": "raw", "name": "stranger"}


@pytest.mark.parametrize(
    ("make", "fields", "code"),
    [
        (lambda s, t: with_entry(changed(s, t, lambda f: None), "../evil"), {}, "bundle_invalid"),
        (lambda s, t: with_entry(changed(s, t, lambda f: None), "/evil"), {}, "bundle_invalid"),
        (lambda s, t: with_entry(changed(s, t, lambda f: None), a_link(), b"/etc/passwd"), {}, "bundle_invalid"),
        (lambda s, t: changed(s, t, lambda f: (f / "model.onnx").write_bytes(b"x")), {}, "bundle_invalid"),
        (lambda s, t: changed(s, t, another_manifest), {}, "bundle_invalid"),
        (lambda s, t: changed(s, t, lambda f: (f / "manifest.json").unlink()), {}, "manifest_invalid"),
        (lambda s, t: bomb(t / "bomb.zip"), {}, "bundle_invalid"),
        (lambda s, t: text(t), {}, "bundle_invalid"),
        (lambda s, t: truncated(t), RAW, "import_refused"),
        (lambda s, t: elsewhere(t, "/etc/passwd"), RAW, "import_refused"),
        (lambda s, t: elsewhere(t, "../../import.json"), RAW, "import_refused"),
        (lambda s, t: saved(yolox_like(), t), {**YOLOX, "labels": "car"}, "import_refused"),
        (lambda s, t: saved(doubling(), t), YOLOX, "import_refused"),
        (lambda s, t: saved(doubling(), t), {"family": "raw", "name": "moving-objects"}, "task_differs"),
        pytest.param(
            lambda s, t: saved(crashing(), t),
            RAW,
            "import_crashed",
            marks=pytest.mark.skipif(platform.machine() != "x86_64", reason="others divide that without a word"),
        ),
    ],
    ids=[
        *("outside", "absolute", "link", "hash", "other-graph", "no-manifest", "bomb", "no-zip", "truncated"),
        *("weights-absolute", "weights-outside", "labels", "other-family", "other-task", "crash"),
    ],
)
def test_what_is_no_model_is_failed_with_a_reason_and_leaves_nothing(server, good, tmp_path, make, fields, code):
    models = server.client.get("/v1/models", params={"limit": 200}).json()
    failed = ended(server, post(server, make(server, tmp_path), **fields))
    assert (failed["state"], failed["error"]["code"]) == ("failed", code), failed
    assert failed["error"]["message"]
    assert str(server.data) not in failed["error"]["message"]
    assert left_behind(server) == []
    assert not list(server.data.rglob("evil"))
    assert server.client.get("/v1/models", params={"limit": 200}).json() == models
    assert server.client.get("/health/ready").status_code == 200


@pytest.fixture(scope="module")
def good(server, tmp_path_factory):
    return bring_in(server, saved(yolox_like(), tmp_path_factory.mktemp("good"), "good.onnx"), **YOLOX)


def test_an_import_that_takes_too_long_is_ended(tmp_path):
    with serving(tmp_path / "data", env={"VIDSERVE_IMPORTS__TIMEOUT_S": "2"}) as server:
        stuck = post(server, saved(endless(), tmp_path), **RAW)
        assert ended(server, stuck)["error"]["code"] == "import_timeout"
        assert server.children(CHILD) == []


def test_a_model_that_wants_too_much_memory_is_taken_as_it_came(tmp_path):
    with serving(tmp_path / "data", env={"VIDSERVE_IMPORTS__MEMORY_MB": "512"}) as server:
        done = ended(server, post(server, saved(greedy(), tmp_path), **RAW))
        assert done["state"] == "done", done  # without a sample: it did not run here
        assert any("no golden samples" in line for line in done["lines"])
        assert server.children(CHILD) == []


def test_what_was_accepted_goes_on_after_the_server_was_killed(tmp_path):
    server = Server(tmp_path / "data")
    server.wait_ready()
    stuck = post(server, saved(endless(), tmp_path), **RAW)
    waiting = post(server, saved(yolox_like(), tmp_path, "waiting.onnx"), **YOLOX)
    [child] = eventually(lambda: server.children(CHILD))
    server.kill()
    eventually(lambda: not alive(child), seconds=8)
    with serving(tmp_path / "data") as again:
        assert again.client.get(f"/v1/imports/{stuck['id']}").json()["state"] == "importing"
        assert again.client.delete(f"/v1/imports/{stuck['id']}").status_code == 204
        assert ended(again, waiting)["model"] == "waiting@1"
        assert again.client.get(f"/v1/imports/{stuck['id']}").status_code == 404
        assert left_behind(again) == []


def alive(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_server_that_stops_takes_its_import_with_it(tmp_path):
    server = Server(tmp_path / "data")
    server.wait_ready()
    post(server, saved(endless(), tmp_path), **RAW)
    [child] = eventually(lambda: server.children(CHILD))
    assert server.stop() == 0
    assert not alive(child)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are Linux's")
def test_a_full_disk_is_told_and_forgotten(tmp_path):
    with serving(tmp_path / "data") as server:
        bring_in(server, saved(yolox_like(), tmp_path, "small.onnx"), **YOLOX)
        wide = doubling()
        wide.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1 << 20, np.float32), "zeros"))
        wide.graph.node.append(helper.make_node("Identity", ["zeros"], ["unused"]))
        large = saved(wide, tmp_path, "large.onnx")
        packed = tmp_path / "large.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(large, "large.onnx")
        before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1 << 20, before[1]))
        answer = server.client.post("/v1/models", files={"file": ("l.onnx", large.read_bytes())}, data=RAW)
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
        failed = ended(server, post(server, packed, **RAW))
        assert failed["error"]["code"] == "storage_full", failed
        assert left_behind(server) == []
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
        assert bring_in(server, packed, **RAW) == "stranger@1"
