"""The names that Bicep itself knows: functions with the kind of their results, decorators, namespaces.

Source: Microsoft Learn, "Bicep functions" and the pages of decorators for parameters, resources, modules and outputs.
"""

from collections.abc import Mapping

FUNCTIONS_BY_RESULT = {
    "string": """
        base64 base64ToString concat dateTimeAdd dateTimeFromEpoch dataUri dataUriToString extensionResourceId format
        guid join loadFileAsBase64 loadTextContent managementGroupResourceId newGuid padLeft readEnvironmentVariable
        readCliArg replace resourceId string subscriptionResourceId substring take tenantResourceId toLower toUpper
        toLogicalZone toPhysicalZone trim uniqueString uri uriComponent uriComponentToString utcNow
        cidrSubnet cidrHost buildUri""",
    "int": "dateTimeToEpoch indexOf int lastIndexOf length max min",
    "bool": "bool contains empty endsWith startsWith",
    "array": """
        array createArray filter flatten map objectKeys pickZones range skip sort split toLogicalZones toPhysicalZones
        loadDirectoryFileInfo items""",
    "any": """
        any coalesce deployer deployment environment externalInput fail first getSecret groupBy intersection json last
        list listKeys loadJsonContent loadYamlContent managementGroup mapValues nameof parseCidr parseUri providers
        reduce reference resourceGroup shallowMerge subscription tenant toObject tryGet tryIndexFromEnd union""",
}
RESULTS: Mapping[str, str] = {name: kind for kind, names in FUNCTIONS_BY_RESULT.items() for name in names.split()}
"""The kind of result by function name; concat, take, skip, union and others go by what they are given."""
AT_DEFAULTS_ONLY = frozenset({"newGuid", "utcNow"})
"""Functions that are allowed in the default of a parameter alone."""
IN_PARAMETER_FILES_ONLY = frozenset({"readEnvironmentVariable", "readCliArg", "getSecret", "externalInput"})
DECORATORS = frozenset(
    {
        "allowed",
        "batchSize",
        "description",
        "discriminator",
        "export",
        "maxLength",
        "maxValue",
        "metadata",
        "minLength",
        "minValue",
        "onlyIfNotExists",
        "retryOn",
        "sealed",
        "secure",
        "waitUntil",
    }
)
NAMESPACES = frozenset({"az", "sys"})
KNOWN_AT_START = frozenset({"id", "name", "type", "apiVersion"})
"""What is known of a resource before anything is deployed; all else is known when it is."""

OF_FUNCTIONS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "resourceGroup": {"": frozenset({"id", "name", "type", "location", "managedBy", "tags", "properties"})},
    "subscription": {"": frozenset({"id", "subscriptionId", "tenantId", "displayName"})},
    "tenant": {"": frozenset({"countryCode", "displayName", "id", "tenantId"})},
    "deployer": {"": frozenset({"objectId", "tenantId", "userPrincipalName"})},
    "environment": {
        "": frozenset(
            {
                "name",
                "gallery",
                "graph",
                "portal",
                "graphAudience",
                "activeDirectoryDataLake",
                "batch",
                "media",
                "sqlManagement",
                "vmImageAliasDoc",
                "resourceManager",
                "authentication",
                "suffixes",
            }
        ),
        "authentication": frozenset({"loginEndpoint", "audiences", "tenant", "identityProvider"}),
        "suffixes": frozenset(
            {
                "acrLoginServer",
                "azureDatalakeAnalyticsCatalogAndJob",
                "azureDatalakeStoreFileSystem",
                "azureFrontDoorEndpointSuffix",
                "keyvaultDns",
                "sqlServerHostname",
                "storage",
            }
        ),
    },
}
"""The properties of what a function without arguments gives, and of the objects in it, by the object's name."""
OF_MODULES = frozenset({"name", "scope", "params", "dependsOn"})
"""What may stand in the body of a module."""
NUMBER_DECORATORS = frozenset({"minLength", "maxLength", "minValue", "maxValue", "batchSize"})
BUILT_IN_TYPES = frozenset({"string", "int", "bool", "object", "array", "any", "resourceInput", "resourceOutput"})
