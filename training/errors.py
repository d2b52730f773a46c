"""The trainer's branch of the error tree.

VidserveError
└── TrainingError
    ├── TrainerMissing       the trainer's libraries are not installed
    ├── ModelUnsuitable      a model that cannot be evaluated or explained
    ├── ConfigInvalid        a configuration with an unknown key, or a value that cannot be
    ├── NetInvalid           a list of particles that makes no net
    │   ├── ParticleUnknown  no particle of that name, or none at that import path
    │   ├── OptionInvalid    an option that the particle does not have, or a value that it cannot take
    │   └── ShapeMismatch    what comes does not fit the particle
    ├── RunError
    │   ├── RunExists        another run has that name
    │   ├── RunChanged       a resume with another configuration, or other data
    │   ├── NothingToResume  no run of that name, or not one finished epoch
    │   ├── LossNotFinite    the loss became NaN or infinite
    │   ├── RunNotWritten    a checkpoint or another file of the run could not be written
    │   ├── TeacherUnsuitable  a teacher that looks at other data, or answers otherwise
    │   ├── WeightsInvalid   a file of weights that cannot be read, or in which nothing matches
    │   └── DeviceMissing    a device that this machine does not have
    ├── SearchError
    │   ├── StudyExists      something that is no study has that name
    │   ├── StudyChanged     a study that goes on with another search, or other data
    │   ├── StudyBusy        another process is at it
    │   ├── StudyNotKept     its file of trials cannot be read or written
    │   └── NothingFeasible  not one of many draws made a net that could be trained
    └── DataError
        ├── DataNotFound     no such folder or file, or nothing in it
        ├── DataInvalid      labels, lists or tables that do not fit the files, or are not what they say
        ├── OneClass         every sample has the same class
        ├── TooManyBroken    too many files cannot be read
        ├── ClassesChanged   the classes are not those that a run was trained with
        └── SplitInvalid     the data cannot be split as asked, or not as it was before
"""

from __future__ import annotations

from model_export.errors import VidserveError


class TrainingError(VidserveError):
    """Something in training went wrong that its user can mend."""

    code = "training_error"


class TrainerMissing(TrainingError):
    """The trainer's libraries are not installed: the server does without them."""

    code = "trainer_missing"


class ConfigInvalid(TrainingError):
    """A configuration with an unknown key, or a value that cannot be."""

    code = "config_invalid"


class DataError(TrainingError):
    """A data set cannot be used."""

    code = "data_error"


class DataNotFound(DataError):
    """No such folder or file, or nothing in it that could be learnt from."""

    code = "data_not_found"


class DataInvalid(DataError):
    """Labels, lists or tables that do not fit the files, or are not what they say."""

    code = "data_invalid"


class OneClass(DataError):
    """Every sample has the same class: there is nothing to tell apart."""

    code = "data_one_class"


class TooManyBroken(DataError):
    """More files than allowed cannot be read."""

    code = "data_too_many_broken"


class ClassesChanged(DataError):
    """The classes are not those that a run was trained with."""

    code = "data_classes_changed"


class SplitInvalid(DataError):
    """The data cannot be split as asked, or not as they were before."""

    code = "data_split_invalid"


class NetInvalid(TrainingError):
    """A list of particles that makes no net."""

    code = "net_invalid"


class ParticleUnknown(NetInvalid):
    """No particle of that name, or none at that import path."""

    code = "particle_unknown"


class OptionInvalid(NetInvalid):
    """An option that the particle does not have, or a value that it cannot take."""

    code = "particle_option_invalid"


class ShapeMismatch(NetInvalid):
    """What comes does not fit the particle.

    Args:
        needs: what would fit.
        came: the shape that came.
        hint: how to make one of the other.
    """

    code = "shape_mismatch"

    def __init__(self, needs: str, came: object, *, hint: str | None = None) -> None:
        super().__init__(f"It needs {needs}, and {came} comes.", hint=hint)


class RunError(TrainingError):
    """A run cannot begin or go on."""

    code = "run_error"


class RunExists(RunError):
    """Another run has that name."""

    code = "run_exists"


class RunChanged(RunError):
    """A resume with another configuration, or with other data."""

    code = "run_changed"


class NothingToResume(RunError):
    """No run of that name, or one without a finished epoch."""

    code = "nothing_to_resume"


class LossNotFinite(RunError):
    """The loss became NaN or infinite."""

    code = "loss_not_finite"


class RunNotWritten(RunError):
    """A checkpoint or another file of the run could not be written."""

    code = "run_not_written"


class WeightsInvalid(RunError):
    """A file of weights that cannot be read, or in which nothing matches the net."""

    code = "weights_invalid"


class TeacherUnsuitable(RunError):
    """A teacher that cannot teach these data: it looks at other frames, or answers with other labels."""

    code = "teacher_unsuitable"


class DeviceMissing(RunError):
    """A device that this machine does not have."""

    code = "device_missing"


class SearchError(TrainingError):
    """A search cannot begin or go on."""

    code = "search_error"


class StudyExists(SearchError):
    """Something that is no study has that name."""

    code = "study_exists"


class StudyChanged(SearchError):
    """A study that goes on with another search, or other data."""

    code = "study_changed"


class StudyBusy(SearchError):
    """Another process is at the study."""

    code = "study_busy"


class StudyNotKept(SearchError):
    """A study's file of trials cannot be read or written."""

    code = "study_not_kept"


class NothingFeasible(SearchError):
    """Not one of many draws made a net that could be trained."""

    code = "nothing_feasible"


class ModelUnsuitable(TrainingError):
    """A model that cannot be evaluated or explained: it takes or gives something else than was expected."""

    code = "model_unsuitable"
