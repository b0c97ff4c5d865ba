"""The tariff file: read whole, or refused with the file and the place named."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from functions.rating.tariff import TARIFF_FILE, TariffError, read_tariff
from local.scenario import JsonObject

GOOD: JsonObject = json.loads(TARIFF_FILE.read_bytes())


def with_scale(**changes: Any) -> JsonObject:
    return GOOD | {"scale": GOOD["scale"] | changes}


def written(folder: Path, content: Any) -> Path:
    path = folder / "tariff.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_the_tariff_in_force_is_read() -> None:
    tariff = read_tariff()

    assert (tariff.annual_base_rate, tariff.currency) == (Decimal("1200.00"), "EUR")
    assert "Belgian" in tariff.scale.source


def test_a_base_rate_is_read_as_it_is_written(tmp_path: Path) -> None:
    assert read_tariff(written(tmp_path, GOOD | {"annualBaseRate": "0.10"})).annual_base_rate == Decimal("0.10")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.json"

    with pytest.raises(TariffError) as refused:
        read_tariff(missing)

    assert str(missing) in str(refused.value)
    assert "No such file" in str(refused.value)


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(TariffError, match="cannot be read"):
        read_tariff(tmp_path)


def _without(name: str) -> JsonObject:
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "not valid"),
        (b"{", "not valid"),
        (b"\xff\xfe", "not valid"),
        (b'{"version": "\xff"}', "not valid"),
        (b"[" * 20_000, "not valid"),
        ([], "object"),
        (_without("version"), "version"),
        (_without("currency"), "currency"),
        (_without("scale"), "scale"),
        (GOOD | {"anualBaseRate": "1"}, "anualBaseRate"),
        (GOOD | {"annualBaseRate": "much"}, "$.annualBaseRate"),
        (GOOD | {"annualBaseRate": None}, "$.annualBaseRate"),
        (GOOD | {"annualBaseRate": "0"}, "base rate"),
        (GOOD | {"annualBaseRate": "-1200.00"}, "base rate"),
        (GOOD | {"annualBaseRate": "NaN"}, "base rate"),
        (GOOD | {"annualBaseRate": "sNaN"}, "base rate"),
        (GOOD | {"annualBaseRate": "Infinity"}, "base rate"),
        (GOOD | {"annualBaseRate": "1E+30"}, "base rate"),
        (with_scale(levels=[]), "$.scale.levels must rise"),
        (with_scale(levels=[200, *GOOD["scale"]["levels"][1:]]), "$.scale.levels must rise"),
        (with_scale(levels=[0, *GOOD["scale"]["levels"][1:]]), "$.scale.levels must rise"),
        (with_scale(levels=[54.5, 100]), "$.scale.levels[0]"),
        (with_scale(levels="54"), "$.scale.levels"),
        (with_scale(entryClass=23), "entryClass"),
        (with_scale(entryClass=-1), "entryClass"),
        (with_scale(resetClass=23), "resetClass"),
        (with_scale(resetClass="14"), "$.scale.resetClass"),
        (with_scale(claimFreeYear=0), "steps"),
        (with_scale(firstClaimOfYear=-4), "steps"),
        (with_scale(furtherClaimOfYear=0), "steps"),
        (with_scale(claimFreeYearsToReset=0), "years"),
        (with_scale(novice=2), "novice"),
    ],
)
def test_a_bad_file_is_refused_with_the_file_and_the_place_named(tmp_path: Path, content: Any, place: str) -> None:
    path = written(tmp_path, content)

    with pytest.raises(TariffError) as refused:
        read_tariff(path)

    assert str(path) in str(refused.value)
    assert place in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [lambda _: GOOD, lambda _: with_scale(levels=[54, 54, 100], entryClass=2, resetClass=0)],
    ids=["as it is", "a scale of three classes"],
)
def test_a_good_file_is_read(tmp_path: Path, change: Callable[[None], JsonObject]) -> None:
    content = change(None)

    assert list(read_tariff(written(tmp_path, content)).scale.levels) == content["scale"]["levels"]
