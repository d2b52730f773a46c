"""The root of the one error tree.

    VidserveError
    ├── ModelError
    │   ├── ManifestInvalid      a manifest that does not parse, or contradicts itself
    │   ├── BundleInvalid        a bundle whose files are missing, changed or unreadable
    │   ├── ImportRefused        a model that cannot be brought in (or whose answers would change)
    │   └── ModelNotFound        no such name or version in the repository
    └── VideoError
        └── VideoUnreadable      not one frame could be read

Packages above add their own branches; `server.core.errors` gives each an HTTP status. Every class has a stable
`code`, which clients may rely on; the text may change.
"""

from typing import ClassVar


class VidserveError(Exception):
    """Something went wrong that a user can be told about.

    Args:
        message: what happened, in one sentence.
        hint: what to do about it, where that helps.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class ModelError(VidserveError):
    """A model, its bundle or its repository is not as it must be."""

    code = "model_error"


class ManifestInvalid(ModelError):
    """A manifest that does not parse, or contradicts itself."""

    code = "manifest_invalid"


class BundleInvalid(ModelError):
    """A bundle whose files are missing, changed or unreadable."""

    code = "bundle_invalid"


class ImportRefused(ModelError):
    """A model that cannot be brought in, or whose answers would change on the way."""

    code = "import_refused"


class ModelNotFound(ModelError):
    """No such name or version in the repository."""

    code = "model_not_found"


class VideoError(VidserveError):
    """A video cannot be used."""

    code = "video_error"


class VideoUnreadable(VideoError):
    """Not one frame could be read."""

    code = "video_unreadable"
