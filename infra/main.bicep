metadata description = 'Leasehook in one resource group: the Function app that keeps the record, the web app whose WebJobs follow the ledger, and what both lean on.'

targetScope = 'resourceGroup'

// ---- names and place

@description('What the names of all resources begin with: 2 to 7 of a-z and 0-9, a letter first.')
@minLength(2)
@maxLength(7)
param namePrefix string = 'lease'

@description('Which environment this is. It is part of each name.')
@allowed([
  'dev'
  'test'
  'prod'
])
param environmentName string

@description('Azure region of everything. It must offer Flex Consumption: `az functionapp list-flexconsumption-locations`.')
param location string = resourceGroup().location

@description('Tags of your own, for all resources.')
param tags object = {}

// ---- what the apps are told (docs/settings.md)

@description('LEDGER_NAME: your name for the ledger, 1 to 63 of a-z, 0-9 and -.')
@minLength(1)
@maxLength(63)
param ledgerName string

@description('LESSOR_PUBLIC_KEYS: the lessors you trust, base58, comma-separated.')
@minLength(32)
param lessorPublicKeys string

@description('LEDGER_URLS: the HTTP addresses of the lessor\'s nodes, comma-separated.')
@minLength(8)
param ledgerUrls string

@description('LEDGER_STREAM_URL: the event stream, where the address that the node advertises cannot be reached. Empty: what the node advertises.')
param ledgerStreamUrl string = ''

@description('REQUESTS_CA_BUNDLE: path of the authorities to trust, where they are not the public ones. Empty: the public ones.')
param requestsCaBundle string = ''

@description('RELAY_START_FROM: beginning, tip, or a height. It means something at the first start only.')
@minLength(1)
param relayStartFrom string = 'beginning'

@description('RELAY_POLL_SECONDS: how often to look for a block while the stream is not trusted. A text, since Bicep has no fractions.')
param relayPollSeconds string = '2'

@description('RELAY_POLL_TRUSTED_SECONDS: the same while the stream announces blocks.')
param relayPollTrustedSeconds string = '10'

@description('RELAY_LANES: how many requests to the Function may be under way at once.')
@minValue(1)
@maxValue(64)
param relayLanes int = 4

@description('RELAY_BATCH_EVENTS: the most events in one request.')
@minValue(1)
@maxValue(500)
param relayBatchEvents int = 100

@description('RELAY_BATCH_BYTES: the most bytes in one request.')
@minValue(10000)
@maxValue(1000000)
param relayBatchBytes int = 1000000

@description('RELAY_LINGER_MS: how long a batch waits for events of further blocks while the relay catches up.')
@minValue(0)
@maxValue(10000)
param relayLingerMs int = 100

@description('RELAY_PREFETCH_BLOCKS: how many blocks are read ahead at once while the relay catches up.')
@minValue(1)
@maxValue(16)
param relayPrefetchBlocks int = 4

// ---- sizes

@description('How often and where the record is copied.')
@allowed([
  'Standard_LRS'
  'Standard_ZRS'
  'Standard_GRS'
  'Standard_GZRS'
])
param recordSku string = 'Standard_LRS'

@description('Locks the record\'s storage account against being deleted.')
param recordDeleteLock bool = false

@description('Logs who reads the record, too; who writes it is logged in any case.')
param recordReadLogs bool = true

@description('Size of the relay\'s one instance.')
@allowed([
  'B1'
  'B2'
  'B3'
  'S1'
  'P0v3'
  'P1v3'
  'P2v3'
])
param relayPlanSku string = 'B1'

@description('The most instances of the Function app at once.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Memory of an instance of the Function app.')
@allowed([
  512
  2048
  4096
])
param instanceMemoryMB int = 2048

@description('Requests that one instance of the Function app works on at once.')
@minValue(1)
@maxValue(1000)
param httpConcurrency int = 8

@description('Instances of the Function app that always run.')
@minValue(0)
@maxValue(20)
param alwaysReadyInstances int = 0

@description('Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Days for which a deleted Key Vault or secret can be brought back. It cannot be changed later.')
@minValue(7)
@maxValue(90)
param vaultSoftDeleteDays int = 7

// ---- people

@description('Object id in Entra of the person or group that puts the secrets into the Key Vault and may read the tables. Empty: nobody.')
param operatorPrincipalId string = ''

@description('What operatorPrincipalId names.')
@allowed([
  'User'
  'Group'
  'ServicePrincipal'
])
param operatorPrincipalType string = 'User'

@description('Where alerts are mailed to. Empty: they are only shown in the portal.')
param alertEmail string = ''

// ---- alerts

@description('relay-heartbeat-missing: a heartbeat older than this many seconds counts as none.')
@minValue(60)
param alertHeartbeatSeconds int = 180

@description('relay-lag: for how many seconds the ledger may be ahead of the record.')
@minValue(60)
param alertLagSeconds int = 900

@description('relay-lag: after how many seconds a relay that is paused is taken for forgotten.')
@minValue(3600)
param alertForgottenPauseSeconds int = 14400

@description('stream-silent: for how long the event stream may be silent or disconnected.')
@allowed([
  'PT15M'
  'PT30M'
  'PT1H'
])
param alertStreamSilentFor string = 'PT15M'

@description('cars-parked: how many cars may be parked.')
@minValue(0)
param alertParkedCars int = 0

@description('function-5xx: how many requests may fail with 5xx in fifteen minutes.')
@minValue(0)
param alertFailedRequests int = 5

@description('record-differs: how many seconds old the last audit may be.')
@minValue(86400)
@maxValue(172800)
param alertAuditAgeSeconds int = 172800

// ---- network

@description('Puts both apps behind a virtual network and closes all resources but the logs to the public. Publishing then works from inside only, see README.md.')
param usePrivateNetwork bool = false

@description('Address range of the virtual network.')
param networkAddressPrefix string = '10.60.0.0/24'

@description('Address range of the Function app\'s subnet. Flex Consumption wants a /27 at least.')
param functionsSubnetPrefix string = '10.60.0.0/26'

@description('Address range of the relay\'s subnet. App Service wants a /28 at least.')
param relaySubnetPrefix string = '10.60.0.64/26'

@description('Address range of the subnet of private endpoints.')
param endpointsSubnetPrefix string = '10.60.0.128/26'

// ---- what follows from the parameters

var allTags = union({
  product: 'leasehook'
  environment: environmentName
}, tags)

// Host names, storage accounts and vaults need names that nobody else in Azure has. The longest limits are 24 characters.
var uniqueness = take(uniqueString(resourceGroup().id, environmentName), 8)
var nameTail = '${namePrefix}-${environmentName}-${uniqueness}'
var recordAccountName = 'st${namePrefix}rec${environmentName}${uniqueness}'
var hostAccountName = 'st${namePrefix}fun${environmentName}${uniqueness}'

module identities 'modules/identities.bicep' = {
  name: 'identities'
  params: {
    functionsIdentityName: 'id-func-${nameTail}'
    relayIdentityName: 'id-relay-${nameTail}'
    location: location
    tags: allTags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    workspaceName: 'log-${nameTail}'
    applicationInsightsName: 'appi-${nameTail}'
    location: location
    tags: allTags
    retentionDays: logRetentionDays
    functionsPrincipalId: identities.outputs.functionsPrincipalId
  }
}

module recordStorage 'modules/record-storage.bicep' = {
  name: 'record-storage'
  params: {
    accountName: recordAccountName
    location: location
    tags: allTags
    sku: recordSku
    deleteLock: recordDeleteLock
    privateAccessOnly: usePrivateNetwork
    logReads: recordReadLogs
    workspaceId: monitoring.outputs.workspaceId
    functionsPrincipalId: identities.outputs.functionsPrincipalId
    relayPrincipalId: identities.outputs.relayPrincipalId
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
  }
}

module hostStorage 'modules/host-storage.bicep' = {
  name: 'host-storage'
  params: {
    accountName: hostAccountName
    location: location
    tags: allTags
    privateAccessOnly: usePrivateNetwork
    workspaceId: monitoring.outputs.workspaceId
    functionsPrincipalId: identities.outputs.functionsPrincipalId
  }
}

module secrets 'modules/secrets.bicep' = {
  name: 'secrets'
  params: {
    vaultName: 'kv-${nameTail}'
    location: location
    tags: allTags
    softDeleteDays: vaultSoftDeleteDays
    privateAccessOnly: usePrivateNetwork
    workspaceId: monitoring.outputs.workspaceId
    functionsPrincipalId: identities.outputs.functionsPrincipalId
    relayPrincipalId: identities.outputs.relayPrincipalId
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
  }
}

// ---- the private network: first what the apps lean on, then the apps, then the way to the apps
//      A parameter of a module is evaluated even where the module's condition is false, and the output of a deployment that
//      was not made is an error (DeploymentNotFound): hence the condition once more in each of them.

module network 'modules/network.bicep' = if (usePrivateNetwork) {
  name: 'network'
  params: {
    networkName: 'vnet-${nameTail}'
    location: location
    tags: allTags
    addressPrefix: networkAddressPrefix
    functionsSubnetPrefix: functionsSubnetPrefix
    relaySubnetPrefix: relaySubnetPrefix
    endpointsSubnetPrefix: endpointsSubnetPrefix
  }
}

module recordEndpoint 'modules/private-endpoint.bicep' = if (usePrivateNetwork) {
  name: 'record-endpoint'
  params: {
    endpointName: 'pep-record-${nameTail}'
    location: location
    tags: allTags
    targetId: recordStorage.outputs.accountId
    groupId: 'table'
    subnetId: usePrivateNetwork ? network!.outputs.endpointsSubnetId : ''
    zoneId: usePrivateNetwork ? network!.outputs.tableZoneId : ''
  }
}

module hostEndpoint 'modules/private-endpoint.bicep' = if (usePrivateNetwork) {
  name: 'host-endpoint'
  params: {
    endpointName: 'pep-host-${nameTail}'
    location: location
    tags: allTags
    targetId: hostStorage.outputs.accountId
    groupId: 'blob'
    subnetId: usePrivateNetwork ? network!.outputs.endpointsSubnetId : ''
    zoneId: usePrivateNetwork ? network!.outputs.blobZoneId : ''
  }
}

module vaultEndpoint 'modules/private-endpoint.bicep' = if (usePrivateNetwork) {
  name: 'vault-endpoint'
  params: {
    endpointName: 'pep-vault-${nameTail}'
    location: location
    tags: allTags
    targetId: secrets.outputs.vaultId
    groupId: 'vault'
    subnetId: usePrivateNetwork ? network!.outputs.endpointsSubnetId : ''
    zoneId: usePrivateNetwork ? network!.outputs.vaultZoneId : ''
  }
}

// ---- the apps

module functions 'modules/functions.bicep' = {
  name: 'functions'
  params: {
    planName: 'plan-func-${nameTail}'
    functionAppName: 'func-${nameTail}'
    location: location
    tags: allTags
    identityId: identities.outputs.functionsIdentityId
    identityClientId: identities.outputs.functionsClientId
    hostAccountName: hostStorage.outputs.accountName
    deploymentContainerUrl: hostStorage.outputs.deploymentContainerUrl
    keyVaultName: secrets.outputs.vaultName
    tablesEndpoint: recordStorage.outputs.tablesEndpoint
    applicationInsightsName: monitoring.outputs.applicationInsightsName
    workspaceId: monitoring.outputs.workspaceId
    ledgerName: ledgerName
    lessorPublicKeys: lessorPublicKeys
    maximumInstanceCount: maximumInstanceCount
    instanceMemoryMB: instanceMemoryMB
    httpConcurrency: httpConcurrency
    alwaysReadyInstances: alwaysReadyInstances
    privateAccessOnly: usePrivateNetwork
    subnetId: usePrivateNetwork ? network!.outputs.functionsSubnetId : ''
  }
  dependsOn: [
    recordEndpoint
    hostEndpoint
    vaultEndpoint
  ]
}

module relay 'modules/relay.bicep' = {
  name: 'relay'
  params: {
    planName: 'plan-relay-${nameTail}'
    webAppName: 'app-relay-${nameTail}'
    location: location
    tags: allTags
    planSku: relayPlanSku
    identityId: identities.outputs.relayIdentityId
    identityClientId: identities.outputs.relayClientId
    keyVaultName: secrets.outputs.vaultName
    tablesEndpoint: recordStorage.outputs.tablesEndpoint
    workspaceId: monitoring.outputs.workspaceId
    functionUrl: functions.outputs.functionUrl
    ledgerName: ledgerName
    lessorPublicKeys: lessorPublicKeys
    ledgerUrls: ledgerUrls
    ledgerStreamUrl: ledgerStreamUrl
    requestsCaBundle: requestsCaBundle
    relayStartFrom: relayStartFrom
    relayPollSeconds: relayPollSeconds
    relayPollTrustedSeconds: relayPollTrustedSeconds
    relayLanes: relayLanes
    relayBatchEvents: relayBatchEvents
    relayBatchBytes: relayBatchBytes
    relayLingerMs: relayLingerMs
    relayPrefetchBlocks: relayPrefetchBlocks
    privateAccessOnly: usePrivateNetwork
    subnetId: usePrivateNetwork ? network!.outputs.relaySubnetId : ''
  }
  dependsOn: [
    recordEndpoint
    vaultEndpoint
  ]
}

module functionsEndpoint 'modules/private-endpoint.bicep' = if (usePrivateNetwork) {
  name: 'functions-endpoint'
  params: {
    endpointName: 'pep-func-${nameTail}'
    location: location
    tags: allTags
    targetId: functions.outputs.functionAppId
    groupId: 'sites'
    subnetId: usePrivateNetwork ? network!.outputs.endpointsSubnetId : ''
    zoneId: usePrivateNetwork ? network!.outputs.sitesZoneId : ''
  }
}

module relayEndpoint 'modules/private-endpoint.bicep' = if (usePrivateNetwork) {
  name: 'relay-endpoint'
  params: {
    endpointName: 'pep-relay-${nameTail}'
    location: location
    tags: allTags
    targetId: relay.outputs.webAppId
    groupId: 'sites'
    subnetId: usePrivateNetwork ? network!.outputs.endpointsSubnetId : ''
    zoneId: usePrivateNetwork ? network!.outputs.sitesZoneId : ''
  }
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  params: {
    location: location
    tags: allTags
    actionGroupName: 'ag-${nameTail}'
    alertEmail: alertEmail
    workspaceId: monitoring.outputs.workspaceId
    heartbeatSeconds: alertHeartbeatSeconds
    lagSeconds: alertLagSeconds
    forgottenPauseSeconds: alertForgottenPauseSeconds
    streamSilentFor: alertStreamSilentFor
    parkedCars: alertParkedCars
    failedRequests: alertFailedRequests
    auditAgeSeconds: alertAuditAgeSeconds
  }
}

// ---- what docs/deploy.md goes on with; no secret among it

@description('Name of the Function app: where dist/functions.zip is published to.')
output functionAppName string = functions.outputs.functionAppName

@description('Where the relay sends events.')
output functionUrl string = functions.outputs.functionUrl

@description('Name of the relay\'s web app: where dist/webjobs.zip is published to.')
output webAppName string = relay.outputs.webAppName

@description('Name of the Key Vault: where function-key and webhook-secrets are put.')
output keyVaultName string = secrets.outputs.vaultName

@description('Name of the record\'s storage account.')
output recordAccountName string = recordStorage.outputs.accountName

@description('Table endpoint of the record\'s storage account.')
output tablesEndpoint string = recordStorage.outputs.tablesEndpoint

@description('Name of the storage account of the Functions host.')
output hostAccountName string = hostStorage.outputs.accountName

@description('Name of the Application Insights component.')
output applicationInsightsName string = monitoring.outputs.applicationInsightsName

@description('Name of the Log Analytics workspace.')
output workspaceName string = monitoring.outputs.workspaceName

@description('Workspace id as `az monitor log-analytics query --workspace` wants it.')
output workspaceCustomerId string = monitoring.outputs.workspaceCustomerId

@description('The address that the lessor\'s nodes see, with the private network; otherwise empty.')
output outboundAddress string = usePrivateNetwork ? network!.outputs.outboundAddress : ''
