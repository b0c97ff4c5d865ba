"""A leasing history that a ledger has committed, as it is measured with: its recording, its events, and its rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import batched
from pathlib import Path

from benchmarks.command import Say
from benchmarks.history import BLOCK_TIME_S, LESSOR, Json, Shape, Story, commit_story, signed_story
from benchmarks.leases import EVENTS_PER_BLOCK, Event, History
from benchmarks.parts import Bench, Ledger
from benchmarks.recording import record
from benchmarks.table_calls import InMemoryRecord, Rows
from functions.rating.tariff import read_tariff

SEEDING_BATCH = 500


class Workload:
    """A history on a ledger that still runs; `recording` is the file that recorded nodes serve it from."""

    def __init__(self, ledger: Ledger, recording: Path, story: Story) -> None:
        self.ledger = ledger
        self.recording = recording
        self.story = story

    @cached_property
    def history(self) -> History:
        """Its events: those that register cars, and those that follow."""
        return History(_events(self.story.registered, 0), _events(self.story.moved, len(self.story.registered)))

    @cached_property
    def registered(self) -> Rows:
        """The rows of the record once all cars are registered, and nothing else has happened."""
        record = InMemoryRecord({LESSOR.public_key}, read_tariff())
        for some in batched(self.history.before, SEEDING_BATCH, strict=False):
            record.apply([event.parsed() for event in some])
        return dict(record.rows)


@contextmanager
def committed(bench: Bench, shape: Shape, seed: int, say: Say) -> Iterator[Workload]:
    """A history of this shape and seed, committed to a local ledger that runs for the length of a with block.

    Raises LedgerRefusedError.
    """
    say(f"signing a history of {shape.transactions:,} transactions")
    story = signed_story(shape, seed)
    with bench.ledger("--block-time", str(min(BLOCK_TIME_S, shape.apart / 250))) as ledger:
        commit_story(ledger.url, story, say)
        recording = bench.folder / "recording.jsonl"
        record(ledger.url, recording, [one["id"] for one in story.transactions])
        yield Workload(ledger, recording, story)


def _events(transactions: list[Json], first: int) -> tuple[Event, ...]:
    """The transactions as events, at places of full blocks, in their order."""
    return tuple(
        Event(one, f"{1 + place // EVENTS_PER_BLOCK:012d}-{place % EVENTS_PER_BLOCK:06d}")
        for place, one in enumerate(transactions, first)
    )
