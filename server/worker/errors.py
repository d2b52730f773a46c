"""What ends a job in its worker.

VidserveError
├── InferenceFailed       the engine gave no answer to any frame
├── ModelGone             it does not have the model (any more)
├── EngineSilent          it does not answer at all
├── ResultsRefused        the API process takes no results
└── CheckpointUnreadable  of another version of the server, or damaged
"""

from __future__ import annotations

from model_export.errors import VidserveError


class InferenceFailed(VidserveError):
    """The engine gave no answer to any frame."""

    code = "inference_failed"


class ModelGone(VidserveError):
    """The engine does not have the model (any more)."""

    code = "model_not_loaded"


class EngineSilent(VidserveError):
    """The engine does not answer at all."""

    code = "engine_silent"


class ResultsRefused(VidserveError):
    """The API process takes no results."""

    code = "results_refused"


class CheckpointUnreadable(VidserveError):
    """Another version of the server wrote it, or it is damaged; the job can begin again without it."""

    code = "checkpoint_unreadable"
