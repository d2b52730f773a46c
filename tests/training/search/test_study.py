from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from search_builders import a_search

from training.errors import StudyBusy, StudyChanged, StudyExists, StudyNotKept
from training.search.space import Search
from training.search.study import ATTEMPTS, Study, Trial, kept
from training.search.study_folder import StudyFolder
from training.search.tried import Outcome


@contextmanager
def study_of(search: Search, folder: Path, *, higher_is_better: bool = True) -> Iterator[Study]:
    study = Study(folder / "study.sqlite3", search.name, search.config, higher_is_better=higher_is_better)
    try:
        yield study
    finally:
        study.close()


def done(study: Study, trial: Trial, score: float, latency_ms: float) -> None:
    trial.note_net(10, latency_ms, f"graph of {latency_ms}")
    trial.note_epochs([score], 1.0)
    study.end(trial, Outcome.DONE)


def draw(study: Study, search: Search) -> Trial:
    trial = study.next()
    trial.note_drawn(search.tried(trial))
    return trial


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_the_front_is_what_a_comparison_of_all_pairs_gives(tmp_path: Path, higher_is_better: bool) -> None:
    search, rolls, points = a_search(tmp_path), random.Random(3), {}
    with study_of(search, tmp_path, higher_is_better=higher_is_better) as study:
        for _ in range(9):
            trial = draw(study, search)
            # What is good takes long, on the whole; few different numbers, so that some are equal.
            good = rolls.randint(1, 5)
            points[trial.number] = ((good if higher_is_better else 6 - good) / 5, good + rolls.randint(0, 2))
            done(study, trial, *points[trial.number])
        trial = draw(study, search)
        study.end(trial, Outcome.PRUNED, "in the test")

        def beats(one: int, other: int) -> bool:
            (score, latency), (its, own) = points[one], points[other]
            sign = 1 if higher_is_better else -1
            no_worse = sign * score >= sign * its and latency <= own
            # Of equals the first.
            return no_worse and ((score, latency) != (its, own) or one < other)

        expected = [number for number in points if not any(beats(other, number) for other in points)]
        front = study.front()

        assert sorted(front) == expected
        assert 1 < len(front) < len(points)
        scores = [points[number][0] for number in front]
        assert scores == sorted(scores, reverse=higher_is_better)


def test_what_came_of_a_trial_is_read_back(tmp_path: Path) -> None:
    search = a_search(tmp_path)
    with study_of(search, tmp_path) as study:
        trial = draw(study, search)
        trial.note_net(1234, 0.5, "graph")
        trial.note_epochs([0.25, float("nan"), 0.75, 0.5], 3.5)
        study.end(trial, Outcome.DONE)
        study.end(draw(study, search), Outcome.INFEASIBLE, "no net")
    with study_of(search, tmp_path) as study:
        first, second = study.ended()
        assert (first.outcome, first.score, first.latency_ms, first.parameters) == (Outcome.DONE, 0.75, 0.5, 1234)
        assert (first.seconds, len(first.scores), first.why) == (3.5, 4, None)
        assert set(first.chosen) <= {one.name for one in search.choices}
        assert (second.outcome, second.why, second.score, second.course) == (Outcome.INFEASIBLE, "no net", None, None)
        assert study.latency_of("graph") == 0.5
        assert study.latency_of("another") is None


def test_a_study_that_is_opened_again_draws_as_one_that_was_not(tmp_path: Path) -> None:
    search, drawn = a_search(tmp_path, search={"random": 2}), []
    for name, again in (("whole", False), ("often", True)):
        folder, chosen = tmp_path / name, []
        folder.mkdir()
        for _ in range(4 if again else 1):
            with study_of(search, folder) as study:
                for _ in range(1 if again else 4):
                    trial = draw(study, search)
                    done(study, trial, 0.1 * trial.number, 1.0 + trial.number % 3)
                    chosen.append(study.ended()[-1].chosen)
        drawn.append(chosen)
    assert drawn[0] == drawn[1]
    assert len({str(one) for one in drawn[0]}) == 4


def test_another_seed_draws_otherwise(tmp_path: Path) -> None:
    chosen = []
    for seed in range(2):
        search, folder = a_search(tmp_path, search={"seed": seed}), tmp_path / str(seed)
        folder.mkdir()
        with study_of(search, folder) as study:
            chosen.append(search.tried(study.next()).fit.optimiser.rate)
    assert chosen[0] != chosen[1]


def test_a_trial_whose_process_died_is_tried_again_as_it_was_but_not_for_ever(tmp_path: Path) -> None:
    search, recipes = a_search(tmp_path), []
    for attempt in range(ATTEMPTS):
        with study_of(search, tmp_path) as study:
            assert study.mend() == ([] if attempt == 0 else [attempt - 1])
            trial = study.next()
            assert (trial.number, trial.first) == (attempt, 0)
            recipes.append(search.tried(trial))
            trial.note_drawn(recipes[-1])
    with study_of(search, tmp_path) as study:
        study.mend()
        trial = study.next()
        assert trial.first == trial.number == ATTEMPTS
        assert search.tried(trial) != recipes[0]
        assert [one.outcome for one in study.ended()] == [Outcome.DIED] * ATTEMPTS
        assert study.same(recipes[0]) is not None
    assert recipes == [recipes[0]] * ATTEMPTS


def test_a_trial_that_was_not_wholly_drawn_is_drawn_again(tmp_path: Path) -> None:
    search = a_search(tmp_path)
    with study_of(search, tmp_path) as study:
        first = search.tried(study.next())
    with study_of(search, tmp_path) as study:
        study.mend()
        trial = study.next()
        assert trial.first == 1
        assert search.tried(trial) == first


def test_a_process_that_dies_while_it_mends_leaves_one_to_be_tried_again(tmp_path: Path) -> None:
    search = a_search(tmp_path)
    with study_of(search, tmp_path) as study:
        draw(study, search)
        tell, study._study.tell = study._study.tell, lambda *args, **more: (_ for _ in ()).throw(RuntimeError)
        with pytest.raises(RuntimeError):
            study.mend()
        study._study.tell = tell
    with study_of(search, tmp_path) as study:
        study.mend()
        assert [study.next().first for _ in range(2)] == [0, 2]


def test_a_recipe_that_was_tried_is_known(tmp_path: Path) -> None:
    search = a_search(tmp_path)
    with study_of(search, tmp_path) as study:
        trial = study.next()
        recipe = search.tried(trial)
        trial.note_drawn(recipe)
        assert study.same(recipe) is None
        study.end(trial, Outcome.INFEASIBLE, "no net")
        assert study.same(recipe) == 0


def test_other_data_are_refused_and_another_machine_is_told(tmp_path: Path) -> None:
    search = a_search(tmp_path)
    with study_of(search, tmp_path) as study:
        study.note_data("a")
        study.note_data("a")
        with pytest.raises(StudyChanged, match="The data are not those"):
            study.note_data("b")
        assert [study.note_machine(one) for one in ("old", "old", "new", "new")] == [None, None, "old", None]


def test_two_processes_are_never_at_one_study(tmp_path: Path) -> None:
    search, place = a_search(tmp_path), StudyFolder(tmp_path / "study")
    with place.held(search), pytest.raises(StudyBusy, match="Another process is at"), place.held(search):
        pass
    with place.held(search):
        pass


def test_another_search_is_refused_and_shown(tmp_path: Path) -> None:
    place = StudyFolder(tmp_path / "study")
    with place.held(a_search(tmp_path)):
        pass
    with place.held(a_search(tmp_path, "search.trials=50")):
        pass
    other = a_search(tmp_path, "fit.optimiser.rate.range.1=0.2", "fit.batch=8", "search.epochs=3")
    with pytest.raises(StudyChanged) as told, place.held(other):
        pass
    for line in ("fit.optimiser.rate.range.1: 0.1 → 0.2", "fit.batch: 16 → 8", "search.epochs: 1 → 3"):
        assert line in str(told.value)
    assert "trials" not in str(told.value)


def test_something_else_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "thesis.txt").write_text("not to be lost")
    with (
        pytest.raises(StudyExists, match="Something that is no study"),
        StudyFolder(tmp_path / "study").held(a_search(tmp_path)),
    ):
        pass


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    search, file = a_search(tmp_path), tmp_path / "study.sqlite3"
    file.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(StudyNotKept, match="file is not a database"), kept(file), study_of(search, tmp_path):
        pass
