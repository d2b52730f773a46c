import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model_export.geometry import Rectangle
from model_export.predictions import Detections
from server.analytics.mosaic import Mosaic, Tile, cut, draw

CELLS = st.builds(
    lambda x, y, w, h: Rectangle(x * 32, y * 32, min(w * 32, 416 - x * 32), min(h * 32, 400 - y * 32)),
    st.integers(0, 12),
    st.integers(0, 11),
    st.integers(1, 8),
    st.integers(1, 8),
)


def overlaps(a, b):
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def found(*boxes):
    scores = np.linspace(0.9, 0.5, len(boxes)).astype(np.float32)
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), scores, np.arange(len(boxes)))


@given(st.lists(st.lists(CELLS, min_size=1, max_size=3), max_size=12))
def test_tiles_lie_inside_and_apart_and_keep_their_place_among_the_cells(frames):
    mosaic = Mosaic(416, 400)
    placed = []
    for parts in frames:
        tiles = mosaic.place(parts)
        if tiles is None:
            assert placed
            continue
        assert sorted(tile.source for tile in tiles) == sorted(parts)
        if not placed and any(overlaps(a, b) for a in parts for b in parts if a is not b):
            return  # parts of a frame never overlap
        placed += [tile.target for tile in tiles]
        assert all((t.x - t.source.x) % 32 == 0 and (t.y - t.source.y) % 32 == 0 for t in tiles)
    assert all(t.x + t.width <= 416 and t.y + t.height <= 400 for t in placed)
    assert not any(overlaps(a, b) for n, a in enumerate(placed) for b in placed[:n])


def test_parts_that_do_not_fit_change_nothing():
    mosaic = Mosaic(416, 416)
    assert mosaic.place([Rectangle(0, 0, 416, 256)]) == (Tile(Rectangle(0, 0, 416, 256), 0, 0),)
    assert mosaic.place([Rectangle(0, 0, 64, 160), Rectangle(96, 0, 416, 32)]) is None
    assert mosaic.place([Rectangle(32, 64, 416, 160)]) == (Tile(Rectangle(32, 64, 416, 160), 0, 256),)


def test_pixels_go_to_their_tile_and_boxes_come_back():
    frame = np.zeros((416, 416, 3), np.uint8)
    frame[70:90, 110:150] = 255
    tile = Tile(Rectangle(96, 64, 96, 64), 0, 256)
    out = np.full_like(frame, 114)
    draw([tile], frame, out)
    assert (out[262:282, 14:54] == 255).all()
    assert (out[:256] == 114).all()
    assert cut(found([14, 262, 54, 282]), [tile]).xyxy.tolist() == [[110, 70, 150, 90]]


def test_a_box_belongs_to_the_tile_of_its_middle_and_is_clipped_to_it():
    left, right = Tile(Rectangle(0, 0, 64, 64), 0, 0), Tile(Rectangle(128, 0, 64, 64), 64, 0)
    both = found([40, 10, 80, 30], [70, 0, 100, 20], [200, 200, 210, 210])
    mine = cut(both, [left])
    assert mine.xyxy.tolist() == [[40, 10, 64, 30]]
    theirs = cut(both, [right])
    assert theirs.xyxy.tolist() == [[134, 0, 164, 20]]
    assert theirs.class_ids.tolist() == [1]
