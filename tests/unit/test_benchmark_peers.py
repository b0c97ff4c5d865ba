"""The comparison with the usual ways: the history, the event, the counting of losses, the statistics, the report."""

import json
from typing import Any

import msgspec
import pytest

from benchmarks.peers.accidents import ALL, FEW, NONE
from benchmarks.peers.counting import Losses, count
from benchmarks.peers.event import Settings, batch_of
from benchmarks.peers.measurements import FULL, QUICK, Found
from benchmarks.peers.quiet import Quiet
from benchmarks.peers.report import lateness, ratio, span, spreads, with_span, write_report
from benchmarks.peers.stand import has_connection
from benchmarks.peers.story import REST_S, plan, signed_story
from benchmarks.peers.ways import NODE_RED, WAYS, lines_of
from functions.api.ledger_events import read_batch
from local.audit import CarFacts, Facts

KEY = "a-key"
SETTINGS = Settings("http://node", "ws://node", "http://function", KEY, "peers")
COMPLETE = Losses(transactions=600, missing=0, leases=350, leases_missing=0, leases_open=0, cars=200, cars_wrong=0)
LOST = Losses(transactions=600, missing=228, leases=350, leases_missing=120, leases_open=5, cars=200, cars_wrong=109)


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


# ---- the history


def test_a_car_rests_between_its_moves_and_goes_from_the_one_who_has_it() -> None:
    rate, owners, moved_at = 5, [-1] * 20, [-REST_S * 5] * 20
    for place, move in enumerate(plan(20, 200, rate, seed=3)):
        assert place - moved_at[move.car] >= REST_S * rate
        assert owners[move.car] == move.owner != move.recipient
        owners[move.car], moved_at[move.car] = move.recipient, place


def test_a_seed_decides_the_history() -> None:
    assert plan(20, 50, 5, seed=1) == plan(20, 50, 5, seed=1) != plan(20, 50, 5, seed=2)


def test_too_few_cars_for_their_rests_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 10 cars, not 10"):
        plan(10, 50, 5, seed=1)


def test_each_transfer_spends_what_the_car_s_last_transaction_made() -> None:
    story = signed_story(cars=5, moves=12, rate=2, seed=1)
    assert story.transactions == 17
    last = {one["id"]: one["id"] for one in story.registered}
    for move in story.moved:
        asset = move["asset"]["id"]
        assert move["inputs"][0]["fulfills"] == {"transaction_id": last[asset], "output_index": 0}
        last[asset] = move["id"]


# ---- the peers


def test_a_batch_is_one_that_the_function_takes() -> None:
    story = signed_story(cars=3, moves=2, rate=1, seed=1)
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


def test_a_client_is_told_by_its_established_connection_to_a_port() -> None:
    head = "  sl  local_address rem_address   st\n"
    established = "   0: 0100007F:A1B2 0100007F:4E20 01\n"
    assert has_connection(head + established, 20_000)
    assert not has_connection(head + established, 20_001)
    assert not has_connection(head + established.replace(" 01", " 02"), 20_000)
    assert not has_connection(head + "   0: 0100007F:4E20 0100007F:A1B2 01\n", 20_000)


def test_lines_that_are_empty_or_comments_do_not_count() -> None:
    assert lines_of("import a\n\n# why\n    # indented\nb = 1  # what\n// script\n") == 2
    assert all(way.lines > 0 for way in WAYS)


# ---- statistics


def test_a_span_is_one_number_where_all_are_the_same() -> None:
    assert (span([7, 3, 5]), span([4, 4])) == ("3-7", "4")


def test_a_ratio_is_that_of_the_median_repetition() -> None:
    assert ratio([1.0, 2.0, 3.0], [2.0, 8.0, 9.0]) == "0.33"


def test_a_ratio_is_too_noisy_where_the_repetitions_do_not_agree_which_is_smaller() -> None:
    assert ratio([1.0, 3.0, 1.0], [2.0, 2.0, 2.0]) == "too noisy"


def test_a_figure_is_its_median_with_least_and_most() -> None:
    assert with_span([3.0, 1.0, 2.0]) == "2.0 (1.0-3.0)"


def test_lateness_is_told_where_every_run_ended_with_a_complete_record() -> None:
    late = [msgspec.structs.replace(COMPLETE, late_s=seconds) for seconds in (4.04, 0.2)]
    assert lateness(late) == "0.2-4.0"
    assert lateness([*late, LOST]) == "-"


def test_spreads_are_parts_of_the_medians() -> None:
    runs = [Quiet(10, 20, 30, 1, 50), Quiet(12, 20, 30, 1, 50)]
    assert spreads({(10, "article"): runs})[-1] == pytest.approx(2 / 11)


# ---- the report


def found() -> Found:
    """A quick run in which the relay lost nothing, and the others did, but where nothing happened."""
    names = [way.name for way in WAYS]
    return Found(
        QUICK,
        {(one.name, name): [COMPLETE if one is NONE or name == "Leasehook" else LOST] for one in FEW for name in names},
        {(10, name): [Quiet(20.0, 30.0, 40.0, 2.0, 50.0)] for name in names},
        {name: [3.2 if name == "Leasehook" else None] for name in names},
    )


def test_the_report_tells_losses_ratios_and_who_never_catches_up() -> None:
    told = write_report(found(), " --quick", "4.1.8", 0.5, 3.0)
    assert "| the forwarder is killed, and started again after 5 s | 228 | 228 | 228 | 0 |" in told
    assert "| cars with the wrong driver, of 200 | article | straightforward | Node-RED | Leasehook |" in told
    assert "| leases missing or wrongly open, of 350 |" in told
    assert "| 125 | 125 | 125 | 0 |" in told
    assert "| Node-RED | 10 | 1.00 | 1.00 | 1.00 | 1.00 |" in told
    assert "| article | never | never | never |" in told
    assert "| Leasehook | 3.2 | 3.2 | 3.2 |" in told
    assert "no basis for claims" in told
    assert "Node-RED* 4.1.8" in told


def test_a_full_run_has_every_accident_and_a_quick_one_some() -> None:
    assert FULL.accidents == ALL
    assert set(QUICK.accidents) < set(ALL)
    assert len({one.name for one in ALL}) == len(ALL)
