"""What each way loses: the same history on a new stand, one accident in its middle, then the record is counted."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.history import LESSOR
from benchmarks.peers.accidents import NONE, Accident, Place
from benchmarks.peers.counting import Losses, count
from benchmarks.peers.stand import Stand, running_ledger, running_stand
from benchmarks.peers.story import Story, paced
from benchmarks.peers.ways import Forwarder, Way
from local.audit import fold, read_blocks
from local.processes import ProcessError
from local.writer import Writer

BEGINS_S = 4.0
"""When the accident begins, after the first move of a car."""
STILL_S, WITHIN_S = 35.0, 75.0
"""After the history: so long nothing may change until the record is counted, and so long it is waited at most.

The relay may wait 30 s between two attempts."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When the accident begins, and how long is waited at the end, in seconds."""

    begins_s: float = BEGINS_S
    still_s: float = STILL_S
    within_s: float = WITHIN_S


USUAL = Timing()


def nothing() -> None:
    """Done at the end of a history where nobody waits for it."""


def lose(
    folder: Path,
    way: Way,
    accident: Accident,
    story: Story,
    timing: Timing = USUAL,
    at_end_of_history: Callable[[], None] = nothing,
) -> Losses:
    """What one way loses in one accident; `at_end_of_history` is called when all is committed and hardly anything runs.

    Raises ProcessError, also when it loses something though nothing happens.
    """
    folder.mkdir(parents=True)
    with running_ledger(folder) as ledger, running_stand(folder, ledger, accident.place) as stand:
        forwarder = Forwarder(way, stand)
        try:
            forwarder.await_stream()
            writer = Writer(ledger.url)
            writer.commit(story.registered)
            stand.settle(len(story.registered), timing.still_s, timing.within_s)
            with ThreadPoolExecutor(1) as committing:
                committed = committing.submit(writer.commit, paced(story.moved, story.rate))
                time.sleep(timing.begins_s)
                play(accident, stand, forwarder)
                committed.result()
            ended = time.time()
            at_end_of_history()
            stand.settle(story.transactions, timing.still_s, timing.within_s)
        finally:
            forwarder.stop()
        losses = count(fold(read_blocks(ledger.url), {LESSOR.public_key}), stand.rows("Cars"), stand.rows("Drivers"))
        late_s = max([ended, *stand.recorded().values()]) - ended
    if accident is NONE and not losses.is_complete:
        raise ProcessError(
            f"{way.name} does not deliver a quiet history completely: {losses.missing} of {losses.transactions} "
            f"transactions are missing; its log ends:\n{forwarder.child.log_tail()}"
        )
    return msgspec.structs.replace(losses, late_s=late_s)


def play(accident: Accident, stand: Stand, forwarder: Forwarder) -> None:
    """Have the accident happen, and mend it."""
    if accident.place is Place.FORWARDER:
        forwarder.kill()
        time.sleep(accident.lasts)
        forwarder.start_again()
    elif accident.place is Place.FUNCTION:
        stand.function.kill()
        time.sleep(accident.lasts)
        stand.function.start_again()
    elif stand.link is not None and accident.fault is not None:
        stand.link.switch(accident.fault)
        time.sleep(accident.lasts)
        stand.link.clear()
