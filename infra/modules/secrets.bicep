metadata description = 'The Key Vault of the function key and the signing secrets. It is made empty: a person puts the secrets in, so that no template ever holds one.'

@description('Name of the vault.')
@minLength(3)
@maxLength(24)
param vaultName string

@description('Azure region.')
param location string

@description('Tags of each resource.')
param tags object

@description('Days for which a deleted vault or secret can be brought back, and its name cannot be used again.')
@minValue(7)
@maxValue(90)
param softDeleteDays int

@description('Closes the vault to all but private endpoints.')
param privateAccessOnly bool

@description('Resource id of the Log Analytics workspace.')
param workspaceId string

@description('Object id of the Function app\'s identity.')
param functionsPrincipalId string

@description('Object id of the relay\'s identity.')
param relayPrincipalId string

@description('Object id in Entra of who puts the secrets in. Empty: nobody gets that role from here.')
param operatorPrincipalId string

@description('What `operatorPrincipalId` names.')
@allowed([
  'User'
  'Group'
  'ServicePrincipal'
])
param operatorPrincipalType string

var secretsUser = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6') // Key Vault Secrets User
var secretsOfficer = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7') // Key Vault Secrets Officer

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  //checkov:skip=CKV_AZURE_189:parameter usePrivateNetwork of main.bicep closes it; the check itself fails on a value that depends on a condition
  //checkov:skip=CKV_AZURE_109:parameter usePrivateNetwork of main.bicep closes it; without a virtual network the apps come from addresses that no rule can name, and every call needs a token of Entra
  name: vaultName
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: softDeleteDays
    enablePurgeProtection: true
    enabledForDeployment: false
    enabledForDiskEncryption: false
    enabledForTemplateDeployment: false
    publicNetworkAccess: privateAccessOnly ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: privateAccessOnly ? 'Deny' : 'Allow'
    }
  }
}

resource functionsReadSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, functionsPrincipalId, secretsUser)
  scope: vault
  properties: {
    principalId: functionsPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: secretsUser
  }
}

resource relayReadsSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, relayPrincipalId, secretsUser)
  scope: vault
  properties: {
    principalId: relayPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: secretsUser
  }
}

resource operatorPutsSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  name: guid(vault.id, operatorPrincipalId, secretsOfficer)
  scope: vault
  properties: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: secretsOfficer
  }
}

resource vaultLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: vault
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'AuditEvent'
        enabled: true
      }
    ]
  }
}

@description('Resource id of the vault.')
output vaultId string = vault.id

@description('Name of the vault.')
output vaultName string = vault.name
