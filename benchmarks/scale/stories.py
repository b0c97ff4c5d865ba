"""The lives of cars, signed beforehand: registered, leased, handed on, returned, and all of it told from one another.

Each step has one event for each car, so that a batch of a step touches as many cars as it has events.
"""

from collections.abc import Sequence

import msgspec

from benchmarks.history import LESSOR, Json, sign_transfer
from benchmarks.leases import EVENTS_PER_BLOCK, Event, all_different, first_leases
from local.scenario import key_pair

REGISTERED, LEASED, HANDED_ON, RETURNED = "CREATE", "lease", "hand-over", "return"
STEPS = (REGISTERED, LEASED, HANDED_ON, RETURNED)


class Life(msgspec.Struct, frozen=True):
    """The events of one step of all cars, in the order of the cars."""

    step: str
    events: tuple[Event, ...]


def lives(cars: int) -> list[Life]:
    """The steps of so many cars; each is leased by a driver of its own, and handed on to another."""
    leases = first_leases(cars)
    handed_on = [event.body for event in all_different(leases).events]
    returned = [sign_transfer(body, key_pair(f"next driver {number}"), LESSOR) for number, body in enumerate(handed_on)]
    steps: list[Sequence[Json]] = [
        [event.body for event in leases.before],
        [event.body for event in leases.events],
        handed_on,
        returned,
    ]
    return [
        Life(step, tuple(_placed(body, place + number * cars) for place, body in enumerate(bodies)))
        for number, (step, bodies) in enumerate(zip(STEPS, steps, strict=True))
    ]


def _placed(body: Json, place: int) -> Event:
    return Event(body, f"{1 + place // EVENTS_PER_BLOCK:012d}-{place % EVENTS_PER_BLOCK:06d}")
