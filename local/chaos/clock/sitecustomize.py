"""Imported by Python as it starts, where this folder is on its path: the process's clock is off by what a file says.

The file is named by CHAOS_CLOCK_FILE and holds seconds; it is read again and again, so that the clock jumps while the
process runs. The monotonic clock, by which waits are measured, is left alone, as it is when a machine's time is set.
"""

import datetime as dt
import os
import threading
import time
from pathlib import Path

import time_machine

LOOK_S = 0.2


def _follow(path: Path) -> None:
    offset = 0.0
    journey: time_machine.travel | None = None
    while True:
        try:
            wanted = float(path.read_text())
        except (OSError, ValueError):
            wanted = 0.0
        if wanted != offset:
            if journey is not None:
                journey.stop()
            offset, journey = wanted, None
            if offset:
                journey = time_machine.travel(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=offset), tick=True)
                journey.start()
        time.sleep(LOOK_S)


if name := os.environ.get("CHAOS_CLOCK_FILE"):
    threading.Thread(target=_follow, args=(Path(name),), name="clock", daemon=True).start()
