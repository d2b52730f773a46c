"""The number of a picture survives encoding, and the model reads what is there."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import onnxruntime as ort
import pytest

from model_export.bundle import Bundle
from model_export.geometry import fit
from tests.cameras.material import Material, Picture
from tests.cameras.numbers import NUMBERS, numbered, read_number, write_reader


def shown(material: Material) -> list[Picture]:
    """Its pictures, decoded."""
    decoder = av.CodecContext.create(material.codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    packets = [av.Packet(unit.data) for unit in material.units]
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in frames]


@pytest.mark.parametrize("size_wh", [(640, 360), (320, 240)])
def test_every_number_is_read_by_us_and_by_the_model(size_wh: tuple[int, int], tmp_path: Path) -> None:
    pictures = shown(numbered(size_wh=size_wh))
    assert [read_number(picture) for picture in pictures] == list(range(NUMBERS))
    bundle = Bundle.open(tmp_path / write_reader(tmp_path) / "1")
    bundle.verify()
    session = ort.InferenceSession(bundle.model, providers=["CPUExecutionProvider"])
    takes = bundle.manifest.input
    assert takes is not None
    batch = np.stack([fit(picture, takes) for picture in pictures])
    (probabilities,) = session.run(None, {"frames": batch})
    assert probabilities.argmax(axis=1).tolist() == list(range(NUMBERS))
    assert probabilities.sum(axis=1).tolist() == [1.0] * NUMBERS
