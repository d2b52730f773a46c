from server.analytics.tracks import TrackChange, Tracks
from server.domain.event import EventType

STARTED, ENDED = EventType.TRACK_STARTED, EventType.TRACK_ENDED


def see(tracks: Tracks, pts_s: float, *ids: int, confidence: float = 0.5) -> list[TrackChange]:
    return tracks.update(ids, ["car"] * len(ids), [confidence] * len(ids), pts_s, 1.0)


def test_a_track_starts_when_its_id_first_appears() -> None:
    tracks = Tracks()
    assert see(tracks, 0.0, -1) == []
    assert see(tracks, 0.1, 3) == [TrackChange(STARTED, 3, "car", 0.5, 0.1)]
    assert see(tracks, 0.2, 3) == []


def test_a_track_ends_at_its_last_sighting_once_patience_is_over() -> None:
    tracks = Tracks()
    see(tracks, 0.5, 1)
    see(tracks, 2.0, 1, confidence=0.9)
    assert see(tracks, 3.0) == []
    assert see(tracks, 3.1) == [TrackChange(ENDED, 1, "car", 0.9, 2.0, 1.5)]
    assert see(tracks, 9.0) == []


def test_who_comes_back_in_time_goes_on() -> None:
    tracks = Tracks()
    see(tracks, 0.0, 1)
    assert see(tracks, 1.0, 1) == []
    assert see(tracks, 1.9) == []


def test_what_ended_comes_before_what_started_and_each_by_id() -> None:
    tracks = Tracks()
    see(tracks, 0.0, 2, 1)
    changes = see(tracks, 5.0, 8, 7)
    assert [(change.type, change.track_id) for change in changes] == [
        (ENDED, 1),
        (ENDED, 2),
        (STARTED, 7),
        (STARTED, 8),
    ]


def test_all_that_are_left_end_with_the_video() -> None:
    tracks = Tracks()
    see(tracks, 0.0, 1)
    see(tracks, 1.0, 1, 2)
    assert tracks.end() == [TrackChange(ENDED, 1, "car", 0.5, 1.0, 1.0), TrackChange(ENDED, 2, "car", 0.5, 1.0, 0.0)]
    assert tracks.end() == []


def test_goes_on_from_its_state() -> None:
    first, second = Tracks(), Tracks()
    see(first, 0.0, 1)
    see(first, 0.5, 1, 2)
    second.restore(first.state())
    assert second.state() == first.state()
    assert see(second, 3.0, 2) == see(first, 3.0, 2)
    assert second.end() == first.end()
