"""The root of the one error tree.

    VidserveError
    ├── ModelError
    │   ├── ManifestInvalid      a manifest that does not parse, or contradicts itself
    │   ├── BundleInvalid        a bundle whose files are missing, changed or unreadable
    │   ├── GoldenMismatch       a model that does not give its golden answers here
    │   ├── ImportRefused        a model that cannot be brought in (or whose answers would change)
    │   ├── ExportRefused        a net that cannot become a bundle (or whose answers would change)
    │   ├── ModelNotFound        no such name or version in the repository
    │   ├── VariantUnknown       a bundle that has no such variant
    │   ├── ModelExists          that version is there already
    │   ├── TaskDiffers          the name belongs to models of another task
    │   ├── TaskNotForVideo      a model that takes tensors was to look at pictures
    │   └── ModelReadOnly        a model that ships with the server cannot be removed
    └── VideoError
        ├── VideoUnreadable      not one frame could be read
        ├── VideoTooLarge        frames with more pixels than allowed
        └── VideoTooLong         more seconds than allowed

Packages above add their own branches; `server.core.statuses` gives each an HTTP status. Every class has a stable
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


class GoldenMismatch(ModelError):
    """A model that does not give its golden answers on the provider in use."""

    code = "golden_mismatch"


class ImportRefused(ModelError):
    """A model that cannot be brought in, or whose answers would change on the way."""

    code = "import_refused"


class ExportRefused(ModelError):
    """A net that cannot become a bundle, or whose answers would change on the way."""

    code = "export_refused"


class ModelNotFound(ModelError):
    """No such name or version in the repository."""

    code = "model_not_found"


class VariantUnknown(ModelError):
    """The bundle has no variant of that name."""

    code = "variant_unknown"


class ModelExists(ModelError):
    """The repository has that version of the model already."""

    code = "model_exists"


class TaskDiffers(ModelError):
    """The name belongs to models of another task."""

    code = "task_differs"


class TaskNotForVideo(ModelError):
    """A model that takes tensors was asked to look at a picture or a video."""

    code = "task_not_for_video"


class ModelReadOnly(ModelError):
    """A model that ships with the server: it can be overshadowed by a newer version, not removed."""

    code = "model_read_only"


class VideoError(VidserveError):
    """A video cannot be used."""

    code = "video_error"


class VideoUnreadable(VideoError):
    """Not one frame could be read."""

    code = "video_unreadable"


class VideoTooLarge(VideoError):
    """Its frames have more pixels than allowed."""

    code = "video_too_large"


class VideoTooLong(VideoError):
    """It lasts longer than allowed."""

    code = "video_too_long"
