import queue
from types import SimpleNamespace

import pytest
from engine_builders import bundle, mean_graph, request, running, scaled_graph, with_variant

from model_export.manifest import Precision
from server.engine.shelf import Gone, NotUp, Shelf, Up, rank
from server.wire.messages import LoadModel


class Around:
    """A shelf, what its threads report and what it says, by the class of message."""

    def __init__(self):
        self.reports = queue.SimpleQueue()
        self.said = []
        self.shelf = Shelf(running(), self.reports.put, lambda message: self.said.append(type(message).__name__))

    def note(self, count=1):
        """Take as many reports."""
        for _ in range(count):
            report = self.reports.get(timeout=20)
            {Up: self.shelf.up, NotUp: self.shelf.not_up, Gone: self.shelf.gone}[type(report)](report)


@pytest.fixture
def around():
    return Around()


@pytest.fixture
def order(tmp_path):
    made = bundle(tmp_path / "m", mean_graph())
    return LoadModel("m@1", str(made.folder), 0)


def test_a_model_is_there_when_it_is_up_and_not_before(around, order):
    around.shelf.load(order)
    assert around.shelf.models == {}
    around.note()
    assert list(around.shelf.models) == ["m@1"]
    assert around.said == ["ModelLoaded"]


def test_the_precision_that_is_told_is_the_manifests(tmp_path):
    said, reports = [], queue.SimpleQueue()
    shelf = Shelf(running(), reports.put, said.append)
    half = bundle(tmp_path / "m", mean_graph(), precision=Precision.FP16)
    shelf.load(LoadModel("m@1", str(half.folder), 0))
    shelf.up(reports.get(timeout=20))
    assert said[0].precision == "fp16"


def test_which_variant_serves_is_told(tmp_path):
    said, reports = [], queue.SimpleQueue()
    shelf = Shelf(running(variants={"m": "int8"}), reports.put, said.append)
    made = with_variant(tmp_path / "m", mean_graph(), scaled_graph(0.95))
    shelf.load(LoadModel("m@1", str(made.folder), 0))
    shelf.up(reports.get(timeout=20))
    assert (said[0].precision, said[0].variant) == ("int8", "int8")


def test_asked_twice_it_is_loaded_once(around, order):
    around.shelf.load(order)
    around.shelf.load(order)
    around.note()
    model = around.shelf.models["m@1"]
    around.shelf.load(order)
    assert around.said == ["ModelLoaded", "ModelLoaded"]
    assert around.shelf.models["m@1"] is model
    assert around.reports.empty()


def test_what_cannot_be_loaded_says_so_and_can_be_tried_again(around, order, tmp_path):
    around.shelf.load(LoadModel("m@1", str(tmp_path / "nowhere"), 0))
    around.note()
    around.shelf.load(order)
    around.note()
    assert around.said == ["ModelFailed", "ModelLoaded"]


def test_a_model_goes_when_the_last_that_it_was_asked_has_run(around, order):
    around.shelf.load(order)
    around.note()
    model = around.shelf.models["m@1"]
    one = request("s", 1)
    model.batcher.add(one)
    around.shelf.unload("m@1")
    assert model.leaving
    model.batcher.take(0.0, 1)
    model.in_flight = 1
    around.shelf.settle()
    assert "m@1" in around.shelf.models
    model.in_flight = 0
    around.shelf.settle()
    assert around.shelf.models == {}
    around.note()
    assert around.said == ["ModelLoaded", "ModelUnloaded"]


def test_unloaded_while_it_loads_it_goes_at_once(around, order):
    around.shelf.load(order)
    around.shelf.unload("m@1")
    around.note(2)
    assert around.said == ["ModelLoaded", "ModelUnloaded"]
    assert around.shelf.models == {}


def test_loaded_while_it_goes_it_comes_back(around, order):
    around.shelf.load(order)
    around.note()
    around.shelf.unload("m@1")
    around.shelf.load(order)
    around.note(2)
    assert around.said == ["ModelLoaded", "ModelUnloaded", "ModelLoaded"]
    assert list(around.shelf.models) == ["m@1"]


def test_what_is_not_there_is_gone(around):
    around.shelf.unload("m@1")
    assert around.said == ["ModelUnloaded"]


@pytest.mark.parametrize(
    ("seconds", "quick"),
    [
        ([0.002, 0.028], [True, False]),
        ([0.008, 0.028], [False, False]),
        ([0.002], [False]),
        ([0.002, 0.003, 1.0], [True, True, False]),
        ([None, 0.002, 0.028], [False, True, False]),
        ([None], [False]),
    ],
)
def test_a_model_is_quick_beside_one_that_takes_several_times_as_long(seconds, quick):
    models = [SimpleNamespace(run_s=run_s, quick=None) for run_s in seconds]
    rank(models)
    assert [model.quick for model in models] == quick


def test_who_is_quick_is_seen_anew_when_models_come_and_go(around, order, tmp_path):
    around.shelf.load(order)
    around.note()
    model = around.shelf.models["m@1"]
    assert not model.quick
    around.shelf.load(LoadModel("n@1", str(bundle(tmp_path / "n", mean_graph()).folder), 1))
    other = around.reports.get(timeout=20)
    other.model.run_s = 100 * model.run_s
    around.shelf.up(other)
    assert (model.quick, other.model.quick) == (True, False)
    around.shelf.unload("n@1")
    around.note()
    assert not model.quick


def test_it_is_at_work_while_a_model_comes_or_goes(around, order):
    assert not around.shelf.at_work
    around.shelf.load(order)
    assert around.shelf.at_work
    around.note()
    assert not around.shelf.at_work
    around.shelf.unload("m@1")
    assert around.shelf.at_work
    around.note()
    assert not around.shelf.at_work
