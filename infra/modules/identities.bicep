metadata description = 'The two identities that the apps act as. What each may do stands in the module of the resource that it may use.'

@description('Name of the identity of the Function app.')
param functionsIdentityName string

@description('Name of the identity of the relay\'s web app.')
param relayIdentityName string

@description('Azure region.')
param location string

@description('Tags of each resource.')
param tags object

resource functionsIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: functionsIdentityName
  location: location
  tags: tags
}

resource relayIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: relayIdentityName
  location: location
  tags: tags
}

@description('Resource id of the Function app\'s identity.')
output functionsIdentityId string = functionsIdentity.id

@description('Client id of the Function app\'s identity: what AZURE_CLIENT_ID names.')
output functionsClientId string = functionsIdentity.properties.clientId

@description('Object id of the Function app\'s identity: what roles are assigned to.')
output functionsPrincipalId string = functionsIdentity.properties.principalId

@description('Resource id of the relay\'s identity.')
output relayIdentityId string = relayIdentity.id

@description('Client id of the relay\'s identity: what AZURE_CLIENT_ID names.')
output relayClientId string = relayIdentity.properties.clientId

@description('Object id of the relay\'s identity: what roles are assigned to.')
output relayPrincipalId string = relayIdentity.properties.principalId
