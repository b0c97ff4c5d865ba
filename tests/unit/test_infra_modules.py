"""The check of infra/ finds what does not fit between its files: modules, parameters, outputs, files of values."""

import pytest

from tests.unit.infra_writing import MAIN, said

CALLED = """
param name string
@allowed(['Standard_LRS', 'Standard_ZRS'])
param sku string = 'Standard_LRS'
@minValue(1)
@maxValue(64)
param lanes int = 4
param tags object = {}
output settings object = { name: name, sku: sku, lanes: lanes, tags: tags }
output id string = name
"""
CALLING = """
@minLength(2)
@maxLength(8)
param prefix string
param relayLanes int = 4
@allowed(['dev', 'prod'])
param stage string
module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    name: '${prefix}st'
    sku: stage == 'prod' ? 'Standard_ZRS' : 'Standard_LRS'
    lanes: relayLanes
  }
}
output id string = storage.outputs.id
"""
VALUES = """
using './main.bicep'
param prefix = 'lease'
param stage = 'dev'
// A value of its own for dev.
param relayLanes = 2
"""
FILES = {MAIN: CALLING, "infra/modules/storage.bicep": CALLED, "infra/dev.bicepparam": VALUES}


def test_right_files_are_found_right() -> None:
    assert said(FILES) == []


@pytest.mark.parametrize(
    ("path", "right", "wrong", "finding"),
    [
        (MAIN, "modules/storage.bicep", "modules/storage2.bicep", "modules/storage2.bicep, which is not there"),
        (MAIN, "    name: '${prefix}st'\n", "", "the module storage lacks the parameter name"),
        (
            MAIN,
            "lanes: relayLanes",
            "lane: relayLanes",
            "the module storage has no parameter lane; did you mean lanes?",
        ),
        (MAIN, "lanes: relayLanes", "lanes: '4'", "lanes of the module storage is string; allowed is int"),
        (
            MAIN,
            "lanes: relayLanes",
            "lanes: 65",
            "lanes of the module storage is 65; allowed is 1 or more and 64 or less",
        ),
        (MAIN, "lanes: relayLanes", "lanes: stage", "lanes of the module storage is string; allowed is int"),
        (
            MAIN,
            "'Standard_ZRS'",
            "'Standard_GRS'",
            "sku of the module storage is 'Standard_GRS'; allowed are Standard_LRS",
        ),
        (MAIN, "outputs.id", "outputs.ids", "storage.outputs has no ids; did you mean id?"),
        (MAIN, "storage.outputs", "storage.output", "storage has no output; did you mean outputs?"),
        (MAIN, "output id string", "output id int", "the output id is string; it says int"),
        (MAIN, "  name: 'storage'", "  nam: 'storage'", "nam is nothing of a module; did you mean name?"),
        (MAIN, "name: 'storage'", "name: 7", "the name of storage is int; allowed is string"),
        (MAIN, "name: 'storage'", "name: other.outputs.id", "the name of storage needs other.outputs"),
        ("infra/dev.bicepparam", "main.bicep", "min.bicep", "using names ./min.bicep, which is not there"),
        (
            "infra/dev.bicepparam",
            "param prefix = 'lease'\n",
            "",
            "the parameter prefix of infra/main.bicep is not given",
        ),
        ("infra/dev.bicepparam", "param relayLanes", "param relayLane", "infra/main.bicep has no parameter relayLane"),
        (
            "infra/dev.bicepparam",
            "'lease'",
            "'leasehook-dev'",
            "prefix has the length 13; allowed is 2 or more and 8 or",
        ),
        ("infra/dev.bicepparam", "'dev'", "'test'", "stage is 'test'; allowed are dev, prod"),
        ("infra/dev.bicepparam", "relayLanes = 2", "relayLanes = '2'", "relayLanes is string; allowed is int"),
        ("infra/dev.bicepparam", "= 'dev'", "= read('STAGE')", "read is no function"),
    ],
)
def test_what_does_not_fit_between_files_is_found(path: str, right: str, wrong: str, finding: str) -> None:
    assert right in FILES[path]
    changed = FILES[path].replace(right, wrong, 1)
    if "other.outputs" in wrong:
        changed += "module other 'modules/storage.bicep' = {\n  name: 'other'\n  params: { name: 'n' }\n}\n"
    found = said({**FILES, path: changed})
    assert [one for one in found if finding in one], found


def test_a_value_that_reaches_a_module_from_a_file_of_values_is_checked_there() -> None:
    found = said({**FILES, "infra/dev.bicepparam": VALUES.replace("relayLanes = 2", "relayLanes = 65")})
    assert found == [f"{MAIN}:13: lanes of the module storage is 65; allowed is 1 or more and 64 or less"]


def test_files_that_call_each_other_in_a_circle_are_found() -> None:
    found = said(
        {
            "infra/a.bicep": "module b 'b.bicep' = { name: 'b' }\n",
            "infra/b.bicep": "module a 'a.bicep' = { name: 'a' }\n",
        }
    )
    assert found == [
        "infra/a.bicep:1: files call each other in a circle: infra/a.bicep -> infra/b.bicep -> infra/a.bicep"
    ]


def test_a_property_that_not_every_item_of_a_list_has_is_found() -> None:
    text = """
var rules = [
  { name: 'a', severity: 1 }
  { name: 'b' }
]
output names array = [for rule in rules: '${rule.name}${rule.severity}']
"""
    assert said(text) == [f"{MAIN}:6: rule has no severity; allowed are name"]
