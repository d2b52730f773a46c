"""All it takes to go on with a job after a given frame, with the same bytes as if nothing had happened."""

from __future__ import annotations

import msgspec

FORMAT = 2


class Checkpoint(msgspec.Struct, frozen=True):
    """Taken between two answers.

    Attributes:
        next_frame: index of the first frame that is not covered.
        outcomes: frames so far, in the order of `OUTCOMES`.
        sampler, scene: their states.
        rows: the engine's recurrent rows, in the manifest's order.
        feed: what the gate needs, where there is one.
    """

    format: int
    next_frame: int
    outcomes: tuple[int, ...]
    sampler: float
    scene: bytes
    rows: tuple[bytes, ...]
    feed: bytes

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, blob: bytes) -> Checkpoint:
        """Read one back.

        Raises:
            msgspec.ValidationError: it was written by another version of the server.
        """
        checkpoint = _decoder.decode(blob)
        if checkpoint.format != FORMAT:
            raise msgspec.ValidationError(f"a checkpoint of format {checkpoint.format}, this server writes {FORMAT}")
        return checkpoint


_decoder = msgspec.msgpack.Decoder(Checkpoint)
