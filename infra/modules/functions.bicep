metadata description = 'The Function app that keeps the record, on Flex Consumption. It knows nothing of the relay but that somebody has a key.'

@description('Name of the Flex Consumption plan.')
param planName string

@description('Name of the Function app: its host name, so that nobody else in Azure may have it.')
@minLength(2)
@maxLength(32)
param functionAppName string

@description('Azure region. It must offer Flex Consumption: `az functionapp list-flexconsumption-locations`.')
param location string

@description('Tags of each resource.')
param tags object

@description('Resource id of the app\'s identity.')
param identityId string

@description('Client id of the app\'s identity.')
param identityClientId string

@description('Name of the storage account of the Functions host.')
param hostAccountName string

@description('URL of the container that the package is put into.')
param deploymentContainerUrl string

@description('Name of the Key Vault that holds the secret `webhook-secrets`.')
param keyVaultName string

@description('Table endpoint of the record account.')
param tablesEndpoint string

@description('Name of the Application Insights component.')
param applicationInsightsName string

@description('Resource id of the Log Analytics workspace.')
param workspaceId string

@description('LEDGER_NAME, see docs/settings.md.')
param ledgerName string

@description('LESSOR_PUBLIC_KEYS, see docs/settings.md.')
param lessorPublicKeys string

@description('The most instances at once.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int

@description('Memory of an instance; processor time comes with it.')
@allowed([
  512
  2048
  4096
])
param instanceMemoryMB int

@description('Requests that one instance works on at once before another is started.')
@minValue(1)
@maxValue(1000)
param httpConcurrency int

@description('Instances for HTTP that always run, so that no request meets a cold start.')
@minValue(0)
@maxValue(20)
param alwaysReadyInstances int

@description('Closes the app and its publishing site to all but private endpoints.')
param privateAccessOnly bool

@description('Resource id of the subnet that outgoing traffic takes. Empty: no virtual network.')
param subnetId string

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  //checkov:skip=CKV_AZURE_225:while the app is away nothing is lost: the relay keeps its place and sends again; zones would need more instances that always run
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource functionApp 'Microsoft.Web/sites@2024-11-01' = {
  //checkov:skip=CKV_AZURE_222:parameter usePrivateNetwork of main.bicep closes it; each route needs a function key, and the relay's a signature too
  //checkov:skip=CKV_AZURE_17:callers prove themselves by a function key and, on the relay's route, a signature over the body
  //checkov:skip=CKV_AZURE_212:Flex Consumption starts instances as requests come; the setting is of other plans
  //checkov:skip=CKV_AZURE_213:Flex Consumption replaces a sick instance by itself; GET /api/health is for people and needs a function key
  name: functionAppName
  location: location
  tags: tags
  kind: 'functionapp,linux'
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
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: deploymentContainerUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: '3.13'
      }
      scaleAndConcurrency: {
        maximumInstanceCount: maximumInstanceCount
        instanceMemoryMB: instanceMemoryMB
        alwaysReady: alwaysReadyInstances == 0 ? [] : [
          {
            name: 'http'
            instanceCount: alwaysReadyInstances
          }
        ]
        triggers: {
          http: {
            perInstanceConcurrency: httpConcurrency
          }
        }
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      remoteDebuggingEnabled: false
      // Every setting of docs/settings.md that the app reads, then what the platform needs to act as the app's identity.
      appSettings: [
        { name: 'LEDGER_NAME', value: ledgerName }
        { name: 'LESSOR_PUBLIC_KEYS', value: lessorPublicKeys }
        { name: 'TABLES_ENDPOINT', value: tablesEndpoint }
        { name: 'WEBHOOK_SECRETS', value: '@Microsoft.KeyVault(VaultName=${keyVaultName};SecretName=webhook-secrets)' }
        { name: 'AZURE_CLIENT_ID', value: identityClientId }
        { name: 'AZURE_TOKEN_CREDENTIALS', value: 'ManagedIdentityCredential' }
        { name: 'AzureWebJobsDisableHomepage', value: 'true' }
        { name: 'AzureWebJobsStorage__accountName', value: hostAccountName }
        { name: 'AzureWebJobsStorage__credential', value: 'managedidentity' }
        { name: 'AzureWebJobsStorage__clientId', value: identityClientId }
        { name: 'APPLICATIONINSIGHTS_CONNECTION_STRING', value: applicationInsights.properties.ConnectionString }
        { name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING', value: 'ClientId=${identityClientId};Authorization=AAD' }
      ]
    }
  }
}

// Publishing needs a token of Entra: no user name and password.
resource noFtpPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: functionApp
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource noPublishingPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: functionApp
  name: 'scm'
  properties: {
    allow: false
  }
}

// What the host says itself: also when the app does not start, and so sends no telemetry.
resource appLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: functionApp
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'FunctionAppLogs'
        enabled: true
      }
    ]
  }
}

@description('Resource id of the Function app.')
output functionAppId string = functionApp.id

@description('Name of the Function app.')
output functionAppName string = functionApp.name

@description('Where the relay sends events: what FUNCTION_URL names.')
output functionUrl string = 'https://${functionApp.properties.defaultHostName}/api/ledger-events'
