"""The trainer's branch of the error tree.

VidserveError
└── TrainingError
    ├── ConfigInvalid        a configuration with an unknown key, or a value that cannot be
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


class ModelUnsuitable(TrainingError):
    """A model that cannot be evaluated or explained: it takes or gives something else than was expected."""

    code = "model_unsuitable"
