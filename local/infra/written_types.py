"""Resource types that azmcp lacks, written down by hand from Microsoft's reference. It knows no template.

A key that ends with `*` is required, one with `!` is read-only, one with `+` is any further property; the values are as
resource_types.read_text reads them, with bounds after a comma. What is not listed is refused, so that a property which
the reference has and this table has not must be added here first.
"""

import re
from collections.abc import Mapping

from local.infra.resource_types import Named, Property, Record, ResourceType, Shape, read_text

LEARN = "https://learn.microsoft.com/azure/templates/"
DURATION = r"string, pattern: ^P(?!$)(\d+D)?(T(?!$)(\d+H)?(\d+M)?)?$"
"""ISO 8601, in days, hours and minutes."""
LOG_CATEGORIES = (
    "AppServiceAppLogs | AppServiceAuditLogs | AppServiceAuthenticationLogs | AppServiceConsoleLogs | "
    "AppServiceHTTPLogs | AppServiceIPSecAuditLogs | AppServicePlatformLogs | AuditEvent | "
    "AzurePolicyEvaluationDetails | FunctionAppLogs | StorageDelete | StorageRead | StorageWrite"
)
"""Of storage services, Key Vault and App Service; https://learn.microsoft.com/azure/azure-monitor/reference/logs-index."""
OF_EVERY_RESOURCE = {"id!": "string", "type!": "string", "apiVersion!": "string"}
RECEIVER_NAMES = (
    "smsReceivers webhookReceivers itsmReceivers azureAppPushReceivers automationRunbookReceivers voiceReceivers "
    "logicAppReceivers azureFunctionReceivers eventHubReceivers"
)

WRITTEN: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "Microsoft.Insights/scheduledQueryRules@2023-12-01": {
        "body": {
            "name*": "string, minLength: 1, maxLength: 260",
            "location*": "string",
            "tags": "Tags",
            "kind": "LogAlert | LogToMetric",
            "identity": "Identity",
            "properties*": "Rule",
            "etag!": "string",
            "systemData!": "any",
        },
        "Tags": {"+": "string"},
        "Identity": {"type*": "SystemAssigned | UserAssigned | None", "userAssignedIdentities": "any"},
        "Rule": {
            "description": "string",
            "displayName": "string",
            "severity": "int, minValue: 0, maxValue: 4",
            "enabled": "bool",
            "scopes": "string[]",
            "evaluationFrequency": DURATION,
            "windowSize": DURATION,
            "overrideQueryTimeRange": DURATION,
            "targetResourceTypes": "string[]",
            "criteria": "Criteria",
            "muteActionsDuration": DURATION,
            "actions": "Actions",
            "checkWorkspaceAlertsStorageConfigured": "bool",
            "skipQueryValidation": "bool",
            "autoMitigate": "bool",
            "ruleResolveConfiguration": "any",
            "createdWithApiVersion!": "string",
            "isLegacyLogAnalyticsRule!": "bool",
            "isWorkspaceAlertsStorageConfigured!": "bool",
        },
        "Criteria": {"allOf": "Condition[]"},
        "Condition": {
            "query": "string",
            "timeAggregation": "Count | Average | Minimum | Maximum | Total",
            "metricMeasureColumn": "string",
            "resourceIdColumn": "string",
            "dimensions": "Dimension[]",
            "operator": "Equals | GreaterThan | GreaterThanOrEqual | LessThan | LessThanOrEqual",
            "threshold": "int",
            "failingPeriods": "FailingPeriods",
            "metricName": "string",
        },
        "Dimension": {"name*": "string", "operator*": "Include | Exclude", "values*": "string[]"},
        "FailingPeriods": {
            "numberOfEvaluationPeriods": "int, minValue: 1, maxValue: 6",
            "minFailingPeriodsToAlert": "int",
        },
        "Actions": {"actionGroups": "string[]", "customProperties": "Tags", "actionProperties": "Tags"},
    },
    "Microsoft.Insights/actionGroups@2023-01-01": {
        "body": {"name*": "string", "location*": "string", "tags": "Tags", "properties": "Group"},
        "Tags": {"+": "string"},
        "Group": {
            "groupShortName*": "string, minLength: 1, maxLength: 12",
            "enabled*": "bool",
            "emailReceivers": "EmailReceiver[]",
            "armRoleReceivers": "RoleReceiver[]",
            **dict.fromkeys(RECEIVER_NAMES.split(), "any[]"),
        },
        "EmailReceiver": {
            "name*": "string",
            "emailAddress*": "string",
            "useCommonAlertSchema": "bool",
            "status!": "string",
        },
        "RoleReceiver": {"name*": "string", "roleId*": "string", "useCommonAlertSchema": "bool"},
    },
    "Microsoft.Insights/diagnosticSettings@2021-05-01-preview": {
        "body": {"name*": "string", "properties": "Settings", "systemData!": "any"},
        "Settings": {
            "workspaceId": "string",
            "storageAccountId": "string",
            "serviceBusRuleId": "string",
            "eventHubAuthorizationRuleId": "string",
            "eventHubName": "string",
            "marketplacePartnerId": "string",
            "logAnalyticsDestinationType": "string",
            "logs": "Log[]",
            "metrics": "Metric[]",
        },
        "Log": {
            "category": LOG_CATEGORIES,
            "categoryGroup": "allLogs | audit",
            "enabled*": "bool",
            "retentionPolicy": "Retention",
        },
        "Metric": {"category": "string", "timeGrain": "string", "enabled*": "bool", "retentionPolicy": "Retention"},
        "Retention": {"enabled*": "bool", "days*": "int, minValue: 0"},
    },
    "Microsoft.Authorization/locks@2020-05-01": {
        "body": {"name*": "string", "properties*": "Lock", "systemData!": "any"},
        "Lock": {
            "level*": "NotSpecified | CanNotDelete | ReadOnly",
            "notes": "string, maxLength: 512",
            "owners": "Owner[]",
        },
        "Owner": {"applicationId": "string"},
    },
    "Microsoft.Network/privateDnsZones@2024-06-01": {
        "body": {
            "name*": "string",
            "location": "string",
            "tags": "Tags",
            "etag": "string",
            "properties": "Zone",
            "systemData!": "any",
        },
        "Tags": {"+": "string"},
        "Zone": {
            "maxNumberOfRecordSets!": "int",
            "maxNumberOfVirtualNetworkLinks!": "int",
            "maxNumberOfVirtualNetworkLinksWithRegistration!": "int",
            "numberOfRecordSets!": "int",
            "numberOfVirtualNetworkLinks!": "int",
            "numberOfVirtualNetworkLinksWithRegistration!": "int",
            "provisioningState!": "string",
            "internalId!": "string",
        },
    },
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01": {
        "body": {
            "name*": "string",
            "location": "string",
            "tags": "Tags",
            "etag": "string",
            "properties": "Link",
            "systemData!": "any",
        },
        "Tags": {"+": "string"},
        "Link": {
            "virtualNetwork": "Reference",
            "registrationEnabled": "bool",
            "resolutionPolicy": "Default | NxDomainRedirect",
            "virtualNetworkLinkState!": "string",
            "provisioningState!": "string",
        },
        "Reference": {"id": "string"},
    },
}


def written_types(pages: Mapping[str, Mapping[str, Mapping[str, str]]] = WRITTEN) -> dict[str, ResourceType]:
    """The types of these pages by name in lower case."""
    return {name.partition("@")[0].lower(): _read(name, page) for name, page in pages.items()}


def _read(full_name: str, page: Mapping[str, Mapping[str, str]]) -> ResourceType:
    name, _, version = full_name.partition("@")
    whole = {**page, "body": {**OF_EVERY_RESOURCE, **page["body"]}}
    shapes: dict[str, Shape] = {key: _record(lines, set(page)) for key, lines in whole.items()}
    return ResourceType(name, version, Named("body"), shapes, f"{LEARN}{name.lower()}")


def _record(lines: Mapping[str, str], names: set[str]) -> Record:
    properties, more = {}, None
    for key, line in lines.items():
        text, _, modifiers = line.partition(", ")
        shape = read_text(text, names, modifiers)
        if key == "+":
            more = shape
        else:
            properties[re.sub("[*!]$", "", key)] = Property(
                shape, is_required=key.endswith("*"), is_read_only=key.endswith("!")
            )
    return Record(properties, more)
