"""Why a source gives no pictures; the codes are what users and `stream_reconnects_total{reason}` see.

VidserveError
└── SourceError
    ├── SourceInvalid        a URL that cannot be one of a source                         for good
    ├── SourceUnreachable    no such host, no way there, no answer to the connection
    ├── SourceRefused        somebody is there, and declines
    ├── SourceUnauthorized   it wants (other) credentials
    ├── SourceNotFound       there is no such path, file or device
    ├── SourceSilent         connected, but nothing comes, or no picture in what comes
    ├── SourceNotVideo       what comes is no video
    ├── SourceTooLarge       frames of more pixels than are taken
    ├── SourceLost           it worked, and the connection broke
    ├── SourceLate           its frames were too old for a while: the backlog is thrown away
    └── SourceEnded          its file is over                                             for good

What is not for good is tried again, for ever: a camera that is moved, switched off or set up anew comes back.
"""

from __future__ import annotations

from typing import ClassVar

from model_export.errors import VidserveError


class SourceError(VidserveError):
    """A source gives no pictures.

    Attributes:
        mends: whether trying again may help.
    """

    code = "source_error"
    mends: ClassVar[bool] = True


class SourceInvalid(SourceError):
    """A URL that cannot be one of a source."""

    code = "source_invalid"
    mends = False


class SourceUnreachable(SourceError):
    """No such host, no way there, or no answer to the connection."""

    code = "source_unreachable"


class SourceRefused(SourceError):
    """Somebody is there, and declines."""

    code = "source_refused"


class SourceUnauthorized(SourceError):
    """It wants credentials, or others than it got. Tried again seldom, or it locks out who may watch, too."""

    code = "source_unauthorized"


class SourceNotFound(SourceError):
    """There is no such path, file or device."""

    code = "source_not_found"


class SourceSilent(SourceError):
    """It is connected, but nothing comes, or no picture in what comes."""

    code = "source_silent"


class SourceNotVideo(SourceError):
    """What comes is no video."""

    code = "source_not_video"


class SourceTooLarge(SourceError):
    """Its frames have more pixels than are taken."""

    code = "source_too_large"


class SourceLost(SourceError):
    """It worked, and the connection broke."""

    code = "source_lost"


class SourceLate(SourceError):
    """Its frames were too old for a while; connected anew, what has piled up on the way is thrown away."""

    code = "source_late"


class SourceEnded(SourceError):
    """The file is over."""

    code = "source_ended"
    mends = False
