import pytest
from gate_builders import FPS, GateBench, Spots
from worker_builders import counted, eventually, rows_of

from server.analytics.gate import EVERY
from server.domain.outcome import Outcome
from server.worker.checkpoint import Checkpoint
from server.worker.errors import InferenceFailed


@pytest.fixture
def bench(tmp_path):
    made = []

    def make(**options):
        made.append(GateBench(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def still(frame):
    """Two spots that stand."""
    return [(60, 60), (250, 120)]


def passing(frame):
    """A spot that stands, and one that passes for two seconds after three of rest."""
    moving = frame - 3 * FPS
    return [(60, 60), *([(20 + 10 * moving, 140)] if 0 <= moving < 2 * FPS else [])]


def found(row):
    """Objects in an order of their own: of equal scores either may be first."""
    return sorted((one["track_id"], one["box"]) for one in row["objects"] if "track_id" in one)


def test_where_nothing_moves_one_frame_in_sixteen_is_looked_at_and_every_frame_has_a_row(bench):
    around = bench()
    walk = around.gated(Spots(10 * EVERY, still))
    walk.run()
    assert counted(walk) == {Outcome.ANALYSED: 10, Outcome.GATED: 10 * (EVERY - 1)}
    rows = rows_of(around)
    assert [row["frame"] for row in rows] == list(range(10 * EVERY))
    assert [row["frame"] for row in rows if "gated" not in row] == list(range(0, 10 * EVERY, EVERY))
    assert {len(row["objects"]) for row in rows} == {2}
    assert {one["track_id"] for row in rows[1:] for one in row["objects"]} == {1, 2}
    assert around.slots.taken == 0


def test_what_moves_is_found_as_if_every_frame_were_looked_at_and_what_stands_keeps_its_track(bench):
    around = bench()
    whole = around.gated(Spots(8 * FPS, passing), gate=False)
    whole.run()
    expected = rows_of(around)
    asked = around.engine.asked["spots@1"]
    around.api.rows = b""
    gated = around.gated(Spots(8 * FPS, passing))
    gated.run()
    rows = rows_of(around)
    assert [found(row) for row in rows] == [found(row) for row in expected]
    assert around.engine.asked["spots@1"] - asked < asked / 3
    assert gated.scene.summary() == whole.scene.summary()


def test_from_any_checkpoint_a_gated_job_goes_on_with_the_same_bytes(bench):
    around = bench()
    whole = around.gated(Spots(8 * FPS, passing), checkpoint_s=0.0)
    whole.run()
    rows_of(around)
    expected, total = around.api.rows, dict(whole.outcomes)
    checkpoints = list(around.api.checkpoints)
    assert len(checkpoints) > 5
    for next_frame, blob, covered in checkpoints:
        around.api.rows = expected[:covered]
        again = around.gated(Spots(8 * FPS, passing), checkpoint_s=0.0)
        again.resume(Checkpoint.decode(blob))
        again.run()
        eventually(lambda: around.api.rows == expected)
        assert around.api.rows == expected, next_frame
        assert again.outcomes == total


def test_a_cancelled_gated_job_counts_what_it_had_in_hand(bench):
    around = bench(silent=True)
    source = Spots(500, passing)
    walk = around.gated(source)
    around.cancelled.set()
    walk.run()
    assert sum(counted(walk).values()) == source.index + 1
    assert around.slots.taken == 0


def test_errors_of_the_model_are_told_and_take_no_frame_with_them(bench):
    around = bench(failing=True)
    walk = around.gated(Spots(2 * EVERY, still))
    with pytest.raises(InferenceFailed, match="told to fail"):
        walk.run()
    assert counted(walk) == {Outcome.INFERENCE_ERROR: 2, Outcome.GATED: 2 * (EVERY - 1)}
    assert around.slots.taken == 0


def test_a_single_slot_is_enough(bench):
    around = bench(slots=2)
    walk = around.gated(Spots(4 * FPS, passing))
    walk.run()
    assert sum(counted(walk).values()) == 4 * FPS
