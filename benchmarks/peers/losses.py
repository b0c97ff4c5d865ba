"""What each way loses: the same history on a new stand, one accident in its middle, then the record is counted."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.history import LESSOR, Shape
from benchmarks.parts import Bench
from benchmarks.peers.accidents import NONE, Accident, Place
from benchmarks.peers.counting import MARK, Losses, count
from benchmarks.peers.stand import Stand, blocks_of, running_stand
from benchmarks.peers.ways import Forwarder, Way, forwarding
from local.audit import fold, read_blocks
from local.processes import ProcessError

REGISTERING_S, BLOCK_S = 0.2, 1.0
"""Seconds between blocks while cars are registered, and while they move."""
BEGINS_S = 4.2
"""When the accident begins, after the first block of moves: while the events of the fifth are under way."""
STILL_S, WITHIN_S = 35.0, 75.0
"""After the history: so long nothing may change until the record is counted, and so long it is waited at most.

It is more than the longest wait between two attempts, which is the relay's, of up to 30 s (CAP_S in relay/backoff.py).
"""


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
    bench: Bench,
    recording: Path,
    shape: Shape,
    way: Way,
    accident: Accident,
    timing: Timing = USUAL,
    at_end_of_history: Callable[[], None] = nothing,
) -> Losses:
    """What one way loses of a recorded history of this shape in one accident.

    `at_end_of_history` is called when the last block has come and hardly anything runs. Raises ProcessError, also when
    something is lost though nothing happens, or before it does; ValueError where the history does not fill its blocks.
    """
    registering, moving = blocks_of(shape)
    folder.mkdir(parents=True)
    with running_stand(folder, bench, recording, accident.place) as stand:
        with forwarding(way, stand.route, folder) as forwarder:
            forwarder.await_stream(stand.is_followed)
            stand.grow(registering, REGISTERING_S)
            registered = stand.settle(shape.cars, timing.still_s, timing.within_s)
            if registered < shape.cars:
                raise _incomplete(way, forwarder, shape.cars - registered, shape.cars)
            stand.grow(moving, BLOCK_S)
            time.sleep(timing.begins_s)
            play(accident, stand, forwarder)
            ended = stand.await_last_block()
            at_end_of_history()
            stand.settle(shape.transactions, timing.still_s, timing.within_s)
        cars = stand.rows("Cars")
        losses = count(fold(read_blocks(stand.node.url), {LESSOR.public_key}), cars, stand.rows("Drivers"))
    if accident is NONE and not losses.is_complete:
        raise _incomplete(way, forwarder, losses.missing, losses.transactions)
    last = max(row["Timestamp"].timestamp() for row in cars if row["RowKey"].startswith(MARK))
    return msgspec.structs.replace(losses, late_s=max(0.0, last - ended))


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


def _incomplete(way: Way, forwarder: Forwarder, missing: int, transactions: int) -> ProcessError:
    return ProcessError(
        f"{way.name} does not deliver a quiet history completely: {missing} of {transactions} transactions are "
        f"missing; its log ends:\n{forwarder.child.log_tail()}"
    )
