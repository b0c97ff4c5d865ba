metadata description = 'What wakes somebody: log search alerts over the line that `relay_watch` writes each minute, and over failed requests.'

@description('Azure region.')
param location string

@description('Tags of each resource.')
param tags object

@description('Name of the action group.')
param actionGroupName string

@description('Where alerts are mailed to. Empty: they are only shown in the portal.')
param alertEmail string

@description('Resource id of the Log Analytics workspace.')
param workspaceId string

@description('relay-heartbeat-missing: a heartbeat older than this many seconds counts as none. The relay writes one every few seconds.')
@minValue(60)
param heartbeatSeconds int

@description('relay-lag: for how many seconds the ledger may be ahead of the record.')
@minValue(60)
param lagSeconds int

@description('relay-lag: after how many seconds a relay that is paused is taken for forgotten.')
@minValue(3600)
param forgottenPauseSeconds int

@description('stream-silent: for how long the event stream may be silent or disconnected. Latency suffers from it, nothing else.')
@allowed([
  'PT15M'
  'PT30M'
  'PT1H'
])
param streamSilentFor string

@description('cars-parked: how many cars may be parked.')
@minValue(0)
param parkedCars int

@description('function-5xx: how many requests may fail with 5xx in fifteen minutes. The relay sends again what a single one lost.')
@minValue(0)
param failedRequests int

@description('record-differs: how many seconds old the last audit may be.')
@minValue(86400)
@maxValue(172800)
param auditAgeSeconds int

// One row for each line of `relay_watch`, with the line's JSON in column relay.
var relayLines = [
  'AppTraces'
  '| where Message startswith "relay state "'
  '| extend relay = parse_json(substring(Message, 12))'
]

// A rule fires while its query returns a row. `summarize` without `by` makes a row of no lines, too: that is how
// relay-heartbeat-missing finds a Function app that says nothing. The other rules leave that case to it.
var rules = [
  {
    name: 'relay-heartbeat-missing'
    severity: 1
    frequency: 'PT5M'
    window: 'PT10M'
    description: 'No sign of life of the relay, or nothing that would tell. First: is the WebJob ledger-relay running in the web app, and what does the end of its log say?'
    query: join(concat(relayLines, [
      '| summarize lines = count(), alive = countif(todouble(relay.heartbeat_age_s) <= ${heartbeatSeconds})'
      '| where alive == 0'
    ]), '\n')
  }
  {
    name: 'relay-lag'
    severity: 2
    frequency: 'PT5M'
    window: 'PT15M'
    description: 'The record has been behind the ledger for longer than it may. First: `python -m relay status`. While lag_blocks falls it catches up: wait. Otherwise `doctor`.'
    query: join(concat(relayLines, [
      '| where tostring(relay.state) != "paused" or todouble(relay.lag_s) > ${forgottenPauseSeconds}'
      '| summarize lines = count(), least_lag_s = min(todouble(relay.lag_s))'
      '| where lines > 0 and least_lag_s > ${lagSeconds}'
    ]), '\n')
  }
  {
    name: 'stream-silent'
    severity: 3
    frequency: 'PT5M'
    window: streamSilentFor
    description: 'The event stream tells nothing of new blocks; the relay polls, so that events come later and none is lost. First: restart the node\'s event stream, or the node.'
    query: join(concat(relayLines, [
      '| where tostring(relay.state) in ("level", "delivering")'
      '| summarize lines = count(), heard = countif(tostring(relay.stream) !in ("silent", "disconnected"))'
      '| where lines > 0 and heard == 0'
    ]), '\n')
  }
  {
    name: 'cars-parked'
    severity: 2
    frequency: 'PT5M'
    window: 'PT15M'
    description: 'Cars are left out of the record, each with its reason; all others go on. First: `python -m relay park list`.'
    query: join(concat(relayLines, [
      '| summarize arg_max(TimeGenerated, relay)'
      '| extend parked_cars = tolong(relay.parked_cars)'
      '| where parked_cars > ${parkedCars}'
    ]), '\n')
  }
  {
    name: 'function-5xx'
    severity: 2
    frequency: 'PT5M'
    window: 'PT15M'
    description: 'The Function app fails. First: `GET /api/health`, then the exceptions in Application Insights.'
    query: join([
      'AppRequests'
      '| where toint(ResultCode) between (500 .. 599)'
      '| summarize failed = count(), names = make_set(Name, 10)'
      '| where failed > ${failedRequests}'
    ], '\n')
  }
  {
    name: 'record-differs'
    severity: 1
    frequency: 'PT1H'
    window: 'P2D'
    // Nothing known of an audit is a reason only once the lines go back two nights: a new deployment has had none yet.
    description: 'The nightly audit found rows that the ledger does not explain, or has not ended for two days. First: the log of the WebJob ledger-audit, which names the differences.'
    query: join(concat(relayLines, [
      '| summarize first_line = min(TimeGenerated), arg_max(TimeGenerated, relay)'
      '| extend differences = tolong(relay.audit_differences), age_s = todouble(relay.audit_age_s)'
      '| where differences > 0 or age_s > ${auditAgeSeconds} or (isnull(age_s) and first_line < ago(47h))'
    ]), '\n')
  }
]

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(alertEmail)) {
  name: actionGroupName
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'leasehook'
    emailReceivers: [
      {
        name: 'on call'
        emailAddress: alertEmail
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alertRules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for rule in rules: {
  name: rule.name
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: rule.name
    description: '${rule.description} More in docs/operations.md, section ${rule.name}.'
    severity: rule.severity
    enabled: true
    scopes: [
      workspaceId
    ]
    evaluationFrequency: rule.frequency
    windowSize: rule.window
    criteria: {
      allOf: [
        {
          query: rule.query
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    autoMitigate: true
    // A workspace that has not heard of the Function app yet may not know the tables.
    skipQueryValidation: true
    actions: {
      actionGroups: empty(alertEmail) ? [] : [
        actionGroup.id
      ]
    }
  }
}]
