import msgspec
import numpy as np
import pytest
from analytics_builders import MOVING_OBJECTS, box

from model_export.bundle import Bundle
from model_export.manifest import FrameInput, Manifest, Provenance, Resize, Task, TensorSpec
from server.analytics.scene import Moment, Scene
from server.domain.analysis import Analysis
from server.domain.event import Event
from server.domain.result import Row

Outputs = dict[str, np.ndarray]


def manifest(task: Task, **more: object) -> Manifest:
    return Manifest(
        name="model",
        version=3,
        task=task,
        family="test",
        input=FrameInput(width=320, height=160, resize=Resize.STRETCH),
        inputs=(TensorSpec(name="frames", dtype="uint8", shape=(None, 160, 320, 3)),),
        outputs=(),
        labels=more.pop("labels", ("person", "bicycle", "car")),
        provenance=Provenance(tool="test"),
        **more,
    )


def detected(
    *boxes: tuple[float, float, float, float], classes: list[int], scores: list[float] | None = None
) -> Outputs:
    return {
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "scores": np.array(scores or [0.9] * len(boxes), np.float32),
        "class_ids": np.array(classes, np.int64),
    }


def moment(frame: int) -> Moment:
    """Of a video of 640 × 320 pixels at 10 frames a second."""
    return Moment(frame, frame / 10, 640, 320)


def drive(frame: int) -> Outputs:
    """A car from left to right, and a person who is there for the first second."""
    car, person = box(4.0 * frame, 40, 60, 30), box(200, 60, 15, 40)
    return detected(car, person, classes=[2, 0]) if frame < 10 else detected(car, classes=[2])


def test_objects_are_in_pixels_of_the_source_and_carry_their_track() -> None:
    scene = Scene(manifest(Task.DETECT), Analysis(), owner="job-1")
    first, _ = scene.see(moment(0), scene.read(drive(0)))
    row, events = scene.see(moment(1), scene.read(drive(1)))
    assert [(one.label, one.class_id, one.track_id, one.box) for one in row.objects] == [
        ("car", 2, 1, (8, 80, 128, 140)),
        ("person", 0, 2, (400, 120, 430, 200)),
    ]
    assert [one.track_id for one in first.objects] == [msgspec.UNSET, msgspec.UNSET]
    assert (row.frame, row.pts_s, row.width, row.height, row.model) == (1, 0.1, 640, 320, "model@3")
    assert [(event.id, event.type, event.track_id, event.label) for event in events] == [
        ("job-1-1", "track_started", 1, "car"),
        ("job-1-2", "track_started", 2, "person"),
    ]
    assert row.events == [1, 2]


def test_who_left_ends_after_a_while_and_who_is_left_ends_with_the_video() -> None:
    scene = Scene(manifest(Task.DETECT), Analysis(), owner="job-1")
    events = [
        event for frame in range(40) for event in scene.see(moment(frame), scene.read(drive(frame)))[1]
    ] + scene.end()
    ended = [(event.label, event.pts_s, event.value) for event in events if event.type == "track_ended"]
    assert ended == [("person", 0.9, 0.8), ("car", 3.9, 3.8)]
    assert scene.summary() == {
        "car": {"frames": 40, "most_at_once": 1, "tracks": 1, "first_s": 0.0, "last_s": 3.9},
        "person": {"frames": 10, "most_at_once": 1, "tracks": 1, "first_s": 0.0, "last_s": 0.9},
    }


def test_a_track_of_one_frame_every_five_seconds_starts_and_ends_once() -> None:
    scene = Scene(manifest(Task.DETECT), Analysis(), owner="job-1")
    there = detected(box(40, 40, 60, 30), classes=[2])
    seen = [there] * 3 + [detected(classes=[])] + [there] * 2 + [detected(classes=[])] * 3
    events = [
        event
        for frame, outputs in enumerate(seen)
        for event in scene.see(Moment(frame, 5.0 * frame, 640, 320), scene.read(outputs))[1]
    ]
    assert [(event.type, event.track_id, event.pts_s) for event in events] == [
        ("track_started", 1, 5.0),
        ("track_ended", 1, 25.0),
    ]


def test_only_the_labels_asked_for_are_seen() -> None:
    scene = Scene(manifest(Task.DETECT), Analysis(labels=("person",)), owner="job-1")
    row, _ = scene.see(moment(0), scene.read(drive(0)))
    assert [one.label for one in row.objects] == ["person"]


def test_nothing_is_tracked_where_that_is_not_wanted() -> None:
    scene = Scene(manifest(Task.DETECT), Analysis(track=False), owner="job-1")
    rows = [scene.see(moment(frame), scene.read(drive(frame))) for frame in range(3)]
    assert [one.track_id for row, _ in rows for one in row.objects] == [msgspec.UNSET] * 6
    assert [events for _, events in rows] == [[], [], []]
    assert "tracks" not in scene.summary()["car"]


def test_a_classifier_says_its_best_labels() -> None:
    scene = Scene(manifest(Task.CLASSIFY), Analysis(), owner="job-1")
    row, events = scene.see(moment(0), scene.read({"probabilities": np.array([0.1, 0.7, 0.2], np.float32)}))
    assert [one.label for one in row.classes] == ["bicycle", "car", "person"]
    assert (row.objects, events) == (msgspec.UNSET, [])


def classified(analysis: Analysis, *frames: list[float], **more: object) -> tuple[list[list[str]], dict[str, int]]:
    """The labels of each frame's row, and in how many frames the summary counts each label."""
    scene = Scene(manifest(Task.CLASSIFY, **more), analysis, owner="job-1")
    rows = [
        scene.see(moment(frame), scene.read({"probabilities": np.array(probabilities, np.float32)}))[0]
        for frame, probabilities in enumerate(frames)
    ]
    return [[one.label for one in row.classes] for row in rows], {
        label: counted["frames"] for label, counted in scene.summary().items()
    }


def test_where_labels_exclude_each_other_a_frame_counts_for_the_likeliest_and_only_if_it_is_asked_for() -> None:
    frames = [0.9, 0.08, 0.02], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1]
    assert classified(Analysis(), *frames)[1] == {"person": 2, "bicycle": 1}
    only = Analysis(labels=("bicycle", "car"))
    assert classified(only, *frames) == ([["bicycle", "car"]] * 3, {"bicycle": 1})


def test_labels_that_are_asked_for_are_shown_however_many_others_are_likelier() -> None:
    labels = tuple("abcdefg")
    unlikely = classified(Analysis(labels=("g", "f")), [0.3, 0.2, 0.15, 0.12, 0.11, 0.07, 0.05], labels=labels)
    assert unlikely == ([["f", "g"]], {})
    assert classified(Analysis(), [0.3, 0.2, 0.15, 0.12, 0.11, 0.07, 0.05], labels=labels)[0] == [list("abcde")]


def test_where_labels_do_not_exclude_each_other_those_found_and_asked_for_are_shown_and_counted() -> None:
    frames = [0.9, 0.8, 0.1], [0.2, 0.7, 0.6]
    several = classified(Analysis(labels=("person", "car"), confidence=0.5), *frames, multi_label=True)
    assert several == ([["person"], ["car"]], {"person": 1, "car": 1})


def test_a_scene_without_objects_has_an_empty_row() -> None:
    scene = Scene(manifest(Task.DETECT), Analysis(), owner="job-1")
    row, _ = scene.see(moment(0), scene.read(detected(classes=[])))
    assert row.objects == []
    assert row.events is msgspec.UNSET


def moving(frame: int) -> Outputs:
    """Two blobs that meet, are one for a while, and part."""
    mask = np.zeros((216, 384), np.uint8)
    for x in (20 + 4 * frame, 300 - 4 * frame):
        mask[80:120, x : x + 20] = 255
    return {"foreground": mask}


@pytest.mark.parametrize(("task", "outputs"), [("detect", drive), ("motion", moving)])
@pytest.mark.parametrize("at", [0, 3, 32])
def test_a_restored_scene_says_byte_for_byte_the_same(task: str, outputs: object, at: int) -> None:
    model = manifest(Task.DETECT) if task == "detect" else Bundle.open(MOVING_OBJECTS).manifest

    def see(scene: Scene, frames: range) -> list[tuple[Row, list[Event]]]:
        return [scene.see(moment(frame), scene.read(outputs(frame))) for frame in frames]

    def fresh() -> Scene:
        return Scene(model, Analysis(), owner="job-1")

    whole, first, second = fresh(), fresh(), fresh()
    expected = see(whole, range(60)), whole.end(), whole.summary()
    before = see(first, range(at))
    second.restore(first.state())
    after = see(second, range(at, 60))
    assert msgspec.json.encode((before + after, second.end(), second.summary())) == msgspec.json.encode(expected)


def test_two_blobs_that_meet_stay_two_tracks() -> None:
    scene = Scene(Bundle.open(MOVING_OBJECTS).manifest, Analysis(), owner="job-1")
    rows = [scene.see(moment(frame), scene.read(moving(frame)))[0] for frame in range(60)]
    assert {tuple(sorted(one.track_id for one in row.objects)) for row in rows[1:]} == {(1, 2)}


def live(frame: int, *, width: int = 640) -> Moment:
    """The same of a camera, whose first frame is from the beginning of 2026."""
    return Moment(frame, frame / 10, width, 320, 1767225600.0 + frame / 10)


def watched(scene: Scene, frames: range) -> tuple[list[Row], list[Event]]:
    rows, events = [], []
    for frame in frames:
        row, raised = scene.see(live(frame), scene.read(drive(frame)))
        rows.append(row)
        events += raised
    return rows, events


def test_rows_and_events_of_a_stream_say_when_they_were_captured() -> None:
    scene = Scene(manifest(Task.DETECT), Analysis(), owner="cam", live=True)
    rows, events = watched(scene, range(40))
    assert rows[3].captured_at == "2026-01-01T00:00:00.300Z"
    assert {event.stream for event in events} == {"cam"}
    assert {event.job for event in events} == {msgspec.UNSET}
    ended = next(event for event in events if event.type == "track_ended")
    assert (ended.pts_s, ended.captured_at) == (0.9, "2026-01-01T00:00:00.900Z")


def test_tracks_end_where_the_picture_becomes_another_one_and_ids_are_not_given_again() -> None:
    scene = Scene(manifest(Task.DETECT), Analysis(), owner="cam", live=True)
    watched(scene, range(5))
    assert [event.track_id for event in scene.break_off()] == [1, 2]
    rows, events = watched(scene, range(5, 8))
    assert [one.track_id for one in rows[-1].objects] == [3, 4]
    assert [event.seq for event in events] == [5, 6]


def test_another_analysis_takes_over_with_tracks_and_numbers() -> None:
    before = Scene(manifest(Task.DETECT), Analysis(), owner="cam", live=True)
    watched(before, range(5))
    after = Scene(manifest(Task.DETECT), Analysis(labels=("car",)), owner="cam", live=True)
    assert after.succeed(before) == []
    rows, events = watched(after, range(5, 30))
    assert {one.track_id for row in rows for one in row.objects} == {1}
    assert [(event.type, event.track_id, event.seq) for event in events] == [("track_ended", 2, 3)]


@pytest.mark.parametrize(
    ("labels", "analysis"), [(("person", "bicycle", "bus"), Analysis()), (None, Analysis(track=False))]
)
def test_tracks_end_where_labels_are_other_ones_or_nothing_is_tracked_any_more(labels, analysis) -> None:
    before = Scene(manifest(Task.DETECT), Analysis(), owner="cam", live=True)
    watched(before, range(5))
    model = manifest(Task.DETECT)
    after = Scene(model.model_copy(update={"labels": labels or model.labels}), analysis, owner="cam", live=True)
    assert [(event.type, event.track_id, event.seq) for event in after.succeed(before)] == [
        ("track_ended", 1, 3),
        ("track_ended", 2, 4),
    ]
    rows, events = watched(after, range(5, 8))
    assert {one.track_id for one in rows[-1].objects} == ({3, 4} if labels else {msgspec.UNSET})
    assert [event.seq for event in events] == ([5, 6] if labels else [])


def test_the_events_of_a_stream_are_numbered_after_those_that_were_before() -> None:
    scene = Scene(manifest(Task.DETECT), Analysis(), owner="cam", live=True, events_after=41)
    scene.see(live(0), scene.read(drive(0)))
    row, events = scene.see(live(1), scene.read(drive(1)))
    assert [event.id for event in events] == ["cam-42", "cam-43"]
    assert row.events == [42, 43]


def test_tracks_have_ids_after_those_that_were_before_also_when_nothing_was_tracked_for_a_while() -> None:
    scene = Scene(manifest(Task.DETECT), Analysis(), owner="cam", live=True, tracks_after=5)
    watched(scene, range(5))
    assert scene.last_track == 7
    blind = Scene(manifest(Task.DETECT), Analysis(track=False), owner="cam", live=True)
    blind.succeed(scene)
    watched(blind, range(5, 8))
    assert blind.last_track == 7
    after = Scene(manifest(Task.DETECT), Analysis(), owner="cam", live=True)
    after.succeed(blind)
    rows, _ = watched(after, range(8, 12))
    assert {one.track_id for one in rows[-1].objects} == {8}
