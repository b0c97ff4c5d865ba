"""`make demo`: starts the whole path, plays a leasing story on it, then holds the record against the ledger.

Exit code 0 when record and ledger are equal, 1 when they differ or something did not come up.
"""

import argparse
import datetime as dt
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from local import audit
from local.processes import Child, ProcessError
from local.scenario import LedgerClient, car, key_pair, lease
from local.stack import Stack, running_stack

LESSOR = key_pair("the lessor")
ADA = key_pair("Ada, who is careful")
BORIS = key_pair("Boris, who had two claims")
CHLOE = key_pair("Chloe")
STRANGER = key_pair("a key that the insurer does not know")
NAMES = {
    LESSOR.public_key: "the lessor",
    ADA.public_key: "Ada",
    BORIS.public_key: "Boris",
    CHLOE.public_key: "Chloe",
    STRANGER.public_key: "an unknown key",
}
RECORD_TIMEOUT_S = 30.0
RESTART_S = 5

Json = dict[str, Any]


class StoryError(Exception):
    """The record did not follow the ledger in time, or an entry was refused."""


class Story:
    """Tells what is done on the ledger, and what the insurer's record shows after it."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._ledger = LedgerClient(stack.ledger_url)
        self._step = 0

    def step(self, title: str) -> None:
        """Begin a step."""
        self._step += 1
        print(f"\n{self._step}. {title}", flush=True)

    def register(self, asset: Json) -> Json:
        """The lessor registers a car; wait until the record has it."""
        transaction = self._ledger.create(LESSOR, asset)
        self._written(transaction, f"{_car_name(asset)} registered by the lessor")
        self.wait_for(transaction)
        return transaction

    def transfer(self, spent: Json, signer: Any, to: Any, terms: Json | None = None) -> Json:
        """A car changes hands on the ledger. It is not waited for."""
        transaction = self._ledger.transfer(spent, signer, to.public_key, terms)
        words = f"{NAMES[signer.public_key]} -> {NAMES[to.public_key]}"
        dates = f", from {terms['lease']['startDate']}" if terms else ""
        self._written(transaction, f"{words}{dates}")
        return transaction

    def wait_for(self, transaction: Json) -> Json:
        """The car's record, once it shows this transaction. Raises StoryError when it does not in time."""
        asset = transaction["id"] if transaction["operation"] == "CREATE" else transaction["asset"]["id"]
        began = time.monotonic()
        while time.monotonic() - began < RECORD_TIMEOUT_S:
            if self.shows(asset, transaction["id"]):
                found: Json = self._stack.call("GET", f"cars/{asset}").json()
                holders = ", ".join(NAMES[holder["driver"]] for holder in found["holders"]) or "nobody"
                took = (time.monotonic() - began) * 1000
                print(f"   record   {found['model']} is driven by {holders}  ({took:.0f} ms later)", flush=True)
                return found
            time.sleep(0.02)
        raise StoryError(f"the record does not show transaction {transaction['id']} after {RECORD_TIMEOUT_S:.0f} s")

    def shows(self, asset: str, transaction_id: str) -> bool:
        """Whether the record has this transaction of a car."""
        answer = self._stack.call("GET", f"cars/{asset}")
        return answer.ok and any(one["id"] == transaction_id for one in answer.json()["transactions"])

    def enter(self, method: str, path: str, entry: Json, words: str) -> Json:
        """The insurer enters something about a driver."""
        answer = self._stack.call(method, path, entry)
        if not answer.ok:
            raise StoryError(f"{method} {path} was answered {answer.status_code}: {answer.text}")
        print(f"   insurer  {words}", flush=True)
        driver: Json = answer.json()
        return driver

    def premium(self, key: str) -> None:
        """Print what a driver pays, and why."""
        driver = self._stack.call("GET", f"drivers/{key}").json()
        kind = (
            "provisional: not known to the insurer" if driver["provisional"] else f"class {driver['bonusMalusClass']}"
        )
        open_leases = driver["openLeases"]
        print(
            f"   premium  {NAMES[key]} ({kind}): {driver['annualPremium']} a year, {_count(open_leases, 'open lease')}"
        )
        for one in driver["leases"]:
            if one["endTransaction"] is None:
                print(f"            {one['model']}: {one['explanation']}")
                if one["remarks"]:
                    print(f"            for review: {'; '.join(one['remarks'])}")
        sys.stdout.flush()

    def _written(self, transaction: Json, words: str) -> None:
        height = self._ledger.height_of(transaction["id"])
        operation = f"{transaction['operation']:8}"
        print(f"   ledger   block {height:3}  {operation} {transaction['id'][:8]}…  {words}", flush=True)


def tell(stack: Stack, story: Story, relay: Child) -> None:
    """The story."""
    story.step("The insurer enters what it knows of its drivers: Ada and Boris.")
    ada, boris, chloe = f"drivers/{ADA.public_key}", f"drivers/{BORIS.public_key}", f"drivers/{CHLOE.public_key}"
    entry: Json = {
        "name": "Ada",
        "licenceNumber": "BE-1001",
        "licensedSince": "2008-05-20",
        "insuredSince": "2014-03-01",
    }
    story.enter("PUT", ada, entry, "Ada: insured since 2014, no claims")
    entry = {"name": "Boris", "licenceNumber": "BE-1002", "licensedSince": "2017-08-01", "insuredSince": "2019-01-15"}
    story.enter("PUT", boris, entry, "Boris: insured since 2019")
    for claim, date, amount in (("B-17", "2024-06-02", "2400.00"), ("B-21", "2025-09-11", "5150.00")):
        entry = {"id": claim, "date": date, "atFault": True, "amount": amount}
        story.enter("POST", f"{boris}/claims", entry, f"Boris: claim {claim} of {date}, at fault, {amount} EUR")

    story.step("The lessor registers three cars.")
    golf = story.register(car("WVWZZZ1KZAW000001", "Volkswagen", "Golf", 2025))
    zoe = story.register(car("VF1AGVYB052000002", "Renault", "Zoe", 2024))
    volvo = story.register(car("YV1LFA4BCP1000003", "Volvo", "XC40", 2026))

    story.step("The Golf is leased to Ada, a careful driver.")
    golf_ada = story.transfer(golf, LESSOR, ADA, lease("2026-04-01", "2029-03-31", 15_000))
    story.wait_for(golf_ada)
    story.premium(ADA.public_key)

    story.step("The Zoe is leased to Boris, who had two claims.")
    zoe_boris = story.transfer(zoe, LESSOR, BORIS, lease("2026-04-15", "2028-04-14", 20_000))
    story.wait_for(zoe_boris)
    story.premium(BORIS.public_key)

    story.step("Ada hands the Golf on to Chloe, driver to driver; the insurer learns who Chloe is afterwards.")
    golf_chloe = story.transfer(golf_ada, ADA, CHLOE, lease("2026-09-01", "2029-03-31", 12_000))
    story.wait_for(golf_chloe)
    story.premium(ADA.public_key)
    story.premium(CHLOE.public_key)
    entry = {"name": "Chloe", "licenceNumber": "BE-1003", "licensedSince": "2020-06-30", "insuredSince": "2021-02-01"}
    story.enter("PUT", chloe, entry, "Chloe: insured since 2021; her open lease is priced anew")
    story.premium(CHLOE.public_key)

    story.step("Boris returns the Zoe.")
    zoe_back = story.transfer(zoe_boris, BORIS, LESSOR)
    story.wait_for(zoe_back)
    story.premium(BORIS.public_key)

    story.step("A key that the insurer does not know leases the Zoe, without terms.")
    story.wait_for(story.transfer(zoe_back, LESSOR, STRANGER))
    story.premium(STRANGER.public_key)

    story.step("The relay is killed (kill -9) in the middle of a lease: Ada takes the Volvo.")
    # Held still first, so that the lease is on the ledger, announced to the relay, and not yet forwarded by it.
    os.kill(relay.pid, signal.SIGSTOP)
    volvo_ada = story.transfer(volvo, LESSOR, ADA, lease("2026-11-01", "2028-10-31", 18_000))
    relay.kill()
    print("   relay    killed; the lease is on the ledger, and", end=" ")
    print("the record has it" if story.shows(volvo["id"], volvo_ada["id"]) else "the record does not know of it")
    golf_boris = story.transfer(golf_chloe, CHLOE, BORIS, lease("2026-11-15", "2029-03-31", 12_000))
    print("   relay    started again: it goes on from its checkpoint", flush=True)
    stack.start_relay()
    story.wait_for(volvo_ada)
    story.wait_for(golf_boris)
    story.premium(ADA.public_key)
    story.premium(BORIS.public_key)

    story.step("Ada has a claim; her open lease is priced anew at once.")
    entry = {"id": "A-1", "date": "2026-11-20", "atFault": True, "amount": "900.00"}
    story.enter("POST", f"{ada}/claims", entry, "Ada: claim A-1 of 2026-11-20, at fault, 900.00 EUR")
    story.premium(ADA.public_key)


def compare(stack: Stack) -> int:
    """Hold the tables against a fold over the ledger, and print the verdict; the exit code."""
    facts = audit.fold(audit.read_blocks(stack.ledger_url), stack.lessors)
    entered = [ADA.public_key, BORIS.public_key, CHLOE.public_key]
    lines = audit.differences(facts, stack.tables, entered)
    drivers = facts.drivers | set(entered)
    print()
    if lines:
        print(f"record differs from ledger in {_count(len(lines), 'row')}:")
        print("\n".join(f"  {line}" for line in lines))
        return 1
    print(f"record equals ledger: {_count(len(drivers), 'driver')}, {_count(len(facts.cars), 'car')}")
    return 0


def explore(stack: Stack) -> None:
    """Print how to look around, and keep everything running until Ctrl-C."""
    print(
        f"""
Everything is still running. Ctrl-C stops it.

  ledger           {stack.ledger_url}/api/v1/blocks/1
  event stream     {stack.stream_url}
  Function app     {stack.functions_url}/api
  function key     {stack.key}
  table storage    {stack.tables}
  logs             {stack.folder}/*.log

  KEY='x-functions-key: {stack.key}'
  curl -s -H "$KEY" {stack.functions_url}/api/drivers
  curl -s -H "$KEY" {stack.functions_url}/api/drivers/{ADA.public_key}
  curl -s -H "$KEY" {stack.functions_url}/api/drivers/{ADA.public_key}/explanation
  curl -s -H "$KEY" -X POST {stack.functions_url}/api/drivers/{ADA.public_key}/claims \\
       -H 'content-type: application/json' \\
       -d '{{"id": "A-2", "date": "{dt.datetime.now(dt.UTC).date()}", "atFault": true, "amount": "1000.00"}}'
  kill -9 {stack.relay.pid if stack.relay else "RELAY"}      # the relay; it is started again, as Kudu does after 60 s
"""
    )
    while True:
        sys.stdout.flush()
        time.sleep(RESTART_S)
        if stack.relay is not None and stack.relay.exit_code is not None:
            print(f"the relay ended with {stack.relay.exit_code}; it runs again as process {stack.start_relay().pid}")


def play(folder: Path, host: str, after: Callable[[Stack], None]) -> int:
    """Start everything in `folder`, tell the story, compare, and then do `after`; the exit code."""
    print("Starting the whole path on this machine:", flush=True)
    with running_stack(folder, [LESSOR.public_key], lambda line: print(f"   {line}", flush=True), host) as stack:
        relay = stack.start_relay()
        print(f"   relay           process {relay.pid}")
        print(f"   logs            {folder}/*.log", flush=True)
        for line in _warnings(folder):
            print(f"   note            {line}")
        tell(stack, Story(stack), relay)
        result = compare(stack)
        after(stack)
        return result


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running at the end")
    parser.add_argument("--host", choices=("local", "func"), default="local", help="what serves the Function app")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.monotonic()
    try:
        folder = Path(tempfile.mkdtemp(prefix="leasehook-demo-"))
        result = play(folder, asked.host, explore if asked.keep else lambda _: None)
    except (ProcessError, StoryError) as error:
        print(f"\nthe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 0
    print(f"({time.monotonic() - began:.0f} s)")
    if result == 0:
        shutil.rmtree(folder)
    return result


def _warnings(folder: Path) -> list[str]:
    """What the ledger and the Functions host say about themselves at the start."""
    logs = [folder / "ledger.log", folder / "functions.log"]
    text = "\n".join(log.read_text(encoding="utf-8", errors="replace") for log in logs)
    return re.findall(r"DEVELOPMENT LEDGER[^:\n]*|NOT the Azure Functions host[^.\n]*", text)


def _car_name(asset: Mapping[str, Any]) -> str:
    return f"{asset['manufacturer']} {asset['model']}, VIN {asset['vehicleIdentificationNumber']}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


if __name__ == "__main__":
    sys.exit(main())
