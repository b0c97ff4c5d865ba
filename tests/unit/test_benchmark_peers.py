"""The comparison with the usual ways: the event, the counting of losses, how all are counted side by side."""

import json
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.history import Shape, signed_story
from benchmarks.parts import Bench
from benchmarks.peers import measurements
from benchmarks.peers.accidents import ALL, KILLED, NONE, Accident, Place
from benchmarks.peers.counting import Losses, count
from benchmarks.peers.event import Settings, batch_of
from benchmarks.peers.losses import BLOCK_S, USUAL
from benchmarks.peers.measurements import FULL, QUICK, STANDS, Scale, count_losses
from benchmarks.peers.stand import RATE, blocks_of
from benchmarks.peers.ways import ARTICLE, NODE_RED, STRAIGHTFORWARD, WAYS, Way, lines_of
from functions.api.ledger_events import read_batch
from local.audit import CarFacts, Facts
from local.processes import ProcessError
from relay import backoff

KEY = "a-key"
SETTINGS = Settings("http://node", "ws://node", "http://function", KEY, "peers")


def facts() -> Facts:
    """A car that Ada gave to Boris, and one that nobody has."""
    return Facts(
        cars={
            "golf": CarFacts({}, {"boris": "t2"}, {"golf", "t1", "t2"}, "t2"),
            "zoe": CarFacts({}, {}, {"zoe"}, "zoe"),
        },
        leases={("ada", "t1"): ("golf", "t2"), ("boris", "t2"): ("golf", "")},
    )


def car_rows(car: str, holders: dict[str, str], *marks: str) -> list[dict[str, Any]]:
    """The rows of a car that was recorded with these holders, and with these transactions."""
    held = json.dumps([{"driver": driver, "lease": lease} for driver, lease in holders.items()])
    return [
        {"PartitionKey": car, "RowKey": f"record-{car}", "Holders": held},
        *({"PartitionKey": car, "RowKey": f"transaction-{one}"} for one in marks),
    ]


def lease_row(driver: str, lease: str, end: str = "") -> dict[str, Any]:
    """A lease's row."""
    return {"PartitionKey": driver, "RowKey": f"lease-{lease}", "EndTransaction": end}


# ---- counting


def test_nothing_is_missing_from_a_record_that_equals_the_ledger() -> None:
    cars = car_rows("golf", {"boris": "t2"}, "golf", "t1", "t2") + car_rows("zoe", {}, "zoe")
    drivers = [lease_row("ada", "t1", "t2"), lease_row("boris", "t2"), {"PartitionKey": "ada", "RowKey": "record-ada"}]
    assert count(facts(), cars, drivers) == Losses(4, 0, 2, 0, 0, 2, 0)


def test_a_lost_transfer_leaves_a_lease_open_another_missing_and_a_car_with_the_wrong_driver() -> None:
    cars = car_rows("golf", {"ada": "t1"}, "golf", "t1") + car_rows("zoe", {}, "zoe")
    found = count(facts(), cars, [lease_row("ada", "t1")])
    assert found == Losses(4, 1, 2, 1, 1, 2, 1)
    assert found.leases_wrong == 2


def test_all_is_missing_from_an_empty_record() -> None:
    assert count(facts(), [], []) == Losses(4, 4, 2, 2, 0, 2, 2)


# ---- the peers


def test_a_batch_is_one_that_the_function_takes() -> None:
    story = signed_story(Shape(cars=3, transfers=2, drivers=5, apart=1), seed=1)
    for transaction, car in ((story.registered[0], story.registered[0]["id"]), (story.moved[0], None)):
        content_type = SETTINGS.headers["content-type"]
        (event,) = read_batch(content_type, batch_of(transaction, 812, SETTINGS.ledger))
        assert (event.id, event.source) == (transaction["id"], "urn:bigchaindb:peers")
        assert event.subject == (car or transaction["asset"]["id"])
        assert event.sequence == "000000000812-000000"


def test_settings_that_are_missing_are_named_and_the_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAM_URL", raising=False)
    monkeypatch.setenv("NODE_URL", "http://node")
    with pytest.raises(KeyError, match="STREAM_URL"):
        Settings.from_environment()
    assert KEY not in repr(SETTINGS)


def test_the_flow_s_wires_end_at_its_nodes_and_no_property_is_taken_for_the_id_of_a_node() -> None:
    nodes = json.loads((NODE_RED / "flow.json").read_text(encoding="utf-8"))
    ids = {node["id"] for node in nodes}
    assert {end for node in nodes for wire in node.get("wires", []) for end in wire} <= ids
    # Node-RED takes any property that equals an id for a reference to that node.
    named = {value for node in nodes for key, value in node.items() if isinstance(value, str) and key != "id"}
    assert named & ids == {node["z"] for node in nodes if "z" in node} | {
        node["client"] for node in nodes if node.get("client")
    }


def test_node_red_is_pinned_to_one_version_and_to_no_place() -> None:
    pinned = json.loads((NODE_RED / "package.json").read_text(encoding="utf-8"))["dependencies"]["node-red"]
    lock = json.loads((NODE_RED / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert lock["node_modules/node-red"]["version"] == pinned
    assert all("integrity" in one and "resolved" not in one for name, one in lock.items() if name)


def test_lines_that_are_empty_or_comments_do_not_count() -> None:
    assert lines_of("import a\n\n# why\n    # indented\nb = 1  # what\n// script\n") == 2
    assert all(way.lines > 0 for way in WAYS)


# ---- all of them


class Run:
    """Stands in for what takes long: losses that name the history, with a note of how many run at the same time."""

    def __init__(self) -> None:
        self.at_once, self.most, self.stands, self.most_stands = 0, 0, 0, 0
        self.folders: Counter[Path] = Counter()
        self.starts: list[float] = []
        self.failing = ""
        self._lock = threading.Lock()

    def recorded(self, folder: Path, *_: Any) -> Path:
        """A recording's path, which ends with the number of its history."""
        return folder

    def lose(
        self, folder: Path, _: Any, recording: Path, __: Shape, way: Way, accident: Accident, *more: Any
    ) -> Losses:
        """Run for a moment, then wait for the end for another one."""
        if way.name == self.failing:
            raise ProcessError("no luck")
        self.folders[folder] += 1
        self.starts.append(time.monotonic())
        self._count(1, 1)
        time.sleep(0.01)
        self._count(-1, 0)
        more[-1]()
        time.sleep(0.02)
        self._count(0, -1)
        missing = 100 * int(recording.name[-1]) + 10 * ALL.index(accident) + WAYS.index(way)
        return Losses(600, missing, 0, 0, 0, 0, 0)

    def _count(self, running: int, stands: int) -> None:
        with self._lock:
            self.at_once, self.stands = self.at_once + running, self.stands + stands
            self.most, self.most_stands = max(self.most, self.at_once), max(self.most_stands, self.stands)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """What `count_losses` calls, without its processes."""
    run = Run()
    monkeypatch.setattr(measurements, "recorded", run.recorded)
    monkeypatch.setattr(measurements, "lose", run.lose)
    monkeypatch.setattr(measurements, "install_node_red", lambda _: None)
    return run


def counted(folder: Path, scale: Scale, apart_s: float = 0.0) -> dict[tuple[str, str], list[Losses]]:
    """What is counted at this scale, but for the time between two starts."""
    sooner = msgspec.structs.replace(scale, apart_s=apart_s)
    return count_losses(Bench(folder, tables=""), folder, sooner, lambda _: None)


def test_each_way_has_each_accident_in_each_history_and_the_losses_are_in_the_order_of_the_histories(
    run: Run, tmp_path: Path
) -> None:
    found = counted(tmp_path, FULL)
    assert {key: [one.missing for one in runs] for key, runs in found.items()} == {
        (accident.name, way.name): [100 * seed + 10 * number + place for seed in range(1, FULL.seeds + 1)]
        for number, accident in enumerate(ALL)
        for place, way in enumerate(WAYS)
    }
    assert set(run.folders.values()) == {1}


def test_so_many_histories_run_at_the_same_time_and_those_that_wait_for_the_end_do_not_count(
    run: Run, tmp_path: Path
) -> None:
    counted(tmp_path, FULL)
    assert run.most == FULL.side_by_side < run.most_stands <= STANDS


def test_a_way_that_fails_ends_the_counting(run: Run, tmp_path: Path) -> None:
    run.failing = ARTICLE.name
    with pytest.raises(ProcessError, match="no luck"):
        counted(tmp_path, FULL, apart_s=0.05)
    assert run.folders.total() < FULL.side_by_side


def test_histories_start_some_time_apart(run: Run, tmp_path: Path) -> None:
    counted(tmp_path, Scale(seeds=1, accidents=(NONE,)), apart_s=0.05)
    starts = sorted(run.starts)
    assert len(starts) == len(WAYS)
    assert all(later - sooner > 0.04 for sooner, later in pairwise(starts))


def test_node_red_is_installed_only_where_it_is_counted(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[Any] = []
    monkeypatch.setattr(measurements, "install_node_red", installed.append)
    counted(tmp_path, Scale(seeds=1, accidents=(NONE,), ways=(ARTICLE, STRAIGHTFORWARD)))
    assert not installed
    counted(tmp_path, Scale(seeds=1, accidents=(NONE,)))
    assert len(installed) == 1


def test_a_full_run_has_every_accident_and_a_quick_one_some() -> None:
    assert FULL.accidents == ALL
    assert QUICK.accidents == (KILLED,)
    assert len({one.name for one in ALL}) == len(ALL)


@pytest.mark.parametrize("scale", [FULL, QUICK], ids=["full", "quick"])
def test_an_accident_happens_between_two_blocks_and_is_over_before_the_last_one(scale: Scale) -> None:
    _, moving = blocks_of(scale.shape)
    for accident in scale.accidents:
        assert accident.lasts + scale.timing.begins_s < (moving - 1) * BLOCK_S or accident.place is Place.FUNCTION
    assert 0 < scale.timing.begins_s % BLOCK_S < BLOCK_S


def test_nobody_waits_longer_for_another_attempt_than_for_the_end() -> None:
    assert FULL.timing is USUAL
    assert USUAL.still_s > backoff.CAP_S


def test_a_block_holds_no_moves_beside_cars_that_are_registered() -> None:
    assert blocks_of(Shape(cars=8 * RATE, transfers=16 * RATE)) == (8, 16)
    for cars, transfers in ((RATE + 1, RATE), (RATE, RATE - 1)):
        with pytest.raises(ValueError, match="do not fill blocks of 25"):
            blocks_of(Shape(cars=cars, transfers=transfers))
