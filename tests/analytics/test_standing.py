import numpy as np

from model_export.geometry import Rectangle
from model_export.predictions import Classes, Detections
from server.analytics.mosaic import Tile
from server.analytics.standing import Standing


def found(*boxes, class_id=0, score=0.9):
    n = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.full(n, score, np.float32), np.full(n, class_id, np.int64)
    )


def at(x, y, width, height):
    """A part that lies on the input where it lay in the frame."""
    return Tile(Rectangle(x, y, width, height), x, y)


TREE, CAR = [10, 10, 50, 90], [300, 100, 380, 150]


def test_nothing_is_known_before_the_first_look():
    assert Standing().look(None, ()) is None


def test_what_was_seen_stands_while_nobody_looks():
    standing = Standing()
    seen = standing.look(found(TREE), None)
    assert standing.look(None, ()) is seen
    assert standing.look(found(CAR), ()) is seen


def test_a_look_at_a_part_leaves_what_stands_elsewhere():
    standing = Standing()
    standing.look(found(TREE, CAR), None)
    assert standing.look(found([320, 100, 400, 150], score=0.95), [at(256, 64, 160, 96)]).xyxy.tolist() == [
        [320, 100, 400, 150],
        TREE,
    ]
    assert standing.look(found(), [at(256, 64, 160, 96)]).xyxy.tolist() == [TREE]


def test_the_cut_off_part_of_what_stands_at_the_edge_of_a_look_is_no_object_of_its_own():
    standing = Standing()
    standing.look(found(TREE), None)
    edge = at(32, 0, 64, 96)
    assert standing.look(found([32, 10, 50, 90]), [edge]).xyxy.tolist() == [TREE]
    assert len(standing.look(found([32, 10, 50, 90], class_id=1), [edge])) == 2


def test_classes_stand_too():
    standing = Standing()
    classes = Classes(np.array([0.1, 0.9], np.float32))
    standing.look(classes, [at(0, 0, 64, 64)])
    assert standing.look(None, ()) is classes


def test_state_is_all_of_it():
    for sight in (found(TREE, CAR), Classes(np.array([0.25, 0.75], np.float32)), None):
        standing, again = Standing(), Standing()
        standing.look(sight, None)
        again.restore(standing.state())
        assert again.state() == standing.state()
        assert (again.look(None, ()) is None) == (sight is None)
