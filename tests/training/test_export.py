"""Tiny runs that really were trained, for one epoch, and what they become."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from shape_runs import FRAMES, NETS, SIDE, recipe
from typer.testing import CliRunner

from model_export.bundle import Bundle
from model_export.check import check_bundle
from model_export.errors import ExportRefused
from model_export.playing import play
from model_export.repository import Repository
from model_export.session import Session
from training.configuration import read
from training.data.frame_spec import FrameSpec
from training.data.loading import load_data
from training.errors import ModelUnsuitable, NothingToResume
from training.evaluation.opening import open_model
from training.export.bundling import export_run
from training.export.cli import app
from training.export.upload import Server, UploadFailed, key_of
from training.fit import fit
from training.recipe import Recipe


def validation(run_folder, kind):
    return load_data(recipe(kind, run_folder.parent / "cache").data, run_folder).validation


def in_colour(clips):
    """Grey clips as the server gives frames: three channels."""
    return np.repeat(clips.numpy(), 3, axis=-1)


def net_of(run_folder, kind):
    from training.checkpoints import weights_of
    from training.compose import compose

    made = recipe(kind, run_folder)
    net = compose(made.net, made.looks_at, 5).eval()
    net.load_state_dict(weights_of(run_folder / "best.ckpt"))
    return net


def test_a_recurrent_run_becomes_a_frame_model_that_answers_as_the_net_at_every_frame(run, bundle):
    exported = bundle("gru")
    clips = validation(run("gru"), "gru").batch(range(4), 0).frames

    session = Session(exported.model, name="gru")
    answers = play(session.run, in_colour(clips), "frames", exported.manifest.state)

    with torch.no_grad():
        expected = net_of(run("gru"), "gru").in_time(clips).softmax(-1).numpy()
    got = np.stack([answer["probabilities"] for answer in answers], axis=1)
    np.testing.assert_allclose(got, expected, atol=1e-4, rtol=0)
    assert exported.manifest.kind == "frame"
    assert exported.manifest.fps == 10


def test_a_run_that_looks_at_later_frames_becomes_a_model_of_clips(run, bundle):
    exported = bundle("window")
    clips = validation(run("window"), "window").batch(range(4), 0).frames

    got = Session(exported.model, name="window").run({"frames": in_colour(clips)})["probabilities"]

    with torch.no_grad():
        expected = net_of(run("window"), "window")(clips).softmax(-1).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-4, rtol=0)
    assert (exported.manifest.kind, exported.manifest.window) == ("clip", FRAMES)


def test_a_recurrent_run_can_be_shown_whole_clips_too(run, tmp_path):
    said = CliRunner().invoke(app, [str(run("gru")), "--data", str(tmp_path), "--window"])
    assert said.exit_code == 0, said.output
    exported = Repository(tmp_path / "models").resolve("shapes-gru")
    clips = validation(run("gru"), "gru").batch(range(4), 0).frames

    got = Session(exported.model, name="gru").run({"frames": in_colour(clips)})["probabilities"]

    with torch.no_grad():
        expected = net_of(run("gru"), "gru")(clips).softmax(-1).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-4, rtol=0)
    assert (exported.manifest.kind, exported.manifest.window) == ("clip", FRAMES)


def test_a_run_of_pictures_becomes_a_model_of_pictures(bundle):
    manifest = bundle("picture").manifest

    assert (manifest.kind, manifest.state, manifest.window, manifest.fps) == ("frame", (), None, None)


@pytest.mark.parametrize("kind", list(NETS))
def test_its_bundle_is_whole_and_says_what_it_usually_sees(bundle, kind):
    exported = bundle(kind)

    assert "golden samples agree" in check_bundle(exported)
    counted = json.loads((exported.folder / "reference.json").read_text())
    assert counted["frames"] > 0
    assert set(counted["classes"]) == {"left", "right", "grow", "shrink", "spin"}


def test_its_manifest_says_where_it_came_from(run, bundle):
    manifest = bundle("gru").manifest

    assert manifest.provenance.seed == 3
    assert "particle: gru" in (manifest.provenance.config or "")
    assert manifest.provenance.data_sha256 == json.loads((run("gru") / "run.json").read_text())["fingerprint"]
    assert "trained with torch" in manifest.provenance.versions
    assert 0 <= manifest.metrics["accuracy"] <= 1


def test_a_report_goes_along(run, tmp_path):
    folder = run("picture")
    (folder / "report").mkdir()
    (folder / "report" / "index.html").write_text("<p>fine</p>")

    exported = export_run(folder, Repository(tmp_path))

    assert (exported.folder / "report" / "index.html").read_text() == "<p>fine</p>"


def test_a_run_without_a_finished_epoch_is_refused(run, tmp_path):
    (tmp_path / "recipe.yaml").write_text((run("gru") / "recipe.yaml").read_text())

    with pytest.raises(NothingToResume, match="not one finished epoch"):
        export_run(tmp_path, Repository(tmp_path / "models"))


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(NothingToResume, match="is no run"):
        export_run(tmp_path, Repository(tmp_path / "models"))


def test_the_command_writes_the_next_version_into_a_data_folder(run, tmp_path):
    asked = [str(run("picture")), "--data", str(tmp_path), "--name", "shapes"]

    said = CliRunner().invoke(app, asked)

    assert said.exit_code == 0, said.output
    assert "shapes@1 is in" in said.output
    assert Repository(tmp_path / "models").resolve("shapes").manifest.name == "shapes"


class FakeServer:
    """Answers as a server to which models are brought.

    Attributes:
        sent: bodies of what was posted.
        keys: that came.
    """

    def __init__(self, *, versions: list[int] | None = None, refusal: str = "", key: str = "") -> None:
        self.sent: list[bytes] = []
        self.keys: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                if self.path.startswith("/v1/imports"):
                    error = {"code": "bundle_invalid", "message": refusal}
                    ended = {"state": "failed", "error": error} if refusal else {"state": "done", "model": "shapes@4"}
                    self.answer(200, {"id": "i1", **ended})
                elif versions is None:
                    self.answer(404, {"code": "model_not_found", "detail": "There is none."})
                else:
                    self.answer(200, {"versions": versions})

            def do_POST(self) -> None:
                outer.sent.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(202, {"id": "i1", "state": "importing"})

            def answer(self, status: int, body: dict) -> None:
                outer.keys.append(self.headers.get("Authorization"))
                if key and self.headers.get("Authorization") != f"Bearer {key}":
                    status, body = 401, {"code": "key_missing", "detail": "This server wants a key."}
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server():
    """Makes a `FakeServer`, closed at the end."""
    with contextlib.ExitStack() as stack:

        def making(**options) -> FakeServer:
            made = FakeServer(**options)
            stack.callback(made.close)
            return made

        yield making


def test_the_command_sends_the_version_after_the_servers(run, server, tmp_path):
    fake = server(versions=[1, 3], key="secret")
    (tmp_path / "key").write_text("secret\n")

    said = CliRunner().invoke(app, [str(run("picture")), "--to", fake.url, "--key-file", str(tmp_path / "key")])

    assert said.exit_code == 0, said.output
    assert "shapes@4 is at" in said.output
    assert b'"version": 4' in fake.sent[0]
    assert set(fake.keys) == {"Bearer secret"}


def test_a_model_that_a_server_does_not_have_begins_at_one(server):
    with contextlib.closing(Server(server().url, None)) as there:
        assert there.next_version("shapes") == 1


def test_what_a_server_refuses_is_told_in_its_words(server, bundle):
    there = Server(server(refusal="Its files are not whole.").url, None)

    with contextlib.closing(there), pytest.raises(UploadFailed, match="Its files are not whole"):
        there.send(bundle("picture"))


def test_a_server_that_wants_a_key_says_so(server):
    there = Server(server(key="secret").url, "wrong")

    with contextlib.closing(there), pytest.raises(UploadFailed, match=r"wants a key.*--key-file"):
        there.next_version("shapes")


def test_no_server_is_an_error_with_its_address():
    there = Server("http://127.0.0.1:9", None)

    with contextlib.closing(there), pytest.raises(UploadFailed, match=r"127\.0\.0\.1:9 does not answer"):
        there.next_version("shapes")


def test_the_key_is_the_files_else_the_environments(tmp_path):
    (tmp_path / "key").write_text("of the file\n")

    assert key_of(tmp_path / "key", {"VIDSERVE_ADMIN_KEY": "other"}) == "of the file"
    assert key_of(None, {"VIDSERVE_ADMIN_KEY": "of the environment"}) == "of the environment"
    assert key_of(None, {}) is None
    with pytest.raises(UploadFailed, match="Name the file"):
        key_of(tmp_path / "none", {})


def test_a_run_of_numbers_has_no_task_in_a_bundle(tmp_path):
    from data_builders import picture, save

    rows = ["path,weight"]
    for number in range(12):
        save(tmp_path / f"{number}.png", picture(20 * number))
        rows.append(f"{number}.png,{number}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    given = {
        "name": "weights",
        "data": {
            "source": {"kind": "numbers", "path": str(tmp_path / "table.csv")},
            "input": {"width": 16, "height": 16},
            "cache": {"folder": str(tmp_path / "cache"), "workers": 0},
        },
        "net": NETS["picture"],
        "fit": {"epochs": 1, "batch": 8, "device": "cpu"},
    }
    fit(read(Recipe, given), tmp_path / "run", lambda recipe, place: load_data(recipe.data, place))

    with pytest.raises(ExportRefused, match="learnt numbers"):
        export_run(tmp_path / "run", Repository(tmp_path / "models"))


def test_a_model_with_a_state_is_asked_about_as_many_frames_as_it_was_trained_on(bundle):
    for predictor in (open_model(bundle("gru").folder), open_model(bundle("gru").model)):
        assert (predictor.input.frames, predictor.input.fps) == (FRAMES, 10)
    assert open_model(bundle("window").folder).input.fps == 10
    said = open_model(bundle("gru").folder, input=FrameSpec(width=SIDE, height=SIDE, frames=3))
    assert (said.input.frames, said.input.fps) == (3, None)


@pytest.mark.parametrize("config", [None, "rate: 0.1", "just words", "data: {input: {frames: many}}", "a: [", "- 1"])
def test_a_model_with_a_state_that_does_not_say_how_many_frames_is_not_asked_about_one(bundle, tmp_path, config):
    exported = bundle("gru")
    provenance = exported.manifest.provenance.model_copy(update={"config": config})
    manifest = exported.manifest.model_copy(update={"provenance": provenance})
    unknown = Bundle.write(tmp_path / "unknown", manifest, {"model.onnx": exported.model})
    with pytest.raises(ModelUnsuitable, match="nothing in it says how many frames") as told:
        open_model(unknown.folder)
    assert "--data RUN" in str(told.value.hint)
