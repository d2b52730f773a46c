"""The branch of the error tree for what happens between processes.

VidserveError
└── WireError
    ├── SharedMemoryTooSmall   the segments do not fit
    ├── FrameTooLarge          no slot is large enough, ever
    └── StaleFrame             the slot holds another frame by now
"""

from model_export.errors import VidserveError


class WireError(VidserveError):
    """Something between processes is not as it must be."""

    code = "wire_error"


class SharedMemoryTooSmall(WireError):
    """The machine (or container) gives less shared memory than the settings ask for."""

    code = "shared_memory_too_small"


class FrameTooLarge(WireError):
    """An array that no slot can ever hold."""

    code = "frame_too_large"


class StaleFrame(WireError):
    """The slot was given to another frame since the reference was made."""

    code = "stale_frame"
