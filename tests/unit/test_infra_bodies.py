"""The check of infra/ finds what is wrong in a resource's body.

The types are a few made up here, written as local/infra/written_types.py writes its own: the Bicep compiler's types
come with tools that `make infra` installs and these tests do not need.
"""

from pathlib import Path

import pytest

from local.infra.resource_types import (
    ListShape,
    Named,
    Plain,
    Record,
    Tagged,
    TextShape,
    TypesError,
    WholeShape,
    ask,
    read_answer,
    read_text,
)
from tests.unit.infra_writing import MAIN, said_of_bodies

TYPES = {
    "Example.Cars/garages@2025-01-01": {
        "body": {
            "name*": "string, minLength: 3, maxLength: 24, pattern: ^[a-z0-9]+$",
            "location*": "string",
            "tags": "Tags",
            "kind*": "Public | Private | string",
            "properties": "Garage",
        },
        "Tags": {"+": "string"},
        "Garage": {
            "doors*": "int, minValue: 1, maxValue: 9",
            "isOpen": "bool",
            "floors": "Floor[]",
            "address!": "string",
            "sites": "string[]",
        },
        "Floor": {"number*": "int", "use": "Parking | Repair"},
    },
    "Example.Cars/garages/cars@2025-01-01": {"body": {"name*": "string", "properties": "any"}},
}
RIGHT = """
param location string
param prefix string
@maxLength(8)
param short string
@allowed(['Parking', 'Repair'])
param use string
param isOpen bool
param numbers array = [1, 2]
var extra = { number: 3, use: use }
resource garage 'Example.Cars/garages@2025-01-01' = {
  name: '${short}${uniqueString(resourceGroup().id)}ga'
  location: location
  tags: { owner: prefix, '${prefix}': 'x' }
  kind: isOpen ? 'Public' : 'Private'
  properties: {
    doors: 2
    isOpen: isOpen
    floors: concat([{ number: 1 }, extra], isOpen ? [] : [{ number: 4, use: 'Repair' }])
    sites: [for number in numbers: 'site-${number}']
  }
  resource car 'cars' = {
    name: 'golf'
  }
}
resource other 'Example.Cars/garages@2025-01-01' existing = {
  name: prefix
}
output address string = garage.properties.address
output tag string = other.tags.anything
"""


def test_a_right_body_is_found_right() -> None:
    assert said_of_bodies(RIGHT, TYPES) == []


@pytest.mark.parametrize(
    ("right", "wrong", "finding"),
    [
        (
            "Cars/garages@2025-01-01' =",
            "Cars/garages@2024-01-01' =",
            "is used at 2024-01-01; the type at hand is of 2025",
        ),
        (
            "Cars/garages@2025-01-01' =",
            "Cars/Garages@2025-01-01' =",
            "Example.Cars/Garages is written Example.Cars/garages",
        ),
        (
            "Example.Cars/garages@2025-01-01' =",
            "Example.Cars/barns@2025-01-01' =",
            "no type of Example.Cars/barns is at",
        ),
        ("isOpen: isOpen", "isopen: isOpen", "isopen is no property of Example.Cars/garages; did you mean isOpen?"),
        ("  location: location\n", "", "garage.location is missing; it is required"),
        ("location: location", "location: null", "garage.location is null; it is required"),
        ("doors: 2", "doors: '2'", "garage.properties.doors is given '2'; allowed is an int"),
        ("doors: 2", "doors: 10", "garage.properties.doors may be 10; allowed is at most 9"),
        ("doors: 2", "doors: 0", "garage.properties.doors may be 0; allowed is at least 1"),
        ("doors: 2", "doors: isOpen", "garage.properties.doors is given a bool; allowed is an int"),
        ("isOpen: isOpen", "isOpen: 'true'", "garage.properties.isOpen is given 'true'; allowed is a bool"),
        ("isOpen: isOpen", "isOpen: '${prefix}'", "garage.properties.isOpen is given a string; allowed is a bool"),
        ("owner: prefix", "owner: 7", "garage.tags.owner is given 7; allowed is a string"),
        ("'Public' :", "'public' :", "garage.kind is 'public'; did you mean Public?"),
        ("['Parking',", "['parking',", "use is 'parking'; did you mean Parking?"),
        ("use: 'Repair'", "use: 'Wash'", "garage.properties.floors[].use is 'Wash'; allowed are Parking, Repair"),
        ("{ number: 3, use", "{ no: 3, use", "garage.properties.floors[].number is missing; it is required"),
        ("sites: [", "address: 'here'\n    sites: [", "garage.properties.address is read-only"),
        ("'site-${number}'", "number", "garage.properties.sites[] is given 1; allowed is a string"),
        (
            "sites: [for number in numbers: 'site-${number}']",
            "sites: prefix",
            "sites is given a string; allowed is an array",
        ),
        ("@maxLength(8)", "@maxLength(10)", "garage.name may have 25 characters; allowed are at most 24"),
        ("uniqueString(resourceGroup().id)}ga'", "toUpper('x')}'", ""),
        (
            "'${short}${uniqueString(resourceGroup().id)}ga'",
            "'My-Garage'",
            "garage.name is 'My-Garage'; allowed is what",
        ),
        (
            "'${short}${uniqueString(resourceGroup().id)}ga'",
            "take(prefix, 2)",
            "may have 0 characters; allowed are at least 3",
        ),
        ("name: prefix", "name: prefix\n  kind: 'Public'", "kind is given for an existing resource; allowed are name"),
        ("  name: prefix\n", "  name: 7\n", "other.name is given 7; allowed is a string"),
        ("garage.properties.address", "garage.properties.street", "Example.Cars/garages has no properties.street"),
    ],
)
def test_what_is_wrong_in_a_body_is_found(right: str, wrong: str, finding: str) -> None:
    assert right in RIGHT
    found = said_of_bodies(RIGHT.replace(right, wrong, 1), TYPES)
    if finding:
        assert [one for one in found if finding in one], found
    else:
        assert "may have" in "".join(found)


def test_a_finding_stands_where_the_value_is_written() -> None:
    text = "resource g 'Example.Cars/garages/cars@2025-01-01' = {\n  name: 'x'\n  propertys: {}\n}\n"
    assert said_of_bodies(text, TYPES) == [
        f"{MAIN}:3: g.propertys is no property of Example.Cars/garages/cars; did you mean properties?"
    ]


def test_a_value_is_followed_from_a_file_of_values_into_a_module() -> None:
    files = {
        MAIN: "param use string\nmodule one 'one.bicep' = { name: 'one', params: { use: use } }\n",
        "infra/one.bicep": (
            "param use string\nresource g 'Example.Cars/garages@2025-01-01' = {\n  name: 'garage'\n  location: 'x'\n"
            "  kind: 'Public'\n  properties: { doors: 1, floors: [{ number: 1, use: use }] }\n}\n"
        ),
        "infra/dev.bicepparam": "using 'main.bicep'\nparam use = 'Parking'\n",
    }
    assert said_of_bodies(files, TYPES) == []
    wrong = {**files, "infra/dev.bicepparam": "using 'main.bicep'\nparam use = 'Washing'\n"}
    assert said_of_bodies(wrong, TYPES) == [
        "infra/dev.bicepparam:2: g.properties.floors[].use is 'Washing'; allowed are Parking, Repair"
    ]


def test_an_answer_of_azmcp_is_read_with_its_objects_their_flags_and_their_bounds() -> None:
    """The answer is made up here, in the form that azmcp has."""
    answer = {
        "status": 200,
        "results": {
            "BicepSchemaResult": [
                {
                    "$type": "Resource",
                    "name": "Example.Cars/garages@2025-01-01",
                    "bodyType": {
                        "$type": "DiscriminatedObject",
                        "name": "Example.Cars/garages",
                        "discriminator": "name",
                        "baseProperties": [{"name": "kind", "type": "string", "description": "Its kind."}],
                        "elements": [
                            {
                                "$type": "Object",
                                "name": "Example.Cars/garages",
                                "properties": [
                                    {"name": "name", "type": "front", "flags": "Required, DeployTimeConstant"},
                                    {"name": "doors", "type": "int", "modifiers": "minValue: 1, maxValue: 9"},
                                    {"name": "id", "type": "string", "flags": "ReadOnly"},
                                    {"name": "floors", "type": "Floor[]"},
                                ],
                            }
                        ],
                    },
                },
                {"$type": "Object", "name": "Floor", "properties": [], "additionalPropertiesType": "any"},
                {"$type": "ResourceInstanceFunction", "name": "listKeys", "resourceType": "Example.Cars/garages"},
            ]
        },
    }
    kind = read_answer(answer)
    assert kind is not None
    assert (kind.name, kind.version) == ("Example.Cars/garages", "2025-01-01")
    assert isinstance(kind.body, Tagged)
    properties = kind.body.records["front"].properties
    assert properties["name"].is_required
    assert properties["id"].is_read_only
    assert properties["doors"].shape == WholeShape(1, 9)
    assert properties["floors"].shape == ListShape(Named("Floor"))
    assert properties["kind"].shape == TextShape()
    assert kind.shapes == {"Floor": Record({}, Plain("any"))}


def test_an_answer_that_there_is_no_such_type_is_told_from_one_that_is_not_understood() -> None:
    assert read_answer({"status": 500, "message": "Resource type A.B/c with apiVersion 1 not supported."}) is None
    assert read_answer({"status": 500, "message": "Resource type A.B/c not found."}) is None
    with pytest.raises(ValueError, match="status 500"):
        read_answer({"status": 500, "message": "out of memory"})


def test_a_platform_without_azmcp_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(TypesError, match="msmcp-azure has no binary for this platform"):
        ask(tmp_path / "azmcp", "Example.Cars/garages", tmp_path / "cache")


def test_types_are_asked_for_once(tmp_path: Path) -> None:
    """A small program stands for azmcp: it answers as that does for a type it lacks, and counts its calls."""
    azmcp = tmp_path / "azmcp"
    azmcp.write_text(
        f'#!/bin/sh\necho call >> "{tmp_path}/calls"\necho \'{{"status": 500, "message": "A not found."}}\'\n'
    )
    azmcp.chmod(0o755)
    for _ in range(2):
        assert ask(azmcp, "A.B/c", tmp_path / "cache") is None
    assert (tmp_path / "calls").read_text() == "call\n"


def test_an_answer_that_is_not_understood_is_not_kept(tmp_path: Path) -> None:
    azmcp = tmp_path / "azmcp"
    azmcp.write_text("#!/bin/sh\necho nothing\n")
    azmcp.chmod(0o755)
    with pytest.raises(TypesError, match=r"answer for A\.B/c is not understood"):
        ask(azmcp, "A.B/c", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_values_that_have_the_name_of_an_object_are_values() -> None:
    shape = read_text("SystemAssigned | UserAssigned | string", {"UserAssigned"})
    assert shape == TextShape(choices=frozenset({"SystemAssigned", "UserAssigned"}))
    assert read_text("Front | Back", {"Front", "Back"}) == Plain("any")
    assert read_text("string", set(), "minLength: 3, maxLength: 24, pattern: ^[a-z]{1,3}$, sensitive") == TextShape(
        3, 24, "^[a-z]{1,3}$"
    )
