import json

import numpy as np
import pytest
from torch_net_builders import (
    GRU_STATE,
    HIDDEN,
    LABELS,
    SIDE,
    WINDOW,
    EmbeddingNet,
    PictureNet,
    RecurrentNet,
    WindowNet,
    clips,
    draft,
    net,
    pictures,
)

torch = pytest.importorskip("torch")

from model_export import golden  # noqa: E402
from model_export.bundle import Bundle  # noqa: E402
from model_export.check import check_bundle  # noqa: E402
from model_export.errors import BundleInvalid, ExportRefused, ModelExists  # noqa: E402
from model_export.manifest import State, Task  # noqa: E402
from model_export.playing import play  # noqa: E402
from model_export.repository import Repository  # noqa: E402
from model_export.session import Session  # noqa: E402
from model_export.torch_export import export  # noqa: E402

PICTURE = (PictureNet, {"metrics": {"accuracy": 0.9}}, pictures())
STATE = (RecurrentNet, {"state": GRU_STATE}, clips())
CLIPS = (WindowNet, {"window": WINDOW, "fps": 10}, clips(frames=WINDOW))
VECTORS = (EmbeddingNet, {"task": Task.EMBED, "labels": (), "logits": False}, pictures())


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The bundle of a net, exported once for all tests: torch takes seconds."""
    repository, made = Repository(tmp_path_factory.mktemp("models")), {}

    def of(case):
        kind, said, samples = case
        if kind not in made:
            wanted = draft(name=kind.__name__.lower(), **said)
            made[kind] = export(net(kind), wanted, samples, repository, validation=[samples[:3], samples[3:]])
        return made[kind]

    return of


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "models")


def answers(bundle, samples):
    session = Session(bundle.model, name=bundle.manifest.id)
    return play(session.run, samples, bundle.manifest.input.name, bundle.manifest.state)


def test_a_classifier_of_pictures_answers_as_its_net(exported):
    with torch.no_grad():
        expected = net(PictureNet).eval()(torch.from_numpy(pictures())).softmax(1).numpy()

    got = answers(exported(PICTURE), pictures())[0]["probabilities"]

    np.testing.assert_allclose(got, expected, atol=1e-4, rtol=0)


def test_a_recurrent_net_becomes_a_frame_model_with_state(exported):
    module, memory, expected = net(RecurrentNet).eval(), torch.zeros(5, HIDDEN), []
    with torch.no_grad():
        for frame in torch.from_numpy(clips()).unbind(1):
            logits, memory = module(frame, memory)
            expected.append(logits.softmax(1).numpy())

    got = [answer["probabilities"] for answer in answers(exported(STATE), clips())]

    np.testing.assert_allclose(got, expected, atol=1e-4, rtol=0)
    assert np.abs(got[-1] - got[0]).max() > 0.01
    assert exported(STATE).manifest.kind == "frame"
    assert exported(STATE).manifest.state == GRU_STATE


def test_streams_of_a_recurrent_net_that_share_a_batch_get_the_same_numbers(exported):
    together = answers(exported(STATE), clips())

    for stream in range(5):
        for step, alone in enumerate(answers(exported(STATE), clips()[stream : stream + 1])):
            got = together[step]["probabilities"][stream]
            np.testing.assert_allclose(got, alone["probabilities"][0], atol=1e-6, rtol=0)


def test_a_net_that_needs_a_window_takes_clips(exported):
    samples = clips(frames=WINDOW)
    with torch.no_grad():
        expected = net(WindowNet).eval()(torch.from_numpy(samples)).softmax(1).numpy()

    bundle = exported(CLIPS)

    np.testing.assert_allclose(answers(bundle, samples)[0]["probabilities"], expected, atol=1e-4, rtol=0)
    assert (bundle.manifest.kind, bundle.manifest.window, bundle.manifest.fps) == ("clip", WINDOW, 10)
    assert bundle.manifest.ask_shape == (WINDOW, SIDE, SIDE, 3)


@pytest.mark.parametrize("case", [PICTURE, STATE, CLIPS, VECTORS], ids=["pictures", "state", "clips", "vectors"])
def test_a_bundle_passes_the_check_of_bundles(exported, case):
    found = "; ".join(check_bundle(exported(case)))

    assert "golden samples agree" in found
    assert "inputs and outputs are those of the manifest" in found


def test_what_it_usually_sees_is_counted(exported):
    counted = json.loads((exported(PICTURE).folder / "reference.json").read_text())

    assert counted["frames"] == 5
    assert sum(counted["classes"].values()) == 5
    assert set(counted["classes"]) == set(LABELS)


def test_of_streams_every_frame_is_counted(exported):
    assert json.loads((exported(STATE).folder / "reference.json").read_text())["frames"] == 45


def test_the_mean_of_vectors_is_counted(exported):
    counted = json.loads((exported(VECTORS).folder / "reference.json").read_text())

    expected = answers(exported(VECTORS), pictures())[0]["embedding"].mean(axis=0)
    np.testing.assert_allclose(counted["embedding"], expected, atol=1e-6)


def test_the_manifest_says_where_it_came_from(exported):
    manifest = exported(PICTURE).manifest

    assert {"torch", "onnx", "numpy"} <= manifest.provenance.versions.keys()
    assert manifest.metrics == {"accuracy": 0.9}


def test_the_graph_names_no_files_of_who_exported_it(exported):
    assert b"torch_net_builders" not in exported(PICTURE).model.read_bytes()


def test_versions_follow_each_other_none_is_written_over_and_the_net_stays_as_it_was(repository):
    module = net(PictureNet).train()

    first, second = (export(module, draft(), pictures(), repository) for _ in range(2))

    assert (first.manifest.version, second.manifest.version) == (1, 2)
    assert module.training
    with pytest.raises(ModelExists):
        export(module, draft(), pictures(), repository, version=1)


def test_a_graph_that_answers_otherwise_is_refused_with_the_numbers(repository):
    class Shifted(PictureNet):
        def forward(self, frames):
            logits = super().forward(frames)
            return logits * (1.05 if torch.compiler.is_exporting() else 1.0)

    with pytest.raises(ExportRefused, match=r"'probabilities' differs by .* instead of .* At most 0.0001"):
        export(net(Shifted), draft(), pictures(), repository)
    assert repository.names() == ()


def test_a_bundle_whose_golden_answers_are_no_numbers_does_not_pass_the_check(exported, tmp_path):
    good = exported(PICTURE)
    samples = golden.read(good.golden)
    outputs = {name: np.full_like(value, np.nan) for name, value in samples.outputs.items()}
    files = {"model.onnx": good.model, "golden.npz": golden.encode(samples.inputs, outputs)}
    with pytest.raises(BundleInvalid, match="picturenet@1 answers its golden samples with NaN"):
        check_bundle(Bundle.write(tmp_path / "bad", good.manifest, files))


def test_a_net_whose_answer_is_no_number_is_refused(repository):
    broken = net(PictureNet)
    broken.head.bias.data[0] = float("nan")
    with pytest.raises(ExportRefused, match=r"answer is not a number for sample 0: 'probabilities'.* Nothing was"):
        export(broken, draft(), pictures(), repository)

    class Later(RecurrentNet):
        def forward(self, frames, memory):
            logits, after = super().forward(frames, memory)
            return logits / (memory.abs().sum() == 0), after

    with pytest.raises(ExportRefused, match="answer is not a number for sample 0, frame 1"):
        export(net(Later), draft(state=GRU_STATE), clips(), repository)
    assert repository.names() == ()


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (pictures()[:, :20], {}),
        (pictures().astype(np.float32), {}),
        (clips(), {}),
        (pictures()[:0], {}),
        (pictures(), {"state": GRU_STATE}),
        (clips(frames=WINDOW + 1), {"window": WINDOW}),
    ],
    ids=["low", "floats", "clips for a picture net", "none", "pictures for a state", "too long a clip"],
)
def test_samples_of_another_shape_are_refused(repository, samples, said):
    with pytest.raises(ExportRefused, match=r"Samples are .*; this net takes uint8"):
        export(net(PictureNet), draft(**said), samples, repository)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"labels": ()}, "needs labels"),
        ({"labels": ("one", "two")}, "Classes of the net: 3; labels that were given: 2"),
        ({"task": "guess"}, "There is no task 'guess'"),
        ({"task": Task.TENSOR}, "There is no task"),
        ({"name": "Big Net"}, "is no name for a model"),
        ({"task": Task.SEGMENT}, "Logits"),
        ({"task": Task.DETECT, "logits": False}, "wants a mapping with boxes, scores, class_ids"),
        ({"task": Task.SEGMENT, "logits": False}, r"'mask' as \[3, 3\] .* wants 3 axes"),
        ({"window": 4, "state": GRU_STATE}, "not both"),
    ],
)
def test_a_draft_that_does_not_fit_the_net_is_refused(repository, said, why):
    with pytest.raises(ExportRefused, match=why):
        export(net(PictureNet), draft(**said), pictures(), repository)


def test_a_state_of_another_shape_is_refused(repository):
    wrong = (State(input="memory", output="next_memory", dtype="float32", shape=(HIDDEN + 1,)),)

    with pytest.raises(ExportRefused, match="The net fails on"):
        export(net(RecurrentNet), draft(state=wrong), clips(), repository)


def test_a_state_that_nobody_spoke_of_is_refused(repository):
    two = (*GRU_STATE, State(input="more", output="next_more", dtype="float32", shape=(2,)))

    class Forgetful(RecurrentNet):
        def forward(self, frames, memory, more):
            return super().forward(frames, memory)

    with pytest.raises(ExportRefused, match="gives 1 tensors of state, and 2 were said"):
        export(net(Forgetful), draft(state=two), clips(), repository)


def test_a_net_whose_way_depends_on_the_picture_is_refused_without_a_word_of_torch(repository, capfd):
    class Wavering(PictureNet):
        def forward(self, frames):
            logits = super().forward(frames)
            return logits if frames.float().mean() > 10 else -logits

    with pytest.raises(ExportRefused, match="torch cannot export the net"):
        export(net(Wavering), draft(), pictures(), repository)
    assert tuple(capfd.readouterr()) == ("", "")
