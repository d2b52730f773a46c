from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fit_builders import MadeData, shades
from search_builders import HEAD, RATE, a_search, searched

from training.errors import NothingFeasible, StudyChanged
from training.recipe import read_recipe
from training.search import plot
from training.search.searching import Found, search_for
from training.search.tried import Outcome

CONV = {"particle": "conv", "channels": {"choose": [2, 4]}, "stride": 2}


def outcomes(found: Found) -> Counter[Outcome]:
    return Counter(one.outcome for one in found.tried)


def rows(found: Found) -> list[dict[str, str]]:
    with found.folder.table.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("searched")
    search = a_search(folder, search={"trials": 3, "epochs": 2})
    return searched(search, folder / "greys", draw=plot.draw)


def test_a_search_tries_as_many_as_it_should_and_keeps_what_is_to_be_had(found: Found) -> None:
    assert outcomes(found)[Outcome.DONE] == 3
    assert all(len(one.scores) == 2 for one in found.tried if one.outcome is Outcome.DONE)
    assert 1 <= len(found.front) <= 3
    assert found.folder.picture.read_bytes().startswith(b"\x89PNG")
    assert not list(found.folder.path.rglob("*.ckpt"))
    assert (found.folder.trial(0) / "metrics.csv").is_file()


def test_the_table_has_a_row_a_trial_and_a_column_a_choice(found: Found) -> None:
    table = rows(found)
    assert [int(row["trial"]) for row in table] == [one.number for one in found.tried]
    assert {"net.0", "net.0.conv.0.channels", "fit.optimiser.rate"} <= set(table[0])
    for rank, one in enumerate(found.front, start=1):
        row = table[one.number]
        assert (row["rank"], float(row["latency_ms"])) == (str(rank), pytest.approx(one.latency_ms))
        assert float(row["accuracy"]) == pytest.approx(one.score)


def test_the_recipes_of_the_front_are_those_that_were_tried(found: Found) -> None:
    assert len(found.folder.recipes()) == len(found.front)
    for rank, one in enumerate(found.front, start=1):
        file = found.folder.recipe(rank)
        assert f"# Trial {one.number} of the search greys: accuracy {one.score:.4f}" in file.read_text()
        recipe = read_recipe(file)
        assert (recipe.name, recipe.fit.epochs) == (f"greys-{rank}", 9)
        assert recipe.fit.optimiser.rate == one.chosen["fit.optimiser.rate"]
        trained = read_recipe(found.folder.trial(one.number) / "recipe.yaml")
        assert recipe.net == trained.net


def test_a_search_that_is_done_does_nothing_and_one_with_more_trials_goes_on(tmp_path: Path) -> None:
    first = searched(a_search(tmp_path, search={"trials": 1}), tmp_path / "study")
    again = searched(a_search(tmp_path, search={"trials": 1}), tmp_path / "study")
    assert again.tried == first.tried
    more = searched(a_search(tmp_path, search={"trials": 2}), tmp_path / "study")
    whole = searched(a_search(tmp_path, search={"trials": 2}), tmp_path / "whole")
    assert more.tried[: len(first.tried)] == first.tried
    assert [(one.chosen, one.score) for one in more.tried] == [(one.chosen, one.score) for one in whole.tried]


def test_other_data_are_refused(tmp_path: Path) -> None:
    searched(a_search(tmp_path, search={"trials": 1}), tmp_path / "study", timeout_s=0.0)
    data = shades()
    other = MadeData(data.train, data.validation, data.labels, fingerprint="b" * 64)
    with pytest.raises(StudyChanged, match="The data are not those"):
        searched(a_search(tmp_path), tmp_path / "study", other)


def test_lists_that_make_no_net_are_passed_over_with_the_reason(tmp_path: Path) -> None:
    net = [{"choose": {"fits": [CONV], "not": ["flatten", CONV]}}, *HEAD]
    found = searched(a_search(tmp_path, net=net, search={"trials": 2}), tmp_path / "study")

    assert outcomes(found)[Outcome.DONE] == 2
    assert outcomes(found)[Outcome.INFEASIBLE] >= 1
    for one in found.tried:
        assert (one.outcome is Outcome.INFEASIBLE) == (one.chosen["net.0"] == "not")
        if one.outcome is Outcome.INFEASIBLE:
            assert one.why is not None
            assert "Particle 2 (net.1, conv): It needs a map [C, H, W], and a vector [C 64] comes." in one.why


def test_a_search_in_which_no_list_makes_a_net_says_so(tmp_path: Path) -> None:
    net = ["flatten", {"particle": "conv", "channels": {"range": [1, 9999]}}, *HEAD]
    search = a_search(tmp_path, net=net, search={"idle": 5})
    with pytest.raises(NothingFeasible) as told:
        searched(search, tmp_path / "study")
    assert "Not one of 5 draws made a net" in str(told.value)
    assert "Particle 2 (net.1, conv): It needs a map" in str(told.value)
    with (tmp_path / "study" / "trials.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 5


def test_a_space_that_is_exhausted_ends_the_search(tmp_path: Path) -> None:
    told: list[str] = []
    fit = {"epochs": 1, "batch": 16, "optimiser": {"kind": "adam"}, "device": "cpu"}
    search = a_search(tmp_path, net=[CONV, *HEAD], fit=fit, search={"trials": 9, "epochs": None, "idle": 6})
    found = searched(search, tmp_path / "study", say=told.append)
    assert outcomes(found) == {Outcome.DONE: 2, Outcome.REPEATED: len(found.tried) - 2}
    assert "everything may have been tried" in told[-1]


def test_nets_that_are_too_slow_are_not_trained(tmp_path: Path) -> None:
    most = 0.1
    found = searched(a_search(tmp_path, search={"trials": 1, "max_latency_ms": most, "seed": 1}), tmp_path / "study")
    slow = [one for one in found.tried if one.outcome is Outcome.TOO_SLOW]
    assert slow
    assert all(one.latency_ms > most and not one.scores for one in slow)
    assert all(one.latency_ms <= most for one in found.tried if one.outcome is Outcome.DONE)
    assert not any(found.folder.trial(one.number).exists() for one in slow)


def test_a_loss_that_is_no_number_ends_a_trial_and_not_the_search(tmp_path: Path) -> None:
    fit = {"epochs": 1, "batch": 16, "optimiser": {"kind": "adam"}, "device": "cpu"}
    net = [{"particle": "conv", "channels": 2}, *HEAD]
    normalise = {"std": {"choose": [255.0, 1e-38]}}
    search = a_search(tmp_path, net=net, fit=fit, normalise=normalise, search={"trials": 2, "epochs": None})
    found = searched(search, tmp_path / "study")
    assert outcomes(found)[Outcome.DONE] == outcomes(found)[Outcome.DIVERGED] == 1
    diverged = next(one for one in found.tried if one.outcome is Outcome.DIVERGED)
    assert diverged.why is not None
    assert "loss became" in diverged.why


def test_a_net_that_is_measured_once_is_not_measured_again(tmp_path: Path) -> None:
    measured: list[int] = []

    def measure(net: Any, recipe: Any, data: Any) -> float:
        measured.append(len(list(net.parameters())))
        return 1.0 + len(measured)

    found = searched(a_search(tmp_path, net=HEAD, search={"trials": 2}), tmp_path / "study", latency=measure)
    assert len(measured) == 1
    assert {one.latency_ms for one in found.tried} == {2.0}


def test_what_falls_behind_is_ended_early_as_the_rule_says(tmp_path: Path) -> None:
    # Numbers, because their errors all differ; and all nets are equally fast.
    fit = {"epochs": 3, "batch": 16, "optimiser": {"kind": "adam", "rate": RATE}, "device": "cpu"}
    config = {"trials": 6, "epochs": None, "pruner": {"startup": 2, "warmup": 1, "keep": 0.4}}
    search = a_search(tmp_path, net=HEAD, fit=fit, search=config)
    found = searched(search, tmp_path / "study", shades(kind="numbers"), latency=lambda net, recipe, data: 1.0)

    assert outcomes(found)[Outcome.PRUNED] >= 1
    before: list[tuple[float, ...]] = []
    for one in found.tried:
        expected = 3
        for epoch in (1, 2):
            errors = sorted(min(scores[:epoch]) for scores in before if len(scores) >= epoch)
            at = 0.4 * (len(errors) - 1)
            if len(errors) >= 2:
                low, high = errors[int(at)], errors[min(int(at) + 1, len(errors) - 1)]
                if min(one.scores[:epoch]) > low + (at - int(at)) * (high - low) + 1e-9:
                    expected = epoch
                    break
        assert len(one.scores) == expected
        assert (one.outcome is Outcome.PRUNED) is (expected < 3)
        before.append(one.scores)
    pruned = next(one for one in found.tried if one.outcome is Outcome.PRUNED)
    assert pruned.number not in {one.number for one in found.front}
    assert pruned.why is not None
    assert "to be among the better of" in pruned.why


def test_without_a_pruner_everything_comes_to_its_end(found: Found) -> None:
    assert outcomes(found)[Outcome.PRUNED] == 0


def test_no_trial_begins_after_the_timeout(tmp_path: Path) -> None:
    assert searched(a_search(tmp_path), tmp_path / "study", timeout_s=0.0).tried == ()


def test_recipes_that_are_no_longer_of_the_front_go(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    search = a_search(tmp_path, search={"trials": 1})
    first = searched(search, tmp_path / "study")
    first.folder.recipe(7).write_text("of before")
    again = searched(search, tmp_path / "study")
    assert [file.name for file in again.folder.recipes()] == ["best-1.yaml"]


def test_data_that_are_fitted_otherwise_may_be_chosen(tmp_path: Path) -> None:
    loaded: list[int] = []
    data = {
        "source": {"kind": "idx", "path": "made-on-the-spot"},
        "input": {"width": 8, "height": 8, "channels": 1, "pad": {"choose": [0, 114, 255]}},
    }
    search = a_search(tmp_path, data=data, search={"trials": 2})

    def load(config: Any) -> MadeData:
        loaded.append(config.input.pad)
        return shades()

    search_for(search, tmp_path / "study", load, latency=lambda *_: 1.0, draw=lambda *_: None)
    assert len(set(loaded)) > 1
