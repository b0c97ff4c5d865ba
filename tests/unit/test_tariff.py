"""The tariff file: read whole, or refused with the file and the place named."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.rating.tariff import TARIFF_FILE, CarClass, Tariff, TariffError, parse_tariff, read_tariff
from local.scenario import JsonObject

GOOD: JsonObject = json.loads(TARIFF_FILE.read_bytes())
JSON_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)


def json_values(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "factor", "cars"]), inner, max_size=3)


BAD_FACTORS = (1, 1.1, "0", "0.00", "-1", "10.01", "1.00001", "1e0", "NaN", "Infinity", "", None, True)
GOLF = {"manufacturer": "Volkswagen", "model": "Golf"}


def with_scale(**changes: Any) -> JsonObject:
    return GOOD | {"scale": GOOD["scale"] | changes}


def with_classes(*classes: JsonObject, default: str = "any") -> JsonObject:
    return GOOD | {"carClasses": list(classes), "defaultCarClass": default}


def car_class(name: str = "any", factor: Any = "1.00", cars: Any = ()) -> JsonObject:
    return {"name": name, "factor": factor, "cars": list(cars)}


def with_steps(*steps: tuple[Any, Any], unknown: Any = "1.00") -> JsonObject:
    return GOOD | {
        "novice": {"unknown": unknown, "steps": [{"belowYears": years, "factor": factor} for years, factor in steps]}
    }


def parsed(content: JsonObject) -> Tariff:
    return parse_tariff(json.dumps(content).encode(), "the tariff in the request")


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
        (GOOD | {"annualBaseRate": "0"}, "$.annualBaseRate"),
        (GOOD | {"annualBaseRate": "-1200.00"}, "$.annualBaseRate"),
        (GOOD | {"annualBaseRate": "NaN"}, "$.annualBaseRate"),
        (GOOD | {"annualBaseRate": "sNaN"}, "$.annualBaseRate"),
        (GOOD | {"annualBaseRate": "Infinity"}, "$.annualBaseRate"),
        (GOOD | {"annualBaseRate": "1E+30"}, "$.annualBaseRate"),
        (with_scale(levels=[]), "$.scale.levels must rise"),
        (with_scale(levels=[200, *GOOD["scale"]["levels"][1:]]), "$.scale.levels must rise"),
        (with_scale(levels=[0, *GOOD["scale"]["levels"][1:]]), "$.scale.levels must rise"),
        (with_scale(levels=[54.5, 100]), "$.scale.levels[0]"),
        (with_scale(levels="54"), "$.scale.levels"),
        (with_scale(entryClass=23), "entryClass"),
        (with_scale(entryClass=-1), "entryClass"),
        (with_scale(resetClass=23), "resetClass"),
        (with_scale(resetClass="14"), "$.scale.resetClass"),
        (with_scale(levels=[*GOOD["scale"]["levels"][:-1], 1001]), "$.scale.levels must rise"),
        (with_scale(claimFreeYear=0), "$.scale.claimFreeYear"),
        (with_scale(firstClaimOfYear=-4), "$.scale.firstClaimOfYear"),
        (with_scale(furtherClaimOfYear=0), "$.scale.furtherClaimOfYear"),
        (with_scale(claimFreeYearsToReset=0), "$.scale.claimFreeYearsToReset"),
        (with_scale(novice=2), "novice"),
        *((GOOD | {"version": version}, "$.version") for version in ("", "x" * 41, "2026 1", "2026/1", "é", "1\n")),
        *((GOOD | {"currency": currency}, "$.currency") for currency in ("", "eur", "EURO", "E R", "EUR\n", "ÉUR")),
        *(
            (GOOD | {"annualBaseRate": rate}, "$.annualBaseRate")
            for rate in (1200, 1200.5, "1200.005", "1000000.01", "01", "1_200", " 1200", "1200.", ".5", "+1", "")
        ),
        *((with_classes(car_class(), car_class("b", bad)), "$.carClasses[1].factor") for bad in BAD_FACTORS),
        *((with_steps((2, bad)), "$.novice.steps[0].factor") for bad in BAD_FACTORS),
        *((with_steps((2, "1.5"), unknown=bad), "$.novice.unknown") for bad in BAD_FACTORS),
        (_without("carClasses"), "carClasses"),
        (_without("defaultCarClass"), "defaultCarClass"),
        (_without("novice"), "novice"),
        (with_classes(), "$.defaultCarClass"),
        (with_classes(car_class(), default="Any"), "$.defaultCarClass"),
        (with_classes(car_class(), car_class()), "$.carClasses[1].name"),
        (with_classes(car_class(), car_class("ANY")), "$.carClasses[1].name"),
        *((with_classes(car_class(name)), "$.carClasses[0].name") for name in ("", " any", "any ", "a\nb", "x" * 61)),
        (with_classes(car_class() | {"colour": "red"}), "colour"),
        (with_classes(car_class(cars=[{"model": "Golf"}])), "manufacturer"),
        (with_classes(car_class(cars=[{"manufacturer": " ", "model": "Golf"}])), "$.carClasses[0].cars[0]"),
        (with_classes(car_class(cars=[{"manufacturer": "Volvo", "model": ""}])), "$.carClasses[0].cars[0]"),
        (with_classes(car_class(cars=[GOLF, GOLF])), "$.carClasses[0].cars[1]"),
        (with_classes(car_class(cars=[GOLF]), car_class("b", cars=[GOLF])), "$.carClasses[1].cars[0]"),
        (
            with_classes(car_class(cars=[GOLF, {"manufacturer": " VOLKSWAGEN", "model": "golf "}])),
            "$.carClasses[0].cars[1] is listed at $.carClasses[0].cars[0] too",
        ),
        (
            with_classes(car_class(cars=[{"manufacturer": "Volvo"}, {"manufacturer": "volvo", "model": None}])),
            "$.carClasses[0].cars[1]",
        ),
        (with_steps((0, "1.5")), "$.novice.steps[0].belowYears"),
        (with_steps((101, "1.5")), "$.novice.steps[0].belowYears"),
        (with_steps((2.5, "1.5")), "$.novice.steps[0].belowYears"),
        (with_steps(("2", "1.5")), "$.novice.steps[0].belowYears"),
        (with_steps((5, "1.5"), (2, "1.2")), "$.novice.steps[1].belowYears"),
        (with_steps((2, "1.5"), (2, "1.2")), "$.novice.steps[1].belowYears"),
        (with_steps((2, "1.2"), (5, "1.5")), "$.novice.steps[0].factor"),
        (with_steps((2, "0.99")), "$.novice.steps[0].factor"),
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
    "content",
    [
        GOOD,
        with_scale(levels=[54, 54, 100], entryClass=2, resetClass=0),
        with_scale(levels=[1, 1000], entryClass=1, resetClass=1),
        with_classes(car_class(factor="10")),
        with_classes(car_class(factor="0.0001", cars=[GOLF, {"manufacturer": "Volkswagen"}])),
        with_classes(car_class("x" * 60), default="x" * 60),
        with_steps(),
        with_steps((1, "10"), (100, "1"), unknown="0.5"),
        with_steps((2, "1.5"), (5, "1.5")),
        GOOD | {"version": "a.B_c-" + "9" * 34},
        GOOD | {"annualBaseRate": "1000000"},
        GOOD | {"annualBaseRate": "0.01"},
    ],
)
def test_a_good_file_is_read(tmp_path: Path, content: JsonObject) -> None:
    tariff = read_tariff(written(tmp_path, content))

    assert list(tariff.scale.levels) == content["scale"]["levels"]
    assert json.loads(msgspec.json.encode(tariff)) == content
    assert parsed(content) == tariff


def test_a_candidate_is_refused_with_its_place_named() -> None:
    with pytest.raises(TariffError, match=r"^the tariff in the request is not valid: .*\$\.annualBaseRate"):
        parsed(GOOD | {"annualBaseRate": 1200})


@given(st.binary(max_size=40) | st.recursive(JSON_SCALARS, json_values).map(lambda found: json.dumps(found).encode()))
def test_whatever_is_not_a_tariff_is_refused_in_one_line(text: bytes) -> None:
    with pytest.raises(TariffError) as refused:
        parse_tariff(text, "the tariff in the request")

    assert str(refused.value).startswith("the tariff in the request is not valid: ")
    assert "\n" not in str(refused.value)


@settings(max_examples=300)
@given(field=st.sampled_from(sorted(GOOD)), value=st.recursive(JSON_SCALARS, json_values))
def test_a_tariff_with_one_field_replaced_is_read_or_refused(field: str, value: Any) -> None:
    try:
        tariff = parsed(GOOD | {field: value})
    except TariffError:
        return

    assert json.loads(msgspec.json.encode(tariff))[field] == value


def _fields(value: Any, path: str = "") -> set[str]:
    if isinstance(value, list):
        return {field for one in value for field in _fields(one, f"{path}[]")}
    if not isinstance(value, dict):
        return set()
    inner = {field for name, one in value.items() for field in _fields(one, f"{path}.{name}" if path else name)}
    return inner | {f"{path}.{name}" if path else name for name in value}


def test_every_field_of_the_tariff_has_its_line() -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "rating.md").read_text()
    # The fields inside these two are told in the lines of the lists themselves.
    told = [field for field in _fields(GOOD) if not field.startswith(("carClasses[].cars[]", "novice.steps[]"))]

    assert [field for field in sorted(told) if f"`{field}`" not in text] == ["novice", "scale"]


# The class of a car

CLASSES = with_classes(
    car_class("small", "0.90", [{"manufacturer": "Renault", "model": "Zoe"}, {"manufacturer": "Citroën"}]),
    car_class("sports", "1.60", [{"manufacturer": "Porsche"}]),
    car_class("large", "1.20", [{"manufacturer": "Porsche", "model": "Macan"}, {"manufacturer": "Straße"}]),
    car_class("other"),
    default="other",
)


@pytest.mark.parametrize(
    ("manufacturer", "model", "expected"),
    [
        ("Renault", "Zoe", "small"),
        (" RENAULT ", "zoe\t", "small"),
        ("Renault", "Clio", "other"),
        ("Renault", "", "other"),
        ("Porsche", "911", "sports"),
        ("Porsche", "", "sports"),
        ("porsche", "macan", "large"),
        ("Citroe\u0308n", "C3", "small"),
        ("STRASSE", "1", "large"),
        ("", "Zoe", "other"),
        ("", "", "other"),
    ],
)
def test_the_most_specific_entry_gives_a_car_its_class(manufacturer: str, model: str, expected: str) -> None:
    assert parsed(CLASSES).car_class(manufacturer, model).name == expected


def test_the_order_of_the_classes_does_not_matter() -> None:
    backwards = parsed(CLASSES | {"carClasses": CLASSES["carClasses"][::-1]})

    assert backwards.car_class("Porsche", "Macan").name == "large"
    assert backwards.car_class("Porsche", "911").name == "sports"


def test_every_car_of_the_tariff_in_force_is_in_the_class_that_lists_it() -> None:
    tariff = read_tariff()

    def listed(one: CarClass) -> set[str]:
        return {tariff.car_class(entry.manufacturer, entry.model or "").name for entry in one.cars}

    assert [one.name for one in tariff.car_classes if not listed(one) <= {one.name}] == []
    assert tariff.car_class("", "").factor == Decimal(1)


@given(manufacturer=st.text(max_size=12), model=st.text(max_size=12))
def test_every_car_has_a_class(manufacturer: str, model: str) -> None:
    assert read_tariff().car_class(manufacturer, model) in read_tariff().car_classes


# New drivers


@pytest.mark.parametrize(
    ("years", "factor"), [(None, "1.1"), (0, "1.5"), (1, "1.5"), (2, "1.2"), (4, "1.2"), (5, "1"), (80, "1")]
)
def test_the_first_step_above_the_years_applies(years: int | None, factor: str) -> None:
    novice = parsed(with_steps((2, "1.5"), (5, "1.2"), unknown="1.1")).novice

    assert novice.factor(years) == Decimal(factor)
