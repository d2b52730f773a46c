"""A model measured in a process of its own, whose memory goes back to the system and whose end is a signal.

python -m server.engine.tuning.process      (a `TuneOrder` on standard input, an `Ending` as exit code)
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
from server.engine.tuning.bystanders import Bystanders
from server.engine.tuning.choices import Choices
from server.engine.tuning.measure import measure
from server.engine.tuning.order import Ending, TuneOrder

_log = logging.getLogger("server.engine.tuning")

_NICE = 5


class _Disturbed(Exception):
    """Other processes use so much of the machine that the figures mean nothing."""


def main() -> None:
    order = read_config(TuneOrder)
    configure(order.log)
    os.nice(_NICE)
    Thread(target=_end_with, args=(Life(),), name="life", daemon=True).start()
    ending = _ending(order)
    logging.shutdown()
    os._exit(ending)


def _ending(order: TuneOrder) -> Ending:
    bystanders = Bystanders(order.running.cores)

    def look_around() -> None:
        if bystanders.share > order.tolerance:
            raise _Disturbed

    try:
        bundle = Bundle.open(Path(order.bundle))
        found = measure(bundle, order.running, lambda _: look_around())
        look_around()
        Choices(Path(order.running.choices)).put(found.subject, found.choice)
    except _Disturbed:
        _log.info("measuring %s later: other processes use %.0f %% of the cores", order.bundle, 100 * bystanders.share)
        return Ending.DISTURBED
    except (VidserveError, OSError) as error:
        _log.error("%s was not measured: %s", order.bundle, error)
        return Ending.FAILED
    _log.info("%s runs fastest here with %s, from its next load on", bundle.manifest.id, found.choice.words)
    return Ending.KEPT


def _end_with(life: Life) -> None:
    """Nobody waits for a measurement whose server is gone."""
    life.over.wait()
    os._exit(Ending.FAILED)


if __name__ == "__main__":
    main()
