"""The check of infra/ finds what a compiler would say of syntax, names and what is known when, and nothing else."""

import pytest

from tests.unit.infra_writing import MAIN, said

ACCOUNT = "'Microsoft.Storage/storageAccounts@2025-01-01'"
VAULT = "resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = { name: 'v' }\n"

RIGHT = f"""
targetScope = 'resourceGroup'
metadata description = 'Accounts and what is in them.'

@description('Which environment this is.')
@allowed(['dev', 'prod'])
param environmentName string = 'dev'

@minLength(3)
@maxLength(11)
param prefix string
param names array = ['a', 'b']
@secure()
param password string

// A comment with a word that no one declares: nowhere.
var base = '${{prefix}}${{uniqueString(resourceGroup().id)}}'
var isProd = environmentName == 'prod' /* here too */
var wanted = [for name in names: toLower(name)]

resource account {ACCOUNT} = {{
  name: take('${{base}}${{environmentName}}', 24)
  location: resourceGroup().location
  resource tables 'tableServices' = {{
    name: 'default'
    resource table 'tables' = [for (name, index) in wanted: {{
      name: '${{name}}${{index}}'
    }}]
  }}
}}

resource lock 'Microsoft.Authorization/locks@2020-05-01' = if (isProd) {{
  name: 'keep'
  scope: account
  properties: {{ level: 'CanNotDelete', notes: password }}
}}

output id string = account.id
output host string = az.environment().suffixes.storage
output tables string = account::tables.id
"""


def test_a_right_template_is_found_right() -> None:
    assert said(RIGHT) == []


@pytest.mark.parametrize(
    ("right", "wrong", "finding"),
    [
        ("name: 'default'", "name 'default'", "this is no Bicep"),
        ("@maxLength(11)", "@maxLength(11", "is missing"),
        ("${uniqueString(", "${uniqString(", "uniqString is no function; did you mean uniqueString?"),
        ("toLower(name)", "toLower(nam)", "nam is not declared in this file; did you mean names?"),
        ("= if (isProd)", "= if (isProduction)", "isProduction is not declared in this file"),
        ("scope: account", "scope: acount", "acount is not declared in this file; did you mean account?"),
        ("account::tables", "account::table5", "table5 is not declared in this file"),
        ("param names array", "param prefix array", "prefix is declared at line 11 already"),
        ("param names array", "param names arry", "arry is no type; did you mean array?"),
        ("@minLength(3)", "@minLenght(3)", "@minLenght is no decorator; did you mean minLength?"),
        ("@minLength(3)", "@minLength('3')", "@minLength takes one number"),
        ("= if (isProd)", "= if (true)", "the variable isProd is not used"),
        ("${prefix}", "lease", "the parameter prefix is not used"),
        ("var isProd =", VAULT + "var isProd =", "the existing resource vault is not used"),
        ("output host", "output id", "the output id is declared already"),
        ("suffixes.storage", "suffixes.store", "az.environment().suffixes has no store"),
        ("resourceGroup().location", "resourceGroup().region", "resourceGroup() has no region"),
        ("= 'dev'", "= isProd ? 'prod' : 'dev'", "the default of environmentName uses isProd; allowed are parameters"),
        ("= ['a', 'b']", "= 'a'", "the default of names is string; allowed is array"),
        ("= 'dev'", "= 'test'", "the default of environmentName is 'test'; allowed are dev, prod"),
        ("output id string", "output id int", "the output id is string; it says int"),
        ("take('${base}", "take('${newGuid()}${base}", "newGuid() is allowed in the default of a parameter only"),
        ("param password string", "param password string = 'letmein'", "password is @secure and has a default"),
        ("@secure()\n", "", "password is named like a secret and is not @secure"),
        ("string = account.id", "string = password", "the output id shows the secure parameter password"),
        (
            "string = account.id",
            "string = account.listKeys().keys[0].value",
            "the output id shows what account.listKeys",
        ),
        ("output host", "output hostPassword", "the output hostPassword is named like a secret"),
        ("notes: password", "notes: readEnvironmentVariable(password)", "readEnvironmentVariable is no function"),
    ],
)
def test_what_is_wrong_with_a_name_is_found(right: str, wrong: str, finding: str) -> None:
    assert right in RIGHT
    found = said(RIGHT.replace(right, wrong, 1))
    assert [one for one in found if finding in one], found


def test_a_finding_names_the_file_and_the_line() -> None:
    assert said("param a string\n\nvar b = a\n") == [f"{MAIN}:3: the variable b is not used"]


def test_a_secret_that_reaches_an_output_by_way_of_a_variable_is_found() -> None:
    found = said("@secure()\nparam password string\nvar copy = 'x${password}'\noutput shown string = copy\n")
    assert found == [f"{MAIN}:4: the output shown shows the secure parameter password"]


def test_the_name_of_a_secret_is_no_secret() -> None:
    assert said("output secretName string = 'webhook-secrets'\noutput secretsUri string = 'https://v'\n") == []


def test_variables_in_a_circle_are_found_once() -> None:
    found = said("var a = '${b}'\nvar b = '${c}'\nvar c = '${a}'\n")
    assert found == [f"{MAIN}:1: goes in a circle: a -> b -> c -> a"]


def test_a_resource_that_needs_itself_is_found() -> None:
    text = f"resource account {ACCOUNT} = {{\n  name: 'a'\n  tags: {{ id: account.id }}\n}}\n"
    assert said(text) == [f"{MAIN}:1: goes in a circle: account -> account"]


@pytest.mark.parametrize(
    ("child", "finding"),
    [
        ("name: account.properties.primaryLocation", "the name of child needs account.properties"),
        ("name: late", "the name of child needs account.location"),
        ("name: account.id", ""),
        ("name: guid(account.name, account.id)", ""),
    ],
)
def test_a_name_that_is_known_only_when_another_resource_is_there_is_found(child: str, finding: str) -> None:
    text = f"""
resource account {ACCOUNT} = {{
  name: 'a'
  location: 'westeurope'
}}
var late = 'x${{account.location}}'
resource child 'Microsoft.Authorization/roleAssignments@2022-04-01' = {{
  {child}
  scope: account
  properties: {{ note: late }}
}}
"""
    found = said(text)
    assert bool(found) == bool(finding), found
    assert finding in "".join(found)


def test_conditions_and_loops_that_are_known_too_late_are_found() -> None:
    text = f"""
resource account {ACCOUNT} existing = {{ name: 'a' }}
resource one 'A.B/c@2025-01-01' = if (account.kind == 'StorageV2') {{ name: 'one' }}
resource many 'A.B/c@2025-01-01' = [for name in account.properties.names: {{ name: name }}]
var all = [for name in ['x']: '${{name}}${{account.kind}}']
output all array = all
"""
    assert [one.partition(": ")[2] for one in said(text)] == [
        "the condition of one needs account.kind, which is not known when the deployment starts",
        "the loop of many needs account.properties, which is not known when the deployment starts",
        "the loop of all needs account.kind, which is not known when the deployment starts",
    ]


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        ("parent: service\n  name: 'Cars'", ""),
        ("parent: account\n  name: 'Cars'", "the parent of table is Microsoft.Storage/storageAccounts; allowed is a"),
        ("name: 'Cars'", "table is part of a Microsoft.Storage/storageAccounts/tableServices and has no parent"),
    ],
)
def test_a_child_names_the_parent_that_its_type_has(body: str, finding: str) -> None:
    text = f"""
resource account {ACCOUNT} = {{ name: 'a' }}
resource service 'Microsoft.Storage/storageAccounts/tableServices@2025-01-01' = {{
  parent: account
  name: 'default'
}}
resource table 'Microsoft.Storage/storageAccounts/tableServices/tables@2025-01-01' = {{
  {body}
}}
output ids array = [account.id, service.id]
"""
    found = said(text)
    assert bool(found) == bool(finding), found
    assert finding in "".join(found)
