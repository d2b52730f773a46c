"""A model measured in a process of its own, whose memory goes back to the system and whose end is a signal.

    python -m server.engine.tuning.process      (its configuration on standard input)

It exits with 0 when the choice is in the file.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from threading import Thread

from model_export.bundle import Bundle
from model_export.errors import VidserveError
from server.core.child import Life, read_config
from server.core.log import configure
from server.engine.tuning.choices import Choices
from server.engine.tuning.measure import measure
from server.engine.tuning.order import TuneOrder

_log = logging.getLogger(__name__)

_NICE = 5


def main() -> None:
    config = read_config(TuneOrder)
    configure(config.log)
    os.nice(_NICE)
    Thread(target=_end_with, args=(Life(),), name="life", daemon=True).start()
    bundle = Bundle.open(Path(config.bundle))
    takes = bundle.manifest.input
    assert takes is not None
    code = 1
    try:
        found = measure(bundle, takes, config.running)
        Choices(Path(config.running.choices)).put(found.subject, found.choice)
        _log.info("%s runs fastest here with %s, from its next load on", bundle.manifest.id, found.choice.words)
        code = 0
    except (VidserveError, OSError) as error:
        _log.error("%s was not measured: %s", bundle.manifest.id, error)
    logging.shutdown()
    os._exit(code)


def _end_with(life: Life) -> None:
    """Nobody waits for a measurement whose server is gone."""
    life.over.wait()
    os._exit(1)


if __name__ == "__main__":
    main()
