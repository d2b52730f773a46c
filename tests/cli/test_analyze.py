from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from model_export.errors import VidserveError
from server.api.conversion import Format
from server.cli import app
from server.commands.analyze import Wish, WishUnclear, run
from server.commands.live import Login
from server.commands.videos import find_videos
from server.core.settings import Settings


def moving_square(path: Path, *, frames: int = 60) -> Path:
    """A bright square that crosses a grey room after two seconds, at 10 frames a second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (192, 108))
    for number in range(frames):
        frame = np.full((108, 192, 3), 90, np.uint8)
        x = (number - 20) * 5
        if x >= 0:
            cv2.rectangle(frame, (x, 40), (x + 30, 70), (240, 240, 240), -1)
        writer.write(frame)
    writer.release()
    return path


def wish(output: Path | None = None, *, model: str | None = None, form: str | None = None) -> Wish:
    return Wish.of(model, None, None, None, None, None, output, form)


@pytest.mark.parametrize(
    ("output", "form", "expected"),
    [
        (None, None, Format.NDJSON),
        ("rows.csv", None, Format.CSV),
        ("rows.json", None, Format.COCO),
        ("rows.txt", None, Format.MOT),
        ("rows.csv", "mot", Format.MOT),
        ("folder", None, Format.NDJSON),
    ],
)
def test_the_format_is_the_one_asked_for_else_by_the_ending(
    output: str | None, form: str | None, expected: Format
) -> None:
    assert wish(Path(output) if output else None, form=form).form is expected


def test_options_that_cannot_be_are_named() -> None:
    with pytest.raises(WishUnclear, match="no format 'xml'"):
        wish(form="xml")
    with pytest.raises(WishUnclear, match="model: "):
        wish(model="No Such Name!")


def test_one_video_goes_into_a_file_or_a_folder(tmp_path: Path) -> None:
    assert wish(tmp_path / "rows.csv").target("a", alone=True) == tmp_path / "rows.csv"
    assert wish(tmp_path).target("a", alone=True) == tmp_path / "a.ndjson"
    assert wish(tmp_path / "new").target("a", alone=False) == tmp_path / "new" / "a.ndjson"


def test_several_videos_do_not_go_into_one_file(tmp_path: Path) -> None:
    words = [str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")]
    for word in words:
        Path(word).touch()
    (tmp_path / "rows.csv").touch()
    assert len(find_videos(words)) == 2
    with pytest.raises(WishUnclear, match="is one file"):
        run(words, wish(tmp_path / "rows.csv"), Settings())
    with pytest.raises(WishUnclear, match="standard output"):
        run(words, wish(Path("-")), Settings())


@pytest.mark.slow
def test_videos_are_analysed_and_one_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    good = moving_square(tmp_path / "square.mp4")
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    out = tmp_path / "rows"
    data = tmp_path / "data"
    words = ["analyze", str(good), str(tmp_path / "broken.mp4"), "-o", str(out), "--data", str(data)]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 1, done.output
    assert "broken" in done.stderr
    rows = [json.loads(line) for line in (out / "square.ndjson").read_text().splitlines()]
    assert [row["frame"] for row in rows] == list(range(60))
    assert any(thing["label"] == "moving" for row in rows for thing in row["objects"])
    assert not (out / "broken.ndjson").exists()
    assert "moving" in done.stdout
    assert not data.exists()


@pytest.mark.parametrize(
    ("words", "output", "form", "message"),
    [
        (["rtsp://camera/a", "rtsp://camera/b"], None, None, "analysed alone"),
        (["video.mp4", "rtsp://camera/a"], None, None, "analysed alone"),
        (["rtsp://camera/a"], "rows.json", None, "coco has an end"),
        (["/dev/video0"], "-", "coco", "coco has an end"),
        (["rtsps://camera/a"], ".", None, "is a folder"),
    ],
)
def test_a_live_source_is_alone_and_goes_into_a_file_that_needs_no_end(
    words: list[str], output: str | None, form: str | None, message: str
) -> None:
    with pytest.raises(WishUnclear, match=message):
        run(words, wish(Path(output) if output else None, form=form), Settings())


def test_of_what_nobody_says_nothing_is_said_to_a_stream() -> None:
    """A stream looks at five frames a second then, a job at all."""
    assert "sample_fps" not in wish().analysis.model_fields_set


def test_the_password_of_a_camera_is_never_part_of_the_command() -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "typed"

    assert Login.of("viewer", {"VIDSERVE_CAMERA_PASSWORD": "said"}, ask) == ("viewer", "said")
    assert not asked
    assert Login.of("viewer", {}, ask) == ("viewer", "typed")
    assert "viewer" in asked[0]


def test_a_camera_is_opened_with_the_credentials_that_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDSERVE_CAMERA_PASSWORD", "ge#heim")
    answer = CliRunner().invoke(app, ["analyze", "rtsp://other@127.0.0.1:1/a", "--username", "viewer"])
    assert isinstance(answer.exception, VidserveError)
    assert "another one in `url`" in str(answer.exception)


def test_a_username_is_of_a_camera_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDSERVE_CAMERA_PASSWORD", "said")
    with pytest.raises(WishUnclear, match="--username is of a camera"):
        run(["a.mp4"], wish(), Settings(), username="viewer")
    with pytest.raises(WishUnclear, match="username"):
        run(["rtsp://camera/a"], wish(), Settings(data=tmp_path), username="\n")
