import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_export.geometry import Placement, fit, place, to_source
from model_export.manifest import FrameInput, Resize

sides = st.integers(1, 2000)
specs = st.builds(
    FrameInput,
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    resize=st.sampled_from(Resize),
    align=st.sampled_from(["top_left", "center"]),
    interpolation=st.sampled_from(["linear", "area"]),
)


def grey(width: int, height: int, level: int = 200) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def to_input(xyxy: npt.NDArray[np.float64], placement: Placement) -> npt.NDArray[np.float64]:
    scale = np.array([placement.scale_x, placement.scale_y] * 2)
    return xyxy * scale + np.array([placement.offset_x, placement.offset_y] * 2)


@given(specs, sides, sides, st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_boxes_come_back_to_where_they_were(spec: FrameInput, width: int, height: int, shares: list[float]) -> None:
    placement = place(spec, width, height)
    used = placement.used
    x1, x2 = sorted(used.x + share * used.width for share in shares[:2])
    y1, y2 = sorted(used.y + share * used.height for share in shares[2:])
    box = np.array([[x1, y1, x2, y2]])

    back = to_source(to_input(box, placement).astype(np.float32), placement)

    # A float32 has 24 bits; one input pixel may be many source pixels.
    rounding = 1e-6 * max(spec.width, spec.height, width, height) / min(placement.scale_x, placement.scale_y, 1)
    np.testing.assert_allclose(back, box, atol=max(rounding, 1e-3))


@given(specs, sides, sides)
def test_a_placement_fills_one_rectangle_inside_the_input(spec: FrameInput, width: int, height: int) -> None:
    placement = place(spec, width, height)
    used, filled = placement.used, placement.filled

    assert filled.x >= 0
    assert filled.y >= 0
    assert filled.x + filled.width <= spec.width
    assert filled.y + filled.height <= spec.height
    assert used.x >= 0
    assert used.y >= 0
    assert used.x + used.width <= width
    assert used.y + used.height <= height
    if spec.resize is not Resize.LETTERBOX:
        assert filled[2:] == (spec.width, spec.height)
    if spec.resize is not Resize.CROP:
        assert used[2:] == (width, height)


@given(specs, st.integers(1, 300), st.integers(1, 300))
def test_a_grey_frame_stays_grey_and_the_rest_is_padding(spec: FrameInput, width: int, height: int) -> None:
    placement = place(spec, width, height)
    out = np.full((spec.height, spec.width, 3), 7, np.uint8)

    fit(grey(width, height), spec, out=out)

    inside = placement.filled.of(out)
    assert (inside == 200).all()
    inside[:] = spec.pad
    assert (out == spec.pad).all()


@given(specs, sides, sides)
def test_boxes_are_clipped_to_the_frame(spec: FrameInput, width: int, height: int) -> None:
    far = np.array([[-1e6, -1e6, 1e6, 1e6]], np.float32)

    assert to_source(far, place(spec, width, height)).tolist() == [[0, 0, width, height]]


def test_a_wide_frame_lies_in_the_middle_of_a_letterbox_or_at_its_top() -> None:
    centred = place(FrameInput(width=416, height=416), 768, 432)
    at_top = place(FrameInput(width=416, height=416, align="top_left"), 768, 432)

    assert centred.filled == (0, 91, 416, 234)
    assert at_top.filled == (0, 0, 416, 234)
    assert at_top.scale_x == at_top.scale_y == 416 / 768


def test_a_crop_cuts_both_sides_alike() -> None:
    assert place(FrameInput(width=100, height=100, resize=Resize.CROP), 300, 200).used == (50, 0, 200, 200)


@given(specs, st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_a_fitted_frame_is_what_opencv_makes_of_it(spec: FrameInput, width: int, height: int, seed: int) -> None:
    frame = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    placement = place(spec, width, height)
    used, filled = placement.used, placement.filled
    area = spec.interpolation == "area" and (filled.width < used.width or filled.height < used.height)
    both = filled.width <= used.width and filled.height <= used.height

    got = filled.of(fit(frame, spec)).astype(np.float64)

    own = cv2.resize(
        used.of(frame).copy(),
        (filled.width, filled.height),
        interpolation=cv2.INTER_AREA if area else cv2.INTER_LINEAR,
    ).reshape(got.shape)
    if area and both:
        # Where a mean lies half-way between two levels, either is right, and OpenCV's two ways choose differently.
        rows, columns = weights(used.height, filled.height), weights(used.width, filled.width)
        mean = np.einsum("iy,jx,yxc->ijc", rows, columns, used.of(frame).astype(np.float64), optimize=True)
        assert np.abs(got - mean).max() <= 0.5 + 1e-3
        assert np.abs(got - own).max() <= 1
    else:
        assert (got == own).all()
    assert not cv2.ipp.useIPP_NotExact()


def weights(source: int, target: int) -> npt.NDArray[np.float64]:
    """What share each of `source` pixels has in each of `target`: f64 [target, source]."""
    edges = np.arange(target + 1) * (source / target)
    pixels = np.arange(source)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return covered.clip(0) / (source / target)


def test_a_mark_in_the_frame_is_found_where_the_placement_says() -> None:
    frame = grey(640, 480, 0)
    frame[100:140, 200:280] = 255
    spec = FrameInput(width=320, height=320, pad=0)

    fitted = fit(frame, spec)

    rows, columns = np.nonzero(fitted[..., 0] > 127)
    seen = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    np.testing.assert_allclose(to_source(seen, place(spec, 640, 480)), [[200, 100, 280, 140]], atol=1)


def test_a_frame_of_the_right_size_is_copied_as_it_is() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)

    assert (fit(frame, FrameInput(width=64, height=48)) == frame).all()


def test_the_picture_is_written_into_the_array_that_is_given() -> None:
    out = np.zeros((416, 416, 3), np.uint8)

    assert fit(grey(768, 432), FrameInput(width=416, height=416), out=out) is out
    assert out[208, 208, 0] == 200


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((416, 400, 3), np.uint8),
        np.zeros((416, 416, 3), np.float32),
        np.zeros((416, 3, 416), np.uint8).transpose(0, 2, 1),
    ],
    ids=["shape", "dtype", "order"],
)
def test_an_array_of_another_kind_is_refused(out: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="out: expected uint8"):
        fit(grey(768, 432), FrameInput(width=416, height=416), out=out)


def test_a_grey_scale_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="frame: expected uint8"):
        fit(np.zeros((10, 10), np.uint8), FrameInput(width=4, height=4))
