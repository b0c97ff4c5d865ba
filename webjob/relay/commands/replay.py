"""`replay`: send blocks of the ledger to the Function once more, and tell what that changed.

It runs beside the relay and leaves its checkpoint alone. Events that the record holds come back as duplicates; what it
lacks is applied. A car that cannot be delivered is named at the end, not parked.
"""

import sys
import time

from relay.bell import Bell
from relay.cars import Cars
from relay.commands.output import show
from relay.errors import StopRequestedError
from relay.exits import Exit
from relay.ledger import Ledger
from relay.logs import short
from relay.loop import stop_on_signals
from relay.parked import ParkedCar, ParkedTable
from relay.parking import Evidence
from relay.patience import until_done
from relay.pipeline import Delivery, Pipeline
from relay.post import Post
from relay.progress import Mark
from relay.settings import Settings
from relay.tally import PARKED, Tally
from relay.verdict import Outcome

TICK_S = 0.2
SHOW_EVERY_S = 5.0
"""How often a line is printed where there is no terminal to draw a bar on."""
NAMED_CARS = 1_000
BAR = 30


class _Undelivered:
    """Takes the place of the parked cars' table: cars that could not be delivered are kept here, to be told."""

    def __init__(self) -> None:
        self.cars: dict[str, ParkedCar] = {}

    def park(self, car: ParkedCar) -> None:
        self.cars[car.asset_id] = car

    def pass_over(self, _asset_id: str, _transaction_id: str) -> bool:
        return True

    def unpark(self, asset_id: str) -> None:
        self.cars.pop(asset_id, None)

    def find(self, asset_id: str) -> ParkedCar | None:
        return self.cars.get(asset_id)


def replay(settings: Settings, first: int, last: int | None, *, as_json: bool) -> Exit:
    """Deliver the blocks `first` to `last` (to the tip, where that is None) once more. Raises TablesError."""
    bell = Bell()
    stop_on_signals(bell)
    ledger = Ledger(settings.ledger_urls)
    parked_table = ParkedTable(settings.tables)
    try:
        parked = [car.asset_id for car in until_done(bell, "parked cars", parked_table.all)]
        tip = until_done(bell, "the ledger's tip", lambda: ledger.tip(0))
    finally:
        parked_table.close()
    end = min(tip, last) if last is not None else tip
    undelivered, tally = _Undelivered(), Tally(NAMED_CARS)
    began = time.monotonic()
    reached = first - 1
    if first <= end:
        delivery = Delivery(
            settings=settings,
            ledger=ledger,
            cars=Cars(settings.lessors, ledger.transaction),
            parking=undelivered,
            # Most of what is sent again is known already: that the Function says so speaks for it.
            evidence=Evidence(frozenset({Outcome.APPLIED, Outcome.DUPLICATE})),
            tally=tally,
            new_post=lambda: Post(settings.function_url, settings.function_key, settings.webhook_secrets),
        )
        pipeline = Pipeline(delivery, Mark(first - 1), parked, last=end)
        reached = _follow(pipeline, bell, tally, first, end)
    return _tell(first, reached, end, tally, undelivered, time.monotonic() - began, as_json=as_json)


def _follow(pipeline: Pipeline, bell: Bell, tally: Tally, first: int, end: int) -> int:
    """Show how far it is until it is through, or asked to stop; the last block that is settled."""
    shown = 0.0
    try:
        while pipeline.progress.mark.height < end:
            pipeline.check()
            shown = _draw(pipeline.progress.mark.height, first, end, tally, shown)
            bell.wait(TICK_S)
    except StopRequestedError:
        pass
    finally:
        pipeline.stop(2.5)
    _draw(pipeline.progress.mark.height, first, end, tally, 0.0)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return pipeline.progress.mark.height


def _draw(height: int, first: int, end: int, tally: Tally, shown: float) -> float:
    """Draw the progress bar, or print a line now and then; when that was, in monotonic seconds."""
    is_terminal = sys.stderr.isatty()
    now = time.monotonic()
    if not is_terminal and now - shown < SHOW_EVERY_S:
        return shown
    done = (height - first + 1) / (end - first + 1)
    counts = tally.counts()
    line = f"block {height} of {end}, {sum(counts.values())} events, {counts.get(Outcome.APPLIED, 0)} applied"
    bar = "#" * round(done * BAR)
    text = f"[{bar:<{BAR}}] {done:4.0%}  {line}"
    print(f"\r{text}\033[K" if is_terminal else text, end="" if is_terminal else "\n", file=sys.stderr, flush=True)
    return now


def _tell(
    first: int, reached: int, end: int, tally: Tally, undelivered: _Undelivered, seconds: float, *, as_json: bool
) -> Exit:
    counts = tally.counts()
    changed = tally.changed()
    left_out = counts.pop(PARKED, 0)
    failed = {car.asset_id: car.reason for car in undelivered.cars.values()}
    values = {
        "from": first,
        "to": reached,
        "events": sum(counts.values()),
        "seconds": round(seconds, 1),
        **{str(outcome): counts.get(outcome, 0) for outcome in Outcome},
        "left_out": left_out,
        "cars_changed": changed,
        "cars_not_delivered": failed,
    }
    lines = [f"the record changed: {count} transactions applied to car {car}" for car, count in changed.items()]
    lines += ["the record held everything already"] if not changed and not failed and reached >= end else []
    lines += [f"NOT DELIVERED: car {car}: {short(reason)}" for car, reason in failed.items()]
    lines += [f"left out: {left_out} events of parked cars; see `park list`"] if left_out and not failed else []
    lines += [f"stopped before block {end}; go on with --from {reached + 1}"] if reached < end else []
    show(values, lines, as_json=as_json)
    return Exit.INCOMPLETE if failed or reached < end else Exit.DONE
