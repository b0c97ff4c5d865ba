"""The insurer's entries while others write, answers get lost, and the process ends between two writes."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from azure.core.exceptions import ServiceResponseError
from azure.data.tables import TableServiceClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.entries import Condition, Entries, PreconditionFailedError, version
from functions.leasing.car import LeaseEnded, LeaseStarted
from functions.leasing.driver import Change, Claim, Profile, apply
from functions.leasing.terms import CarDescription, LeaseTerms
from functions.rating.tariff import read_tariff
from functions.records.changeset import Operation
from functions.records.record import DRIVERS, DriverFile, Record, StoredDriver, open_record
from functions.records.wire import Wire
from functions.settings import read_settings
from tests.unit.ledger_writing import LESSOR
from tests.writing import new_keys

TARIFF = read_tariff()
PROFILE = Profile("Ada Example", "B-77", dt.date(2010, 5, 5), dt.date(2012, 6, 6))
CLAIM = Claim("C-1", dt.date(2025, 7, 7), at_fault=True, amount=Decimal("10.00"), description="a dent")
LATER = dt.date(2026, 1, 1)

Fault = Callable[[], Awaitable[None]]


class CrashError(Exception):
    """Stands for the process's end."""


class EventfulWire(Wire):
    """A wire before or after whose writes something happens, once: the number of the write says when."""

    def __init__(self, url: str, credential: Any) -> None:
        super().__init__(url, credential)
        self.before: dict[int, Fault] = {}
        self.after: dict[int, Fault] = {}
        self._writes = 0

    async def submit(self, table: str, operations: Sequence[Operation]) -> list[str]:
        """Write, with what happens before and after."""
        self._writes += 1
        number = self._writes
        if before := self.before.pop(number, None):
            await before()
        etags = await super().submit(table, operations)
        if after := self.after.pop(number, None):
            await after()
        return etags


class Desk:
    """One driver in the tables, their entries, and what else happens to them."""

    def __init__(self, tables: str) -> None:
        service = _record(tables)._service
        self.key = new_keys().public_key
        self.wire = EventfulWire(service.url, service.credential)
        self.record = Record(service, self.wire)
        self.entries = Entries(self.record, TARIFF)
        self.other = _record(tables)
        self.leases = 0

    async def lease(self, number: int = 1) -> None:
        """Let leases start, as the ledger's events do, by another process."""
        for _ in range(number):
            self.leases += 1
            started = LeaseStarted(
                self.key, f"{self.leases:064d}", "s", "a" * 64, "l", CarDescription(), LeaseTerms(LATER)
            )
            await self._apply(started)

    async def give_back(self, number: int) -> None:
        """Let a lease end, by another process."""
        await self._apply(LeaseEnded(self.key, f"{number:064d}", "e" * 64, "t"))

    async def file(self) -> DriverFile:
        """All there is, which must be true to itself."""
        file = await self.other.driver_file(self.key)
        driver = file.stored.driver
        assert {one: lease.premium for one, lease in driver.open_leases.items()} == {
            lease.transaction: lease.premium.annual for lease in file.leases if lease.is_open
        }
        return file

    async def close(self) -> None:
        """Close the connections."""
        await self.record.close()
        await self.other.close()

    async def _apply(self, effect: LeaseStarted | LeaseEnded) -> None:
        stored = await self.other.load_driver(self.key)
        change = apply(stored.driver, {}, [effect], TARIFF)
        assert change
        await self.other.save_driver(stored.etag, change)


def _record(tables: str) -> Record:
    return open_record(
        read_settings(
            {"LEDGER_NAME": "local", "LESSOR_PUBLIC_KEYS": LESSOR.public_key, "TABLES_CONNECTION_STRING": tables}
        )
    )


def at_the_desk(tables: str, play: Callable[[Desk], Awaitable[None]]) -> None:
    """Play something with a driver of its own."""

    async def played() -> None:
        desk = Desk(tables)
        try:
            await play(desk)
        finally:
            await desk.close()

    asyncio.run(played())


async def crash() -> None:
    """The process ends."""
    raise CrashError


async def lose_the_answer() -> None:
    """The write was done, and its answer is lost."""
    raise ServiceResponseError("the answer was lost")


def seen(stored: StoredDriver) -> Condition:
    """The condition of who has seen the driver so."""
    return Condition(versions=frozenset({version(stored.etag)}))


def test_an_entry_in_several_steps_is_finished_though_a_lease_starts_in_between(tables: str) -> None:
    async def play(desk: Desk) -> None:
        await desk.lease(100)
        desk.wire.before[2] = desk.lease

        await desk.entries.enter_claim(desk.key, CLAIM, seen(await desk.record.load_driver(desk.key)))

        file = await desk.file()
        assert [claim.id for claim in file.claims] == ["C-1"]
        assert {lease.premium.claims_counted for lease in file.leases} == {("C-1",)}
        assert len(file.leases) == 101

    at_the_desk(tables, play)


def test_an_entry_whose_connection_broke_between_two_steps_goes_on(tables: str) -> None:
    async def play(desk: Desk) -> None:
        await desk.lease(100)
        desk.wire.before[2] = lose_the_answer

        await desk.entries.enter_claim(desk.key, CLAIM, seen(await desk.record.load_driver(desk.key)))

        assert {lease.premium.claims_counted for lease in (await desk.file()).leases} == {("C-1",)}

    at_the_desk(tables, play)


@pytest.mark.parametrize("entry", ["profile", "claim", "withdrawal", "erasure"])
def test_an_entry_whose_answer_is_lost_is_done_though_a_lease_starts_before_it_is_looked_at(
    tables: str, entry: str
) -> None:
    async def play(desk: Desk) -> None:
        async def lost_and_leased() -> None:
            await desk.lease()
            await lose_the_answer()

        await desk.lease()
        if entry in {"withdrawal", "erasure"}:
            await desk.other.close()
            desk.other = _record(tables)
            await Entries(desk.other, TARIFF).enter_claim(desk.key, CLAIM)
        condition = seen(await desk.record.load_driver(desk.key))
        desk.wire.after[1] = lost_and_leased
        entries = desk.entries
        match entry:
            case "profile":
                await entries.enter_profile(desk.key, PROFILE, condition)
            case "claim":
                await entries.enter_claim(desk.key, CLAIM, condition)
            case "withdrawal":
                await entries.withdraw_claim(desk.key, CLAIM.id, condition)
            case "erasure":
                await entries.erase(desk.key, condition)
        file = await desk.file()
        assert len(file.leases) == 2
        assert (file.stored.driver.profile == PROFILE) == (entry == "profile")
        assert [claim.withdrawn for claim in file.claims] == {"claim": [False], "withdrawal": [True]}.get(entry, [])

    at_the_desk(tables, play)


def test_an_entry_on_a_driver_who_changed_meanwhile_is_refused_and_changes_nothing(tables: str) -> None:
    async def play(desk: Desk) -> None:
        await desk.lease()
        condition = seen(await desk.record.load_driver(desk.key))
        desk.wire.before[1] = desk.lease

        with pytest.raises(PreconditionFailedError):
            await desk.entries.enter_claim(desk.key, CLAIM, condition)

        file = await desk.file()
        assert (file.claims, file.stored.driver.claims) == ([], ())

    at_the_desk(tables, play)


def test_an_erasure_with_claims_is_one_write(tables: str) -> None:
    async def play(desk: Desk) -> None:
        await desk.lease()
        await desk.entries.enter_profile(desk.key, PROFILE)
        await desk.entries.enter_claim(desk.key, CLAIM)
        # The profile was the first write, the claim the second; the erasure is the third, and there is no fourth.
        desk.wire.before[4] = crash

        await desk.entries.erase(desk.key)

        file = await desk.file()
        assert (file.claims, file.stored.driver.claims, file.stored.driver.profile) == ([], (), None)

    at_the_desk(tables, play)


def test_a_large_erasure_that_was_cut_off_is_finished_by_the_next(tables: str) -> None:
    async def play(desk: Desk) -> None:
        await desk.lease(95)
        await desk.entries.enter_profile(desk.key, PROFILE)
        await desk.entries.enter_claim(desk.key, CLAIM)
        desk.wire.after[5] = crash

        with pytest.raises(CrashError):
            await desk.entries.erase(desk.key)
        assert (await desk.file()).stored.driver.profile is None
        await desk.entries.erase(desk.key)

        file = await desk.file()
        assert file.claims == []
        assert {lease.premium.annual for lease in file.leases} == {Decimal("1200.00")}

    at_the_desk(tables, play)


def test_a_claim_that_an_erasure_left_behind_counts_when_it_is_entered_again(tables: str) -> None:
    async def play(desk: Desk) -> None:
        await desk.lease()
        await desk.entries.enter_claim(desk.key, CLAIM)
        stored = await desk.other.load_driver(desk.key)
        await desk.other.save_driver(stored.etag, _without_claims(stored))

        assert not await desk.entries.enter_claim(desk.key, CLAIM)

        file = await desk.file()
        assert [claim.id for claim in file.stored.driver.claims] == ["C-1"]
        assert file.leases[0].premium.claims_counted == ("C-1",)

    at_the_desk(tables, play)


def _without_claims(stored: StoredDriver) -> Change:
    return Change(msgspec.structs.replace(stored.driver, claims=()))


def test_an_erasure_while_a_lease_ends_is_done_with_the_lease_as_it_is_then(tables: str) -> None:
    async def play(desk: Desk) -> None:
        await desk.lease(2)
        await desk.entries.enter_profile(desk.key, PROFILE)
        load = desk.record.load_driver

        async def load_then_end(key: str) -> StoredDriver:
            stored = await load(key)
            desk.record.load_driver = load  # type: ignore[method-assign]
            await desk.give_back(1)
            return stored

        desk.record.load_driver = load_then_end  # type: ignore[method-assign]
        await desk.entries.erase(desk.key)

        file = await desk.file()
        assert [lease.is_open for lease in file.leases] == [False, True]
        assert file.stored.driver.profile is None

    at_the_desk(tables, play)


def test_a_driver_without_leases_is_gone_after_an_erasure_unless_a_lease_starts_meanwhile(tables: str) -> None:
    async def play(desk: Desk) -> None:
        await desk.entries.enter_profile(desk.key, PROFILE)
        desk.wire.before[3] = desk.lease

        await desk.entries.erase(desk.key)

        file = await desk.file()
        assert (len(file.leases), file.stored.driver.profile) == (1, None)

    at_the_desk(tables, play)


def test_of_two_who_enter_the_same_claim_at_once_one_is_told_that_it_is_new(tables: str) -> None:
    async def play(desk: Desk) -> None:
        await desk.lease()
        told = await asyncio.gather(*(desk.entries.enter_claim(desk.key, CLAIM) for _ in range(2)))

        assert sorted(told) == [False, True]
        assert len((await desk.file()).stored.driver.claims) == 1

    at_the_desk(tables, play)


def test_an_empty_version_is_no_drivers(tables: str) -> None:
    async def play(desk: Desk) -> None:
        with pytest.raises(PreconditionFailedError):
            await desk.entries.enter_profile(desk.key, PROFILE, Condition(versions=frozenset({""})))

        assert (await desk.file()).stored.etag is None

    at_the_desk(tables, play)


def test_an_entry_that_is_made_already_writes_nothing(tables: str) -> None:
    async def play(desk: Desk) -> None:
        await desk.lease()
        await desk.entries.enter_profile(desk.key, PROFILE)
        await desk.entries.enter_claim(desk.key, CLAIM)
        await desk.entries.withdraw_claim(desk.key, CLAIM.id)
        before = (await desk.file()).stored.etag

        await desk.entries.enter_profile(desk.key, PROFILE)
        await desk.entries.withdraw_claim(desk.key, CLAIM.id)

        assert (await desk.file()).stored.etag == before

    at_the_desk(tables, play)


def test_a_driver_whose_rows_contradict_each_other_is_left_alone_and_named(tables: str) -> None:
    async def play(desk: Desk) -> None:
        await desk.lease()
        with TableServiceClient.from_connection_string(tables) as service:
            rows = service.get_table_client(DRIVERS)
            rows.delete_entity(desk.key, f"lease-{1:064d}")
        after = None
        left: list[str] = []
        while True:
            page = await desk.entries.reprice_all(100, after)
            left += [one.driver for one in page.left_alone]
            after = page.following
            if after is None:
                break
        assert desk.key in left
        with TableServiceClient.from_connection_string(tables) as service:
            rows = service.get_table_client(DRIVERS)
            rows.delete_entity(desk.key, f"record-{desk.key}")

    at_the_desk(tables, play)


STEPS = st.lists(
    st.sampled_from(["lease", "end", "profile", "claim", "withdraw", "erase", "reprice"]), min_size=1, max_size=8
)
FAULTS = st.dictionaries(st.integers(1, 12), st.sampled_from([crash, lose_the_answer]), max_size=4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, before=FAULTS, after=FAULTS)
def test_whatever_is_entered_and_whatever_breaks_the_record_is_true_to_its_rows(
    tables: str, steps: list[str], before: dict[int, Fault], after: dict[int, Fault]
) -> None:
    async def play(desk: Desk) -> None:
        desk.wire.before, desk.wire.after = dict(before), dict(after)
        for step in steps:
            for _ in range(4):
                try:
                    await _do(desk, step)
                except CrashError:
                    # The sender gets no answer, and sends it again.
                    await desk.file()
                    continue
                except LookupError:
                    pass
                break
            await desk.file()
        desk.wire.before, desk.wire.after = {}, {}
        await desk.entries.enter_profile(desk.key, PROFILE)
        file = await desk.file()
        driver = file.stored.driver
        counting = sorted(claim.id for claim in file.claims if not claim.withdrawn)
        assert sorted(claim.id for claim in driver.claims) == counting
        for lease in file.leases:
            if lease.is_open:
                assert set(lease.premium.claims_counted) == set(counting)

    at_the_desk(tables, play)


async def _do(desk: Desk, step: str) -> None:
    match step:
        case "lease":
            await desk.lease()
        case "end":
            still = sorted((await desk.other.load_driver(desk.key)).driver.open_leases)
            if still:
                await desk.give_back(int(still[0]))
        case "profile":
            await desk.entries.enter_profile(desk.key, PROFILE)
        case "claim":
            known = await desk.other.load_claim(desk.key, CLAIM.id)
            if known is None or not known.withdrawn:
                await desk.entries.enter_claim(desk.key, CLAIM)
        case "withdraw":
            await desk.entries.withdraw_claim(desk.key, CLAIM.id)
        case "erase":
            await desk.entries.erase(desk.key)
        case _:
            await desk.entries.reprice_all(200, None)
