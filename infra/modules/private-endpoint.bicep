metadata description = 'One private endpoint of any resource, with its name in a private DNS zone.'

@description('Name of the endpoint.')
param endpointName string

@description('Azure region.')
param location string

@description('Tags of each resource.')
param tags object

@description('Resource id of what the endpoint leads to.')
param targetId string

@description('Which part of the target: its sub-resource.')
@allowed([
  'blob'
  'sites'
  'table'
  'vault'
])
param groupId string

@description('Resource id of the subnet of private endpoints.')
param subnetId string

@description('Resource id of the private DNS zone that gets the name.')
param zoneId string

resource endpoint 'Microsoft.Network/privateEndpoints@2024-07-01' = {
  name: endpointName
  location: location
  tags: tags
  properties: {
    subnet: {
      id: subnetId
    }
    privateLinkServiceConnections: [
      {
        name: groupId
        properties: {
          privateLinkServiceId: targetId
          groupIds: [
            groupId
          ]
        }
      }
    ]
  }
}

resource zoneGroup 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-07-01' = {
  parent: endpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: groupId
        properties: {
          privateDnsZoneId: zoneId
        }
      }
    ]
  }
}
