"""A net that is served frame by frame must answer as it does to the clips that it learnt from."""

from pathlib import Path

import pytest
from net_builders import GRU_LIST, clips, net_of, some_frames
from run_builders import finished_run
from shape_runs import HEAD, recipe

from model_export.errors import ExportRefused
from model_export.repository import Repository
from training.export.bundling import export_run
from training.export.steps import see_steps

END = [{"particle": "time_pool"}, {"particle": "linear", "channels": "outputs"}]


def test_nets_whose_steps_come_to_what_the_clip_does_pass():
    recent = {"branches": {"own": ["own_particles:Trace"], "new": ["frame_difference"]}, "fuse": "add"}
    pooled = [{"particle": "time_pool", "kind": "std"}, END[1]]
    for net in (GRU_LIST, ["global_pool", recent, *END], ["global_pool", *pooled]):
        see_steps(net_of(*net, looks_at=clips()), some_frames())


@pytest.mark.parametrize(
    ("net", "place"),
    [
        (["global_pool", "own_particles:Forgetful", *END], "2 (net.1, "),
        (["own_particles:Trace", "own_particles:Forgetful", "global_pool", *END], "2 (net.1, "),
        (
            [{"branches": {"a": [], "b": ["own_particles:Forgetful"]}, "fuse": "add"}, "global_pool", *END],
            "1.b.1 (net.0.branches.b.0, ",
        ),
    ],
)
def test_a_particle_whose_step_differs_from_its_forward_is_named(net, place):
    with pytest.raises(ExportRefused) as told:
        see_steps(net_of(*net, looks_at=clips()), some_frames())
    assert f"Particle {place}Forgetful) answers otherwise frame by frame (`step`)" in told.value.message
    assert "--window" in str(told.value.hint)


def test_a_run_of_such_a_particle_becomes_no_model_that_goes_frame_by_frame(tmp_path: Path):
    net = ["global_pool", "own_particles:Forgetful", *HEAD]
    run = finished_run(tmp_path / "run", recipe("gru", tmp_path / "cache").model_copy(update={"net": net}))
    with pytest.raises(ExportRefused, match=r"Particle 2 \(net.1, Forgetful\) .* Nothing was written"):
        export_run(run, Repository(tmp_path / "models"))
    assert not (tmp_path / "models").exists()
    assert export_run(run, Repository(tmp_path / "models"), window=True).manifest.kind == "clip"
