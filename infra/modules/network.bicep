metadata description = 'The optional virtual network: a subnet for each app, one for private endpoints, a fixed address for what goes out, and the private DNS zones.'

@description('Name of the virtual network; the names of the rest follow from it.')
param networkName string

@description('Azure region.')
param location string

@description('Tags of each resource.')
param tags object

@description('Address range of the network.')
param addressPrefix string

@description('Address range of the Function app\'s subnet, within the network\'s. Nothing else may be in it.')
param functionsSubnetPrefix string

@description('Address range of the relay\'s subnet, within the network\'s. Nothing else may be in it.')
param relaySubnetPrefix string

@description('Address range of the subnet of private endpoints, within the network\'s.')
param endpointsSubnetPrefix string

// Outgoing traffic of both apps takes this address: the lessor's nodes may let in it alone.
resource outboundAddress 'Microsoft.Network/publicIPAddresses@2024-07-01' = {
  name: '${networkName}-out-ip'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
    tier: 'Regional'
  }
  properties: {
    publicIPAllocationMethod: 'Static'
    publicIPAddressVersion: 'IPv4'
  }
}

resource natGateway 'Microsoft.Network/natGateways@2024-07-01' = {
  name: '${networkName}-nat'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    idleTimeoutInMinutes: 10
    publicIpAddresses: [
      {
        id: outboundAddress.id
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2024-07-01' = {
  name: networkName
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        addressPrefix
      ]
    }
    subnets: [
      {
        name: 'functions'
        properties: {
          addressPrefix: functionsSubnetPrefix
          defaultOutboundAccess: false
          natGateway: {
            id: natGateway.id
          }
          delegations: [
            {
              name: 'flex-consumption'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'relay'
        properties: {
          addressPrefix: relaySubnetPrefix
          defaultOutboundAccess: false
          natGateway: {
            id: natGateway.id
          }
          delegations: [
            {
              name: 'app-service'
              properties: {
                serviceName: 'Microsoft.Web/serverFarms'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: endpointsSubnetPrefix
          defaultOutboundAccess: false
          privateEndpointNetworkPolicies: 'Disabled'
        }
      }
    ]
  }
}

resource functionsSubnet 'Microsoft.Network/virtualNetworks/subnets@2024-07-01' existing = {
  parent: network
  name: 'functions'
}

resource relaySubnet 'Microsoft.Network/virtualNetworks/subnets@2024-07-01' existing = {
  parent: network
  name: 'relay'
}

resource endpointsSubnet 'Microsoft.Network/virtualNetworks/subnets@2024-07-01' existing = {
  parent: network
  name: 'endpoints'
}

resource tableZone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: 'privatelink.table.${environment().suffixes.storage}'
  location: 'global'
  tags: tags
}

resource tableZoneLink 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: tableZone
  name: networkName
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}

resource blobZone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: 'privatelink.blob.${environment().suffixes.storage}'
  location: 'global'
  tags: tags
}

resource blobZoneLink 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: blobZone
  name: networkName
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}

resource vaultZone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: 'privatelink.vaultcore.azure.net'
  location: 'global'
  tags: tags
}

resource vaultZoneLink 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: vaultZone
  name: networkName
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}

resource sitesZone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: 'privatelink.azurewebsites.net'
  location: 'global'
  tags: tags
}

resource sitesZoneLink 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: sitesZone
  name: networkName
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}

@description('Subnet that the Function app sends its traffic through.')
output functionsSubnetId string = functionsSubnet.id

@description('Subnet that the relay sends its traffic through.')
output relaySubnetId string = relaySubnet.id

@description('Subnet of the private endpoints.')
output endpointsSubnetId string = endpointsSubnet.id

@description('Private DNS zone of table endpoints.')
output tableZoneId string = tableZone.id

@description('Private DNS zone of blob endpoints.')
output blobZoneId string = blobZone.id

@description('Private DNS zone of Key Vault.')
output vaultZoneId string = vaultZone.id

@description('Private DNS zone of Function and web apps, their publishing sites included.')
output sitesZoneId string = sitesZone.id

@description('The address that the lessor\'s nodes see.')
output outboundAddress string = outboundAddress.properties.ipAddress
