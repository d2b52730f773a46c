"""The one error of the benchmark."""


class NotMeasured(RuntimeError):
    """The server, the engine or the rival did not do what was to be measured; the message says what instead."""
