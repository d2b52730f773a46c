import ctypes
import os

import pytest

from server.worker.live.access_units import Unit
from server.worker.live.connection import packet_of

PADDING = 64
"""Bytes that FFmpeg's decoders may read beyond a packet's end (AV_INPUT_BUFFER_PADDING_SIZE)."""


@pytest.mark.parametrize("size", [1, 100, 5000, 65_536, 300_000])
def test_behind_a_picture_there_are_zeros_for_a_decoder_that_reads_on(size):
    data = os.urandom(size)
    packet = packet_of(Unit(data, 90, 0.0, key=True))
    assert (bytes(packet), packet.pts) == (data, 90)
    assert ctypes.string_at(packet.buffer_ptr + size, PADDING) == bytes(PADDING)
