from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from fit_builders import NET, a_recipe, shades, state_of, trained
from net_builders import net_of, pictures
from onnx import TensorProto, helper, numpy_helper

from training.errors import ConfigInvalid, WeightsInvalid
from training.fit import fit
from training.transfer import take_over

CONV = "net.chain.nodes.conv_1.particle.layers.0.weight"
LINEAR = "net.chain.nodes.linear_4.particle.linear.weight"


def small(outputs: int = 2, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return net_of(*NET, looks_at=pictures(channels=1), outputs=outputs)


def test_parts_of_the_same_name_and_shape_are_taken_over_and_named(tmp_path: Path) -> None:
    trained(tmp_path / "old")
    net = small(outputs=3)

    taken = take_over(net, tmp_path / "old")

    assert taken.parts == ("conv_1",)
    assert taken.fresh == ("linear_4",)
    old = state_of(tmp_path / "old" / "best.ckpt")
    assert torch.equal(net.state_dict()[CONV.removeprefix("net.")], old[CONV])
    running = "chain.nodes.conv_1.particle.layers.1.running_mean"
    assert torch.equal(net.state_dict()[running], old[f"net.{running}"])


def test_weights_of_a_checkpoint_and_of_a_graph_are_taken_over_too(tmp_path: Path) -> None:
    trained(tmp_path / "old")
    assert take_over(small(), tmp_path / "old" / "last.ckpt").fresh == ()

    weight = torch.full((4, 1, 3, 3), 0.25)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "exported",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(weight.numpy(), CONV)],
    )
    (tmp_path / "bundle").mkdir()
    onnx.save(helper.make_model(graph), tmp_path / "bundle" / "model.onnx")
    net = small()
    taken = take_over(net, tmp_path / "bundle")

    assert taken.names == (CONV.removeprefix("net."),)
    assert torch.equal(net.state_dict()[CONV.removeprefix("net.")], weight)


def test_what_was_taken_over_rests_and_then_learns(tmp_path: Path) -> None:
    trained(tmp_path / "old")
    old = state_of(tmp_path / "old" / "best.ckpt")
    mean = "net.chain.nodes.conv_1.particle.layers.1.running_mean"
    told: list[str] = []

    for name, epochs in (("frozen", 1), ("thawed", 3)):
        fit(
            a_recipe(transfer={"weights": str(tmp_path / "old"), "freeze": 1}, fit={"epochs": epochs}, seed=5),
            tmp_path / name,
            lambda recipe, folder: shades(classes=3),
            say=told.append,
        )
    frozen, thawed = (state_of(tmp_path / name / "last.ckpt") for name in ("frozen", "thawed"))

    assert told[:2] == ["Taken over: conv_1.", "Fresh: linear_4."]
    assert torch.equal(frozen[CONV], old[CONV])
    assert torch.equal(frozen[mean], old[mean])
    assert not torch.equal(thawed[CONV], old[CONV])
    assert not torch.equal(thawed[mean], old[mean])
    assert frozen[LINEAR].shape[0] == 3


def test_nothing_left_to_train_is_told(tmp_path: Path) -> None:
    trained(tmp_path / "old")
    with pytest.raises(ConfigInvalid, match="nothing would be left to train"):
        trained(tmp_path / "new", transfer={"weights": str(tmp_path / "old"), "freeze": 1})


def test_weights_that_are_none_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    (tmp_path / "text.onnx").write_text("not a graph")
    with pytest.raises(WeightsInvalid, match="neither a checkpoint nor"):
        take_over(small(), tmp_path / "empty")
    with pytest.raises(WeightsInvalid, match="There is no file"):
        take_over(small(), tmp_path / "absent.ckpt")
    with pytest.raises(WeightsInvalid, match="cannot be read as a checkpoint"):
        take_over(small(), tmp_path / "text.ckpt")
    with pytest.raises(WeightsInvalid, match="cannot be read as ONNX"):
        take_over(small(), tmp_path / "text.onnx")
    trained(tmp_path / "old")
    other = net_of("flatten", {"particle": "linear", "channels": 2}, looks_at=pictures(channels=1, size=4), outputs=2)
    with pytest.raises(WeightsInvalid, match="Nothing in"):
        take_over(other, tmp_path / "old")
