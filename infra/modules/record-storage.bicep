metadata description = 'The storage account of the record: tables Drivers, Cars and Relay, who may use them, and the log of who did.'

@description('Name of the storage account.')
@minLength(3)
@maxLength(24)
param accountName string

@description('Azure region.')
param location string

@description('Tags of each resource.')
param tags object

@description('How often and where the account is copied. What the insurer enters (claims, names) stands nowhere else, so production should outlive a zone, better a region.')
@allowed([
  'Standard_LRS'
  'Standard_ZRS'
  'Standard_GRS'
  'Standard_GZRS'
])
param sku string

@description('Puts a lock on the account, so that nobody deletes it by mistake. The lock does not keep rows or tables from being deleted by those who may write them.')
param deleteLock bool

@description('Closes the account to all but private endpoints.')
param privateAccessOnly bool

@description('Logs each read of the tables, too: who has looked at a driver. Writes and deletions are logged in any case.')
param logReads bool

@description('Resource id of the Log Analytics workspace.')
param workspaceId string

@description('Object id of the Function app\'s identity, which writes the record.')
param functionsPrincipalId string

@description('Object id of the relay\'s identity, which keeps its checkpoint in table Relay and audits the record.')
param relayPrincipalId string

@description('Object id in Entra of who may read the tables as a person. Empty: nobody.')
param operatorPrincipalId string

@description('What `operatorPrincipalId` names.')
@allowed([
  'User'
  'Group'
  'ServicePrincipal'
])
param operatorPrincipalType string

var tableDataContributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3') // Storage Table Data Contributor
var tableDataReader = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '76199698-9eea-4c19-bc75-cec21354c6b6') // Storage Table Data Reader

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  //checkov:skip=CKV_AZURE_35:parameter usePrivateNetwork of main.bicep closes it; without a virtual network the apps come from addresses that no rule can name, and every call needs a token of Entra
  //checkov:skip=CKV_AZURE_206:the replication is parameter recordSku; prod.bicepparam takes a geo- and zone-redundant one
  //checkov:skip=CKV_AZURE_43:the name is a parameter, which main.bicep puts together from at most 24 of a-z and 0-9
  name: accountName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: sku
  }
  properties: {
    accessTier: 'Hot'
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    publicNetworkAccess: privateAccessOnly ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: privateAccessOnly ? 'Deny' : 'Allow'
    }
  }
}

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2025-01-01' = {
  parent: account
  name: 'default'
}

resource driversTable 'Microsoft.Storage/storageAccounts/tableServices/tables@2025-01-01' = {
  parent: tableService
  name: 'Drivers'
}

resource carsTable 'Microsoft.Storage/storageAccounts/tableServices/tables@2025-01-01' = {
  parent: tableService
  name: 'Cars'
}

resource relayTable 'Microsoft.Storage/storageAccounts/tableServices/tables@2025-01-01' = {
  parent: tableService
  name: 'Relay'
}

resource lock 'Microsoft.Authorization/locks@2020-05-01' = if (deleteLock) {
  name: 'keep-the-record'
  scope: account
  properties: {
    level: 'CanNotDelete'
    notes: 'The insurer\'s record. Remove this lock only to delete it for good.'
  }
}

resource functionsWriteTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, functionsPrincipalId, tableDataContributor)
  scope: account
  properties: {
    principalId: functionsPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: tableDataContributor
  }
}

resource relayWritesTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, relayPrincipalId, tableDataContributor)
  scope: account
  properties: {
    principalId: relayPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: tableDataContributor
  }
}

resource operatorReadsTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  name: guid(account.id, operatorPrincipalId, tableDataReader)
  scope: account
  properties: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: tableDataReader
  }
}

resource tableLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: tableService
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'StorageRead'
        enabled: logReads
      }
      {
        category: 'StorageWrite'
        enabled: true
      }
      {
        category: 'StorageDelete'
        enabled: true
      }
    ]
  }
}

@description('Resource id of the account.')
output accountId string = account.id

@description('Name of the account.')
output accountName string = account.name

@description('Table endpoint without a slash at its end: what TABLES_ENDPOINT names.')
output tablesEndpoint string = 'https://${account.name}.table.${environment().suffixes.storage}'
