from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from engine_builders import bundle, mean_graph, running, scaled_graph, with_variant

from model_export.manifest import Batch
from server.engine.plan import fingerprint, plan, subject
from server.engine.session import Options
from server.engine.tuning.choices import Choice, Choices

CHOICE = Choice(sessions=1, threads=2, max_batch=2, optimization="extended", frames_s=70.0, run_s=0.028)


@pytest.fixture
def made(tmp_path):
    return bundle(tmp_path / "m", mean_graph())


@pytest.fixture
def open_to_all(tmp_path):
    """Settings that leave everything open, with a file of choices."""
    return running(sessions=None, threads=None, max_batch=None, choices=str(tmp_path / "tuning.json"))


def keep(made, running):
    Choices(Path(running.choices)).put(subject(made, "cpu", running), CHOICE)


def test_what_was_not_measured_runs_on_every_core_with_a_thread_each(made, open_to_all):
    assert plan(made, "cpu", open_to_all) == (2, Options(1, "all"), 8, None, False)


def test_what_was_measured_runs_so(made, open_to_all):
    keep(made, open_to_all)
    assert plan(made, "cpu", open_to_all) == (1, Options(2, "extended"), 2, 0.028, True)


def test_a_new_version_runs_like_the_one_before_but_for_the_optimisation_until_it_is_measured(made, open_to_all):
    keep(made, open_to_all)
    files = {**made.manifest.files, "model.onnx": "b" * 64}
    newer = replace(made, manifest=made.manifest.model_copy(update={"version": 2, "files": files}))
    assert plan(newer, "cpu", open_to_all) == (1, Options(2, "all"), 2, None, False)


@pytest.mark.parametrize("fixed", [{"sessions": 2}, {"threads": 1}, {"max_batch": 8}])
def test_what_was_measured_under_other_settings_does_not_count(made, open_to_all, fixed):
    keep(made, open_to_all)
    assert not plan(made, "cpu", msgspec.structs.replace(open_to_all, **fixed)).measured


def test_the_settings_have_their_way(made):
    fixed = running(sessions=3, threads=2, max_batch=5, cores=2)
    assert plan(made, "cpu", fixed)[:3] == (3, Options(2, "all"), 5)


def test_what_may_change_bits_changes_the_fingerprint_and_nothing_else(made):
    usual = fingerprint(made, "cpu", Options(), (1, 2, 4))
    assert fingerprint(made, "cpu", Options(), (1, 2)) == usual
    assert fingerprint(made, "cpu", Options(threads=2), (1, 2, 4)) != usual
    assert fingerprint(made, "cpu", Options(optimization="extended"), (1, 2, 4)) != usual
    assert fingerprint(made, "cuda", Options(), (1, 2, 4)) != usual


@pytest.mark.parametrize("batch", [Batch(invariant=False), Batch(fixed=4)])
def test_the_size_of_a_batch_counts_where_answers_depend_on_it(made, batch):
    dependent = replace(made, manifest=made.manifest.model_copy(update={"batch": batch}))
    assert fingerprint(dependent, "cpu", Options(), (1,)) != fingerprint(dependent, "cpu", Options(), (4,))


def test_a_variant_is_measured_for_itself_and_answers_with_other_bits(tmp_path, open_to_all):
    made = with_variant(tmp_path / "m", mean_graph(), scaled_graph(0.95))
    keep(made, open_to_all)
    variant = made.as_variant("int8")
    assert plan(made, "cpu", open_to_all).measured
    assert not plan(variant, "cpu", open_to_all).measured
    assert subject(variant, "cpu", open_to_all).sha256 == made.manifest.files["model.int8.onnx"]
    assert fingerprint(variant, "cpu", Options(), (1,)) != fingerprint(made, "cpu", Options(), (1,))
