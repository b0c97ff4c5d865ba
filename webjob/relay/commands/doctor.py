"""`doctor`: checks everything that the relay leans on, one line each, and says what to do about what is wrong.

It changes nothing but one row of its own in table Relay, which it deletes, and, when asked to, commits one asset of no
car to the ledger. It sends the Function an event that the record should hold already.
"""

import datetime as dt
import email.utils
import enum
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import msgspec
import requests
from azure.core.exceptions import ResourceNotFoundError
from bigchaindb_driver import BigchainDB
from bigchaindb_driver.crypto import generate_keypair

from relay.blocks import sequence
from relay.cars import Cars
from relay.checkpoint import Checkpoint, CheckpointTable
from relay.commands.output import show
from relay.commands.status import summary
from relay.control import ControlTable
from relay.errors import LedgerError, LedgerMismatchError, SettingsError, TablesError
from relay.events import CarEvent, make_event
from relay.exits import Exit
from relay.http import Server
from relay.identity import is_of_this_ledger
from relay.ledger import Ledger
from relay.logs import printable, short
from relay.parked import ParkedTable
from relay.post import Post
from relay.settings import Settings, TablesSettings, read_settings
from relay.stream import Stream
from relay.tables import TABLE, open_service, tables_errors
from relay.verdict import Misconfigured, Outcome, Settled

TIMEOUT_S = 10.0
SKEW_WARNING_S = 5.0
SKEW_FAILURE_S = 120.0
"""A signed request is refused when the clocks differ by 300 s."""
HEARTBEAT_WARNING_S = 60.0
ANNOUNCEMENT_GRACE_S = 3.0
BLOCKS_SEARCHED = 50
LOOK_EVERY_S = 0.1


class Level(enum.StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Finding(msgspec.Struct, frozen=True):
    """One line: what was checked, how it came out, what was found, and what to do about it."""

    level: Level
    about: str
    found: str
    advice: str = ""


def ok(about: str, found: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, about, found)


def warning(about: str, found: str, advice: str) -> Finding:
    """It works, or may work; somebody should look."""
    return Finding(Level.WARNING, about, found, advice)


def failure(about: str, found: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(Level.FAILURE, about, found, advice)


def doctor(environment: Mapping[str, str], listen: float, *, is_probing: bool, as_json: bool) -> Exit:
    """Check, and print a line for each check as it is made; `listen` is in seconds."""
    findings = []
    for finding in check_all(environment, listen, is_probing=is_probing):
        findings.append(finding)
        if not as_json:
            print(printable(f"{finding.level.upper():8} {finding.about:12} {finding.found}"), flush=True)
            if finding.advice:
                print(f"{'':21} -> {finding.advice}", flush=True)
    worst = [one for one in findings if one.level is Level.FAILURE]
    values = {"healthy": not worst, "findings": [msgspec.structs.asdict(one) for one in findings]}
    if as_json:
        show(values, as_json=True)
    return Exit.UNHEALTHY if worst else Exit.DONE


def check_all(environment: Mapping[str, str], listen: float, *, is_probing: bool) -> Iterator[Finding]:
    """Every check in turn."""
    try:
        settings = read_settings(environment)
    except SettingsError as error:
        yield failure("settings", str(error), "correct it; docs/settings.md says what each setting is")
        return
    yield ok("settings", "all are there and valid")
    yield from check_webjob(environment)
    checkpoint = None
    try:
        yield from check_tables(settings.tables)
        checkpoint = _read_checkpoint(settings.tables)
        yield from check_relay(settings.tables, checkpoint)
    except TablesError as error:
        yield failure(
            "tables",
            str(error),
            "check the account, its key or SAS, the network, and the identity's role Storage Table Data Contributor",
        )
    yield from check_nodes(settings)
    yield from check_ledger(settings, checkpoint)
    yield from check_function(settings, checkpoint)
    yield from check_stream(settings, listen, is_probing=is_probing)


def check_webjob(environment: Mapping[str, str]) -> Iterator[Finding]:
    """How the WebJob is set up; outside App Service there is nothing to see."""
    if "WEBSITE_SITE_NAME" not in environment:
        yield ok("webjob", "this is not App Service: nothing to check")
        return
    if environment.get("WEBSITE_SKIP_RUNNING_KUDUAGENT", "").lower() != "false":
        advice = "set the App Setting WEBSITE_SKIP_RUNNING_KUDUAGENT to false: without it no WebJob runs on Linux"
        yield failure("webjob", "WEBSITE_SKIP_RUNNING_KUDUAGENT is not false", advice)
    if environment.get("WEBJOBS_STOPPED", "") == "1":
        yield failure("webjob", "WEBJOBS_STOPPED is 1: WebJobs are switched off", "remove that App Setting")
    yield from check_job_settings(Path(environment.get("WEBJOBS_PATH", "") or Path(__file__).parents[2]))


def check_job_settings(folder: Path) -> Iterator[Finding]:
    """The file settings.job beside the package."""
    path = folder / "settings.job"
    try:
        job = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    except (OSError, msgspec.MsgspecError) as error:
        advice = "deploy the job's folder whole: run.sh, settings.job, relay/, site-packages/"
        yield warning("webjob", f"{path} cannot be read ({type(error).__name__})", advice)
        return
    if job.get("is_singleton") is not True:
        advice = "set is_singleton to true: two relays do no harm, but keep superseding each other"
        yield warning("webjob", "settings.job lets several instances run", advice)
    grace = job.get("stopping_wait_time")
    if not isinstance(grace, int) or grace < 5:
        advice = "set stopping_wait_time to 10: a stop takes up to 4 s"
        yield warning("webjob", f"settings.job gives {grace} s to stop", advice)
    else:
        yield ok("webjob", f"one instance, {grace} s to stop")


def check_tables(settings: TablesSettings) -> Iterator[Finding]:
    """Whether table Relay can be read, written, and deleted from. Raises TablesError."""
    service = open_service(settings)
    name = f"doctor-{uuid.uuid4().hex}"
    began = time.monotonic()
    try:
        with tables_errors():
            service.create_table_if_not_exists(TABLE)
            table = service.get_table_client(TABLE)
            table.create_entity({"PartitionKey": settings.ledger_name, "RowKey": name})
            try:
                table.get_entity(settings.ledger_name, name)
            except ResourceNotFoundError:
                yield failure("tables", "a row that was just written is not there", "look at the account")
            table.delete_entity(settings.ledger_name, name)
    finally:
        service.close()
    yield ok("tables", f"table {TABLE} can be read and written ({_ms(began)})")


def check_relay(settings: TablesSettings, checkpoint: Checkpoint | None) -> Iterator[Finding]:
    """What the relay says of itself. Raises TablesError."""
    if checkpoint is None:
        yield warning("relay", "no relay has run here yet: there is no checkpoint", "start the WebJob")
        return
    found = summary(checkpoint, dt.datetime.now(dt.UTC))
    age = found["heartbeat_age_s"]
    where = f"checkpoint {found['checkpoint']}, {found['lag_blocks']} blocks behind"
    if not isinstance(age, float) or age > HEARTBEAT_WARNING_S:
        advice = "look whether the WebJob runs, and at the end of its log"
        yield warning("relay", f"{where}; its last heartbeat is {age} s old", advice)
    else:
        yield ok("relay", f"{where}; heartbeat {age} s old, {found['state']}")
    parked_table, control = ParkedTable(settings), ControlTable(settings)
    try:
        parked, paused_since = parked_table.all(), control.paused_since()
    finally:
        parked_table.close()
        control.close()
    if paused_since:
        yield warning("relay", f"it is paused since {paused_since.isoformat()}", "`resume`, when the reason is gone")
    if parked:
        yield warning("relay", f"{len(parked)} cars are parked", "`park list` names the reasons; mend, then `redrive`")


def check_nodes(settings: Settings) -> Iterator[Finding]:
    """Whether each node answers, how high it is, and whether its clock agrees with this one."""
    tips: dict[str, int] = {}
    for node in Ledger(settings.ledger_urls).nodes():
        began = time.monotonic()
        try:
            tips[node.name] = node.tip()
        except LedgerError as error:
            yield failure("node", short(str(error)), "check LEDGER_URLS, the node, and the network between")
            continue
        yield ok("node", f"{node.name} answers; its tip is block {tips[node.name]} ({_ms(began)})")
    for name, tip in tips.items():
        if tip < max(tips.values()) - 10:
            yield warning("node", f"{name} is {max(tips.values()) - tip} blocks behind", "look at that node")
    for url in settings.ledger_urls:
        yield from check_clock("node", f"{url}/api/v1/")


def check_clock(about: str, url: str) -> Iterator[Finding]:
    """Whether the clock behind a URL agrees with this one. No body is read, and no redirect followed."""
    try:
        with closing(Server(url, connections=1)) as server, server.ask("HEAD", "", (TIMEOUT_S, TIMEOUT_S)) as answer:
            skew = time.time() - email.utils.parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (requests.RequestException, ValueError):
        return
    if abs(skew) > SKEW_FAILURE_S:
        advice = "set the clocks by NTP: a signed request is refused when they differ by 300 s"
        yield failure("clock", f"the {about}'s clock and this one differ by {skew:.0f} s", advice)
    elif abs(skew) > SKEW_WARNING_S:
        yield warning("clock", f"the {about}'s clock and this one differ by {skew:.0f} s", "set the clocks by NTP")
    else:
        yield ok("clock", f"the {about}'s clock agrees with this one")


def check_ledger(settings: Settings, checkpoint: Checkpoint | None) -> Iterator[Finding]:
    """Whether the checkpoint was made on this ledger."""
    if checkpoint is None:
        return
    try:
        if is_of_this_ledger(Ledger(settings.ledger_urls), checkpoint.mark):
            yield ok("ledger", "it is the one on which the checkpoint was made")
        else:
            advice = "wait for the nodes to catch up; or see that LEDGER_URLS names the right ledger"
            yield failure("ledger", f"no node reaches the checkpoint, block {checkpoint.mark.height}", advice)
    except LedgerMismatchError as error:
        yield failure("ledger", str(error), "see docs/operations.md, exit code 4")
    except LedgerError:
        return


def check_function(settings: Settings, checkpoint: Checkpoint | None) -> Iterator[Finding]:
    """Whether the Function takes the key and acknowledges: nothing at all, and an event that it should know."""
    post = Post(settings.function_url, settings.function_key, settings.webhook_secrets)
    try:
        began = time.monotonic()
        verdict = post.send([], TIMEOUT_S)
        match verdict:
            case Settled():
                yield ok("function", f"it accepts the key, and acknowledges ({_ms(began)})")
            case Misconfigured(reason):
                advice = "correct FUNCTION_KEY, WEBHOOK_SECRETS or LEDGER_NAME so that both sides have the same"
                yield failure("function", reason, advice)
                return
            case _:
                advice = "check FUNCTION_URL, and that the Function app runs; its log tells more"
                yield failure("function", short(verdict.reason), advice)
                return
        yield from check_clock("Function", settings.function_url)
        event = _known_event(settings, checkpoint)
        if event is None:
            return
        known = post.send([event], TIMEOUT_S)
        outcome = known.results[event.transaction_id] if isinstance(known, Settled) else None
        if outcome is not None and outcome.outcome is Outcome.DUPLICATE:
            yield ok("record", f"it holds the last event below the checkpoint, {event.sequence}")
        elif outcome is not None and outcome.outcome is Outcome.APPLIED:
            advice = f"other events may be missing: `replay --from` where the account went back `--to {event.height}`"
            yield warning("record", f"it lacked event {event.sequence}, which the checkpoint has passed", advice)
        else:
            told = f"{outcome.outcome}: {outcome.detail}" if outcome else getattr(known, "reason", "")
            yield failure(
                "record", f"event {event.sequence} is answered {short(told)}", "the Function's log tells more"
            )
    finally:
        post.close()


def check_stream(settings: Settings, listen: float, *, is_probing: bool) -> Iterator[Finding]:
    """Whether an event really arrives on the stream when a block with transactions is committed."""
    ledger = Ledger(settings.ledger_urls)
    stream = Stream(lambda: settings.stream_url or ledger.stream_url(), lambda: None)
    stream.start()
    try:
        tip = ledger.tip()
        connected = _wait(lambda: stream.is_connected, TIMEOUT_S)
        if not connected:
            advice = (
                "check LEDGER_STREAM_URL, or what the node advertises; polling delivers all the same, seconds later"
            )
            yield failure("stream", f"no connection within {TIMEOUT_S:g} s", advice)
            return
        if is_probing:
            _commit_probe(settings.ledger_urls[0])
        seen = _Seen(ledger, stream, tip)
        _wait(seen.has_announced_block, listen)
        if seen.committed and not seen.announced:
            _wait(seen.has_announced_block, ANNOUNCEMENT_GRACE_S)
        if seen.announced:
            yield ok("stream", f"block {max(seen.announced)} was committed, and announced")
        elif seen.committed:
            advice = "BigchainDB's publisher has died: restart the node. Polling delivers all the same, seconds later"
            yield failure("stream", f"block {max(seen.committed)} was committed, and not announced", advice)
        else:
            advice = "try again with --probe, which commits an asset of no car, or --listen longer"
            yield warning("stream", f"connected; no event was seen: no block was committed within {listen:g} s", advice)
    except LedgerError as error:
        yield failure("stream", short(str(error)), "the node must answer first")
    finally:
        stream.close()


class _Seen:
    """What was committed while listening, and what of it was announced."""

    def __init__(self, ledger: Ledger, stream: Stream, tip: int) -> None:
        self._ledger, self._stream, self._tip = ledger, stream, tip
        self._heard: set[int] = set()
        self.committed: set[int] = set()

    @property
    def announced(self) -> set[int]:
        return self.committed & self._heard

    def has_announced_block(self) -> bool:
        self._heard.update(self._stream.heard())
        while (block := self._ledger.block(self._tip + 1)) is not None:
            self._tip = block.height
            if block.fingerprint:
                self.committed.add(block.height)
        return bool(self.announced)


def _commit_probe(url: str) -> None:
    """Commit an asset signed by a key that is forgotten at once. Raises LedgerError."""
    keys = generate_keypair()
    driver = BigchainDB(url, timeout=TIMEOUT_S)
    asset = {"data": {"leasehookDoctor": uuid.uuid4().hex}}
    try:
        prepared = driver.transactions.prepare(operation="CREATE", signers=keys.public_key, asset=asset)
        driver.transactions.send_async(driver.transactions.fulfill(prepared, private_keys=keys.private_key))
    except Exception as error:
        raise LedgerError(f"the probe could not be committed ({type(error).__name__})") from error


def _known_event(settings: Settings, checkpoint: Checkpoint | None) -> CarEvent | None:
    """The last event of a car at or below the checkpoint, if one is near."""
    if checkpoint is None:
        return None
    ledger = Ledger(settings.ledger_urls)
    cars = Cars(settings.lessors, ledger.transaction)
    height = min(checkpoint.mark.height, checkpoint.mark.anchor_height or checkpoint.mark.height)
    try:
        for below in range(height, max(0, height - BLOCKS_SEARCHED), -1):
            block = ledger.block(below)
            for place, one in reversed(list(enumerate(block.transactions if block else ()))):
                if cars.moves_car(one):
                    return make_event(one, below, sequence(below, place), settings.event_source)
    except LedgerError:
        return None
    return None


def _read_checkpoint(settings: TablesSettings) -> Checkpoint | None:
    table = CheckpointTable(settings)
    try:
        return table.read()
    finally:
        table.close()


def _wait(is_so: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def _ms(began: float) -> str:
    return f"{(time.monotonic() - began) * 1000:.0f} ms"
