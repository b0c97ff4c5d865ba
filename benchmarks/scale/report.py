"""Tells what was counted, in Markdown. Pure, but for the section on the machine."""

from collections.abc import Iterator

from benchmarks.scale.measurements import Followed, Found, Step
from benchmarks.sections import machine, row

PACKAGES = ("aiohttp", "azure-data-tables", "azure-functions-runtime", "msgspec")
HEAD = """\
# What an event costs in requests, rows and bytes

Written by `python -m benchmarks.scale{options}`. Counts do not depend on the machine; the times in the section on
distance do, a little. What the figures mean in Azure is worked out in [scale](../../docs/scale.md) and
[costs](../../docs/costs.md).
"""
STEPS = """\
## What the Function app asks of Table Storage

For one event, by the size of the batch. A request is what Azure bills as a transaction: a read of one row, or an entity
group transaction. Entities are the rows read and changed by them.

| event | batch | requests | reads | group transactions | entities | entities changed | bytes sent | bytes received |
|---|---|---|---|---|---|---|---|---|"""
ROWS = """\
## What it leaves

Bytes that Azure bills for a row, by Microsoft's formula. An event of a hand-over is {event:,.0f} bytes as the relay
sends it.

| row | bytes |
|---|---|"""
HELD = """\
## What a distance does

Hand-overs, no car or driver twice, each call to Table Storage held {hold:.0f} ms by the proxy before it is passed on:
the median time of a batch, and how many such calls in a row that is. An instance of the Function app has at most 16
calls under way. So a batch takes about the last figure times the latency of a call, where that is far more than the CPU
time of its events.

| batch | side by side | seconds a batch | calls in a row |
|---|---|---|---|"""
RELAY = """\
## What a relay asks of Table Storage

With its default settings, level with a local ledger. Requests a second, and events in one request to the Function.

| | requests/s | reads | queries | writes | events | requests to the Function |
|---|---|---|---|---|---|---|"""
METHOD = """\
## How it was counted

The Function app as it is, on the local host, over Azurite with its data in memory, with a proxy in between that notes
each request (`counting_proxy.py`). A client posts one batch after the other. Cars are registered, leased, handed on and
returned, no car or driver twice; each is a step, and a batch has events of one step. *Delivered again* sends the
batches of the hand-over once more, as a relay does after a crash. *Hot keys*: 16 cars go round among 20 drivers, one
batch at a time. Making the tables is not counted, nor are retries: there were none. The relay runs as a process, with
a stub in the Function's place, which asks nothing of Table Storage.

Azurite's answers are about as long as Azure's, not byte for byte. Bytes are those of bodies, without HTTP's headers.
"""


def write_report(found: Found, options: str, load: float) -> str:
    """The report."""
    return "\n".join(_lines(found, options, load)) + "\n"


def _lines(found: Found, options: str, load: float) -> Iterator[str]:
    yield HEAD.format(options=options)
    yield STEPS
    yield from (row(_step(step)) for step in found.steps)
    yield ""
    yield ROWS.format(event=found.event)
    yield from (row([kind, f"{size:,.0f}"]) for kind, size in found.rows.items())
    yield ""
    yield HELD.format(hold=found.scale.hold_s * 1000)
    for held in found.held:
        waits = held.seconds / found.scale.hold_s
        yield row([str(held.size), str(held.side_by_side), f"{held.seconds:.2f}", f"{waits:.1f}"])
    yield ""
    yield RELAY
    yield from (row(_followed(one)) for one in found.followed)
    yield ""
    yield METHOD
    yield from machine(load, PACKAGES, "benchmarks/scale")


def _step(step: Step) -> list[str]:
    found = step.counted
    each = [found.requests, found.reads, found.changes, found.entities, found.changed]
    return [
        step.name,
        str(step.size),
        *(f"{count / step.events:.2f}" for count in each),
        *(f"{count / step.events:,.0f}" for count in (found.sent, found.received)),
    ]


def _followed(one: Followed) -> list[str]:
    found = one.counted
    asked = (found.requests, found.reads, found.queries, found.changes + found.single_changes)
    return [one.name, *(f"{count / one.seconds:.2f}" for count in asked), str(one.events), str(one.batches)]
