"""The graph of moving-objects, frame by frame; what it finds in videos is tested in tests/analytics."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from model_export import background, golden
from model_export.bundle import Bundle

SHIPPED = Path(__file__).parents[2] / "server" / "models" / "moving-objects" / "1"
H, W = background.HEIGHT, background.WIDTH

Rows = dict[str, np.ndarray]
Run = Callable[[Rows], Rows]


@pytest.fixture(scope="module")
def run() -> Run:
    session = ort.InferenceSession(SHIPPED / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


class Stream:
    """One camera: its rows of state, and what is foreground in its last frame."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.rows = {one.input: np.full((1, *one.shape), one.initial, one.dtype) for one in background.STATE}

    def see(self, frame: np.ndarray, times: int = 1) -> np.ndarray:
        for _ in range(times):
            outputs = self._run({"frames": frame[None], **self.rows})
            self.rows = {one.input: outputs[one.output] for one in background.STATE}
        return outputs["foreground"][0]


def street(seed: int = 0, light: float = 1.0) -> np.ndarray:
    """A textured place with noise of its own in every frame."""
    y, x = np.mgrid[0:H, 0:W]
    place = 80 + 40 * ((x // 48 + y // 36) % 2) + x // 16
    noise = np.random.default_rng(seed).normal(0, 3, (H, W, 3))
    return np.clip(place[..., None] * light + noise, 0, 255).astype(np.uint8)


def with_box(frame: np.ndarray, x: int = 150, y: int = 80, value: int = 220) -> np.ndarray:
    there = frame.copy()
    there[y : y + 40, x : x + 30] = value
    return there


def covered(mask: np.ndarray, x: int = 150, y: int = 80) -> float:
    return float((mask[y : y + 40, x : x + 30] > 0).mean())


def test_the_shipped_bundle_is_what_the_builder_builds(tmp_path: Path) -> None:
    built = background.build(tmp_path / "moving-objects" / "1")
    files = {path.name: path.read_bytes() for path in built.folder.iterdir()}
    assert files == {path.name: path.read_bytes() for path in SHIPPED.iterdir()}


def test_the_shipped_bundle_is_whole_and_gives_its_golden_answers(run: Run) -> None:
    bundle = Bundle.open(SHIPPED)
    bundle.verify()
    assert bundle.golden is not None
    samples = golden.read(bundle.golden)
    golden.check(samples, run, state=bundle.manifest.state)
    assert np.unique(samples.outputs["foreground"][-1]).tolist() == [0, 255]


def test_the_first_frame_is_background(run: Run) -> None:
    stream = Stream(run)
    assert not stream.see(street()).any()
    assert not stream.see(street(1)).any()


def test_what_comes_is_foreground_and_the_place_is_not(run: Run) -> None:
    stream = Stream(run)
    for seed in range(10):
        stream.see(street(seed))
    mask = stream.see(with_box(street(10)))
    assert covered(mask) > 0.98
    assert mask.astype(bool).sum() < 1.3 * 40 * 30


def test_a_thing_that_stands_stays_for_a_thousand_frames_and_then_belongs_to_the_place(run: Run) -> None:
    stream = Stream(run)
    stream.see(street(), times=100)
    trust = stream.rows["trust_in"]
    assert (trust == background.HOLD_FRAMES).all()
    there = with_box(street(1))
    assert covered(stream.see(there, times=50)) > 0.95
    stream.rows["trust_in"][...] -= background.HOLD_FRAMES - 60  # as if it had stood for all but ten of them
    assert covered(stream.see(there, times=10)) > 0.95
    assert covered(stream.see(there, times=60)) == 0.0


def test_what_was_there_at_first_and_moved_away_is_forgotten_soon(run: Run) -> None:
    stream = Stream(run)
    stream.see(with_box(street()), times=5)
    assert covered(stream.see(street(1), times=round(4 * background.TRUST))) > 0.9
    assert covered(stream.see(street(1), times=60)) == 0.0


@pytest.mark.parametrize("light", [0.6, 0.85, 1.3])
def test_a_sudden_change_of_light_is_no_motion_and_hides_none(run: Run, light: float) -> None:
    stream = Stream(run)
    for seed in range(10):
        stream.see(street(seed))
    stream.see(with_box(street(10)))
    assert not stream.see(street(11, light), times=1).any()
    assert covered(stream.see(with_box(street(12, light)))) > 0.98


def test_a_picture_that_shakes_by_a_pixel_is_no_motion(run: Run) -> None:
    stream = Stream(run)
    for seed in range(10):
        stream.see(street(seed))
    moved = stream.see(np.roll(street(10), 1, axis=1))
    assert (moved[:, 8:] > 0).mean() < 0.001  # what comes in at the left edge is new


def test_another_scene_begins_anew(run: Run) -> None:
    stream = Stream(run)
    for seed in range(10):
        stream.see(street(seed))
    other = np.random.default_rng(9).integers(0, 255, (H, W, 3)).astype(np.uint8)
    assert not stream.see(other).any()
    assert not stream.see(other).any()


def test_rows_are_the_same_bit_for_bit_whatever_shares_their_batch(run: Run) -> None:
    rng = np.random.default_rng(0)
    streams = [Stream(run) for _ in range(5)]
    for number, stream in enumerate(streams):
        for seed in range(number + 1):
            stream.see(with_box(street(seed), x=20 * number + 3 * seed))
    frames = rng.integers(0, 255, (5, H, W, 3)).astype(np.uint8)
    together = run({"frames": frames, **{n: np.concatenate([s.rows[n] for s in streams]) for n in streams[0].rows}})
    for number, stream in enumerate(streams):
        alone = run({"frames": frames[number : number + 1], **stream.rows})
        for name, value in alone.items():
            assert np.array_equal(together[name][number], value[0]), name
