"""How late a way is and what it takes while nothing happens, and whether it catches up with what it has not heard of.

Late is the time from the event on the ledger's stream, as another subscriber has it, to the row's Timestamp, which
Azurite gives when the Function's write comes in. Both are of one machine's clock. There is no proxy in between.
"""

import time
from pathlib import Path

import msgspec

from benchmarks.figures import percentile
from benchmarks.listening import listening
from benchmarks.parts import Ledger, Relay
from benchmarks.peers.accidents import Place
from benchmarks.peers.losses import STILL_S, WITHIN_S
from benchmarks.peers.stand import running_ledger, running_stand
from benchmarks.peers.story import Story, paced
from benchmarks.peers.ways import RELAY, Forwarder, Way
from local.processes import ProcessError
from local.writer import Writer

OBSERVED_S = 10.0
"""So long a way without a checkpoint is watched, whether it begins to catch up."""
CAUGHT_UP_S = 180.0


class Quiet(msgspec.Struct, frozen=True):
    """One quiet run: latency in ms, CPU time in ms for an event, and resident memory in MiB at its end."""

    p50: float
    p99: float
    longest: float
    cpu: float
    memory: float


def be_quiet(folder: Path, way: Way, story: Story) -> Quiet:
    """Measure one way over a quiet history. Raises ProcessError when not all of it arrives."""
    folder.mkdir(parents=True)
    with running_ledger(folder) as ledger, running_stand(folder, ledger, Place.NOWHERE) as stand:
        forwarder = Forwarder(way, stand)
        try:
            forwarder.await_stream()
            # Only now: until then, whoever is connected to the stream is the forwarder.
            with listening(ledger.stream_url, time.time) as heard:
                process, writer = Relay(forwarder.child, 0.0), Writer(ledger.url)
                writer.commit(story.registered)
                stand.settle(len(story.registered), STILL_S, WITHIN_S)
                before = process.cpu_seconds()
                writer.commit(paced(story.moved, story.rate))
                time.sleep(1.0)
                used = process.cpu_seconds() - before
                stand.settle(story.transactions, STILL_S, WITHIN_S)
                memory = process.resident_mib()
        finally:
            forwarder.stop()
        recorded = stand.recorded()
    lost = sum(one["id"] not in recorded for one in story.moved)
    if lost:
        raise ProcessError(f"{way.name} lost {lost} transactions of a quiet history:\n{forwarder.child.log_tail()}")
    took = [(recorded[one["id"]] - heard[one["id"]]) * 1000 for one in story.moved]
    return Quiet(percentile(took, 0.5), percentile(took, 0.99), max(took), used * 1000 / len(story.moved), memory)


def catch_up(folder: Path, way: Way, ledger: Ledger, transactions: int) -> float | None:
    """Seconds from the start of a way to the last of so many transactions that the ledger held already; None: never.

    Raises ProcessError when the relay is not level in time.
    """
    folder.mkdir(parents=True)
    with running_stand(folder, ledger, Place.NOWHERE) as stand:
        forwarder = Forwarder(way, stand)
        try:
            forwarder.await_stream()
            patience = CAUGHT_UP_S if way is RELAY else OBSERVED_S
            stand.settle(transactions, patience, patience)
        finally:
            forwarder.stop()
        recorded = stand.recorded()
    if len(recorded) >= transactions:
        return max(recorded.values()) - forwarder.started
    if way is RELAY:
        raise ProcessError(f"the relay recorded {len(recorded)} of {transactions}:\n{forwarder.child.log_tail()}")
    return None
