import json

import msgspec
import pytest

from server.engine.tuning.choices import Choice, Choices, Subject


def subject(model="yolox", sha256="a" * 64, **changes):
    usual = {"machine": "cpu, 2 cores", "onnxruntime": "1.31.1", "provider": "cpu", "asked": "any"}
    return Subject(model=model, sha256=sha256, **{**usual, **changes})


def choice(**changes):
    usual = {"sessions": 2, "threads": 1, "max_batch": 4, "optimization": "all", "frames_s": 70.0, "run_s": 0.028}
    return Choice(**{**usual, **changes})


@pytest.fixture
def choices(tmp_path):
    return Choices(tmp_path / "data" / "tuning.json")


def test_a_choice_is_found_again_and_the_last_word_counts(choices, tmp_path):
    assert choices.find(subject()) is None
    choices.put(subject(), choice())
    choices.put(subject(model="other"), choice(threads=3))
    choices.put(subject(), choice(threads=2))
    again = Choices(tmp_path / "data" / "tuning.json")
    assert again.find(subject()) == (choice(threads=2), True)
    assert again.find(subject(model="other")) == (choice(threads=3), True)


def test_a_new_version_inherits_the_choice_of_the_one_measured_last(choices):
    choices.put(subject(sha256="a" * 64), choice(threads=1))
    choices.put(subject(sha256="b" * 64), choice(threads=2))
    assert choices.find(subject(sha256="c" * 64)) == (choice(threads=2), False)
    choices.put(subject(sha256="c" * 64), choice(threads=3))
    assert choices.find(subject(sha256="c" * 64)) == (choice(threads=3), True)


@pytest.mark.parametrize("other", ["model", "machine", "onnxruntime", "provider", "asked"])
def test_it_holds_for_nothing_else(choices, other):
    choices.put(subject(), choice())
    assert choices.find(msgspec.structs.replace(subject(), **{other: "another"})) is None


def test_the_oldest_go_when_there_are_too_many(choices):
    for number in range(205):
        choices.put(subject(model=f"m{number}"), choice())
    assert choices.find(subject(model="m4")) is None
    assert choices.find(subject(model="m5")) is not None


@pytest.mark.parametrize("content", [b"", b"no json", b'{"format": 1}', b"\xff", b'{"format": 2, "entries": []}'])
def test_a_file_that_says_nothing_counts_as_none_and_is_written_anew(choices, tmp_path, content):
    file = tmp_path / "data" / "tuning.json"
    file.parent.mkdir()
    file.write_bytes(content)
    assert choices.find(subject()) is None
    choices.put(subject(), choice())
    assert choices.find(subject()) == (choice(), True)
    assert json.loads(file.read_text())["format"] == 1


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(choices, tmp_path, monkeypatch):
    choices.put(subject(), choice())
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        choices.put(subject(), choice(threads=9))
    assert choices.find(subject()) == (choice(), True)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["tuning.json"]


def test_a_choice_in_words():
    assert choice().words == "2 sessions of 1 thread, batches of up to 4, optimisation all"
    assert choice(sessions=1, threads=2, max_batch=1).words == "1 session of 2 threads, no batches, optimisation all"


def test_how_fast_a_graph_is_holds_for_one_machine_and_provider(choices):
    choices.put(subject(asked="any"), choice(frames_s=70.0))
    choices.put(subject(asked="threads=1"), choice(frames_s=60.0))
    choices.put(subject(model="other", sha256="b" * 64), choice(frames_s=9.0))
    assert choices.frames_s("a" * 64, "cpu", "cpu, 2 cores") == 60.0
    assert choices.frames_s("a" * 64, "cuda", "cpu, 2 cores") is None
    assert choices.frames_s("a" * 64, "cpu", "cpu, 4 cores") is None
    assert choices.frames_s("c" * 64, "cpu", "cpu, 2 cores") is None
