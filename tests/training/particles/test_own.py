"""What is wrong with a particle of one's own is told before anything is trained, and never as a bare traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from net_builders import clips, net_of

from training.errors import NetInvalid, ParticleUnknown

HEAD = """
import torch
from torch import nn
from training.particles.particle import Fusion, Particle, StateSpec, TemporalParticle

class Own({kind}):
    def __init__(self, {shapes}{options}):
        super().__init__()
        {init}
"""
END = ["flatten", "time_pool", {"particle": "linear", "channels": "outputs"}]
KEEPS = "self.out = shape; self.state = (StateSpec('s', shape.features),)"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """Writes a class `Own` into a module that was never imported, and gives its import path."""
    monkeypatch.chdir(tmp_path)

    def write(kind: str, init: str, *methods: str, shapes: str = "shape", options: str = "") -> str:
        name = f"own_{abs(hash(tmp_path))}"
        body = "".join(f"    {method}\n" for method in methods)
        (tmp_path / f"{name}.py").write_text(HEAD.format(kind=kind, init=init, shapes=shapes, options=options) + body)
        return f"{name}:Own"

    return write


def refused(path: str, *others: object) -> NetInvalid:
    with pytest.raises(NetInvalid) as told:
        net_of({"particle": path}, *others, *END, looks_at=clips())
    assert told.value.message.startswith(f"Particle 1 (net.0, {path}): ")
    return told.value


@pytest.mark.parametrize(
    ("kind", "init", "methods", "message"),
    [
        ("Particle", "raise KeyError('mine')", [], "Its `__init__` fails: KeyError: 'mine' ("),
        ("Particle", "self.out = shape", [], "It has no `forward`."),
        (
            "Particle",
            "self.out = shape",
            ["def forward(self, x): return x.nothing"],
            "shape that comes: AttributeError: ",
        ),
        ("Particle", "self.out = shape", ["def forward(self, x): return x, x"], "gives no tensor, but tuple."),
        ("TemporalParticle", KEEPS, ["def forward(self, x, state): return x, state"], "It has no `step`."),
        ("nn.Module", "raise ValueError()", [], "Its `__init__` fails: ValueError: without a word ("),
    ],
)
def test_what_is_wrong_is_told_with_its_place(written, kind: str, init: str, methods: list[str], message: str) -> None:
    shapes = "" if kind == "nn.Module" else "shape"
    assert message in refused(written(kind, init, *methods, shapes=shapes)).message


def test_a_failure_is_told_with_its_line(written) -> None:
    told = refused(written("Particle", "self.out = shape", "def forward(self, x): return torch.cat([x, 3])"))
    assert told.message.endswith("py, line 10).")


def test_options_that_it_lacks_are_still_told_as_such(written) -> None:
    path = written("Particle", "self.out = shape", "def forward(self, x): return x", options=", strength")
    assert "It lacks the option 'strength'." in refused(path).message


def test_one_that_looks_at_later_frames_needs_no_step(written) -> None:
    path = written(
        "TemporalParticle", "self.out, self.streams = shape, False", "def forward(self, x, state): return x, ()"
    )
    assert not net_of({"particle": path}, *END, looks_at=clips()).streams


def test_trying_one_that_draws_leaves_the_weights_behind_it_as_they_were(written) -> None:
    path = written("Particle", "self.out = shape", "def forward(self, x): return x + 0 * torch.rand_like(x)")
    mine, plain = (net_of({"particle": one}, *END, looks_at=clips()) for one in (path, "activation"))
    assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), plain.parameters(), strict=True))


def test_a_module_that_fails_when_it_is_imported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_that_fails.py").write_text("def f(:\n")
    with pytest.raises(ParticleUnknown, match=r"cannot be imported: SyntaxError: .*own_that_fails.py, line 1"):
        net_of({"particle": "own_that_fails:Own"})


def test_a_class_after_a_dot_is_told_where_the_colon_goes() -> None:
    with pytest.raises(ParticleUnknown) as told:
        net_of({"particle": "my_pkg.blocks.Sharpen"})
    assert "my_pkg.blocks:Sharpen" in str(told.value.hint)
