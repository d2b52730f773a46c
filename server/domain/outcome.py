"""What becomes of a frame. Every frame that a source delivers ends in exactly one of these."""

from enum import StrEnum


class Outcome(StrEnum):
    ANALYSED = "analysed"
    SAMPLED_OUT = "sampled_out"
    """Not asked for: `sample_fps` passed over it."""
    GATED = "gated"
    """Nothing moved, so the model was spared it."""
    DROPPED_BUSY = "dropped_busy"
    """A newer frame of a live source replaced it."""
    DROPPED_STALE = "dropped_stale"
    """Too old when its turn came."""
    DECODE_ERROR = "decode_error"
    """The container had it, the decoder gave no picture."""
    INFERENCE_ERROR = "inference_error"
    LOST = "lost"
    """A process died while it held it, and it could not be read again."""
    CANCELLED = "cancelled"


OUTCOMES: tuple[Outcome, ...] = tuple(Outcome)
