metadata description = 'The web app whose WebJobs are the relay (continuous) and the audit (nightly), with its plan. The web app itself serves nothing.'

@description('Name of the App Service plan.')
param planName string

@description('Name of the web app: its host name, so that nobody else in Azure may have it.')
@minLength(2)
@maxLength(60)
param webAppName string

@description('Azure region.')
param location string

@description('Tags of each resource.')
param tags object

@description('Size of the one instance. Always On needs B1 at least.')
@allowed([
  'B1'
  'B2'
  'B3'
  'S1'
  'P0v3'
  'P1v3'
  'P2v3'
])
param planSku string

@description('Resource id of the web app\'s identity.')
param identityId string

@description('Client id of the web app\'s identity.')
param identityClientId string

@description('Name of the Key Vault that holds the secrets `function-key` and `webhook-secrets`.')
param keyVaultName string

@description('Table endpoint of the record account.')
param tablesEndpoint string

@description('Resource id of the Log Analytics workspace.')
param workspaceId string

@description('FUNCTION_URL, see docs/settings.md.')
param functionUrl string

@description('LEDGER_NAME, see docs/settings.md.')
param ledgerName string

@description('LESSOR_PUBLIC_KEYS, see docs/settings.md.')
param lessorPublicKeys string

@description('LEDGER_URLS, see docs/settings.md.')
param ledgerUrls string

@description('LEDGER_STREAM_URL, see docs/settings.md. Empty: the setting is not made.')
param ledgerStreamUrl string

@description('REQUESTS_CA_BUNDLE, see docs/settings.md. Empty: the setting is not made.')
param requestsCaBundle string

@description('RELAY_START_FROM, see docs/settings.md.')
param relayStartFrom string

@description('RELAY_POLL_SECONDS, see docs/settings.md. A text, since Bicep has no fractions.')
param relayPollSeconds string

@description('RELAY_POLL_TRUSTED_SECONDS, see docs/settings.md. A text, since Bicep has no fractions.')
param relayPollTrustedSeconds string

@description('RELAY_LANES, see docs/settings.md.')
@minValue(1)
@maxValue(64)
param relayLanes int

@description('RELAY_BATCH_EVENTS, see docs/settings.md.')
@minValue(1)
@maxValue(500)
param relayBatchEvents int

@description('RELAY_BATCH_BYTES, see docs/settings.md.')
@minValue(10000)
@maxValue(1000000)
param relayBatchBytes int

@description('RELAY_LINGER_MS, see docs/settings.md.')
@minValue(0)
@maxValue(10000)
param relayLingerMs int

@description('RELAY_PREFETCH_BLOCKS, see docs/settings.md.')
@minValue(1)
@maxValue(16)
param relayPrefetchBlocks int

@description('Closes the web app and its publishing site to all but private endpoints.')
param privateAccessOnly bool

@description('Resource id of the subnet that outgoing traffic takes. Empty: no virtual network.')
param subnetId string

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  //checkov:skip=CKV_AZURE_225:zones need two instances at least, and one relay owns the checkpoint
  name: planName
  location: location
  tags: tags
  kind: 'linux'
  sku: {
    name: planSku
    capacity: 1
  }
  properties: {
    reserved: true
    zoneRedundant: false
  }
}

resource webApp 'Microsoft.Web/sites@2024-11-01' = {
  //checkov:skip=CKV_AZURE_222:parameter usePrivateNetwork of main.bicep closes it; it serves a placeholder page only, and publishing needs a token of Entra
  //checkov:skip=CKV_AZURE_17:it answers nobody, so that there is no client to present a certificate
  //checkov:skip=CKV_AZURE_212:one relay owns the checkpoint, and a second would only take it away; what a dead instance left open is read from the ledger again
  //checkov:skip=CKV_AZURE_213:the page says nothing about the relay; its heartbeat does, and alert relay-heartbeat-missing watches that
  name: webAppName
  location: location
  tags: tags
  kind: 'app,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    clientAffinityEnabled: false
    publicNetworkAccess: privateAccessOnly ? 'Disabled' : 'Enabled'
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    // Key Vault references reach a vault behind a private endpoint only so.
    outboundVnetRouting: {
      applicationTraffic: !empty(subnetId)
    }
    siteConfig: {
      linuxFxVersion: 'PYTHON|3.13'
      alwaysOn: true
      numberOfWorkers: 1
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      remoteDebuggingEnabled: false
      httpLoggingEnabled: true
      detailedErrorLoggingEnabled: true
      requestTracingEnabled: true
      // Every setting of docs/settings.md that relay and audit read, then what the platform needs to run WebJobs on Linux.
      appSettings: concat([
        { name: 'LEDGER_NAME', value: ledgerName }
        { name: 'LESSOR_PUBLIC_KEYS', value: lessorPublicKeys }
        { name: 'TABLES_ENDPOINT', value: tablesEndpoint }
        { name: 'WEBHOOK_SECRETS', value: '@Microsoft.KeyVault(VaultName=${keyVaultName};SecretName=webhook-secrets)' }
        { name: 'LEDGER_URLS', value: ledgerUrls }
        { name: 'FUNCTION_URL', value: functionUrl }
        { name: 'FUNCTION_KEY', value: '@Microsoft.KeyVault(VaultName=${keyVaultName};SecretName=function-key)' }
        { name: 'RELAY_START_FROM', value: relayStartFrom }
        { name: 'RELAY_POLL_SECONDS', value: relayPollSeconds }
        { name: 'RELAY_POLL_TRUSTED_SECONDS', value: relayPollTrustedSeconds }
        { name: 'RELAY_LANES', value: string(relayLanes) }
        { name: 'RELAY_BATCH_EVENTS', value: string(relayBatchEvents) }
        { name: 'RELAY_BATCH_BYTES', value: string(relayBatchBytes) }
        { name: 'RELAY_LINGER_MS', value: string(relayLingerMs) }
        { name: 'RELAY_PREFETCH_BLOCKS', value: string(relayPrefetchBlocks) }
        { name: 'RELAY_LOG_FORMAT', value: 'json' }
        { name: 'RELAY_LOG_FILE', value: '/home/LogFiles/ledger-relay.log' }
        { name: 'AZURE_CLIENT_ID', value: identityClientId }
        { name: 'AZURE_TOKEN_CREDENTIALS', value: 'ManagedIdentityCredential' }
        { name: 'WEBSITE_SKIP_RUNNING_KUDUAGENT', value: 'false' }
        { name: 'SCM_DO_BUILD_DURING_DEPLOYMENT', value: 'false' }
        { name: 'WEBJOBS_IDLE_TIMEOUT', value: '3600' }
      ], empty(ledgerStreamUrl) ? [] : [
        { name: 'LEDGER_STREAM_URL', value: ledgerStreamUrl }
      ], empty(requestsCaBundle) ? [] : [
        { name: 'REQUESTS_CA_BUNDLE', value: requestsCaBundle }
      ])
    }
  }
}

// Publishing needs a token of Entra: no user name and password.
resource noFtpPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: webApp
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource noPublishingPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: webApp
  name: 'scm'
  properties: {
    allow: false
  }
}

// The platform's side. What relay and audit write is in the WebJobs' own logs; alerts hang on `relay_watch` instead.
resource appLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: webApp
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'AppServiceConsoleLogs'
        enabled: true
      }
      {
        category: 'AppServicePlatformLogs'
        enabled: true
      }
      {
        category: 'AppServiceHTTPLogs'
        enabled: true
      }
      {
        category: 'AppServiceAuditLogs'
        enabled: true
      }
    ]
  }
}

@description('Resource id of the web app.')
output webAppId string = webApp.id

@description('Name of the web app.')
output webAppName string = webApp.name
