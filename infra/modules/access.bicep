// What the app may do in one resource group: four roles, which exist in this group alone, on the instances, apps,
// secrets and stores that were named, and on nothing else. `tests/infra.rs` compares the actions with those that the code needs.

@description('What tells this app from another in the names of its roles, which are unique in the tenant.')
param name string

@description('The resource id of the identity of the function app.')
param identityId string

@description('Its principal.')
param principalId string

@description('The resource ids of instances; those in other groups are left alone.')
param instances string[]

@description('The resource ids of apps and slots; those in other groups are left alone.')
param apps string[]

@description('The resource ids of Key Vault secrets; those in other groups are left alone.')
param vaultSecrets string[]

@description('The resource ids of App Configuration stores; those in other groups are left alone.')
param appConfigurationStores string[]

// Ids compare without regard to case. Behind .../providers/Microsoft.Web/sites/ stands the app, or app/slots/slot.
var here = toLower('${resourceGroup().id}/')
var instanceNames = map(filter(instances, id => startsWith(toLower(id), here)), id => last(split(id, '/')))
var appNames = map(filter(apps, id => startsWith(toLower(id), here)), id => join(skip(split(id, '/'), 8), '/'))
var siteNames = filter(appNames, app => !contains(app, '/'))
var slotNames = map(filter(appNames, app => contains(app, '/')), app => replace(toLower(app), '/slots/', '/'))

var secrets = map(filter(vaultSecrets, id => startsWith(toLower(id), here)), id => {
  vault: split(id, '/')[8]
  name: last(split(id, '/'))
})

var storeNames = map(filter(appConfigurationStores, id => startsWith(toLower(id), here)), id => last(split(id, '/')))

resource rotateKeys 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, name, 'rotate keys')
  properties: {
    roleName: '${name} rotates the keys of SignalR in ${resourceGroup().name} ${uniqueString(resourceGroup().id)}'
    description: 'List and regenerate the access keys of an instance, and follow the regeneration.'
    type: 'CustomRole'
    assignableScopes: [
      resourceGroup().id
    ]
    permissions: [
      {
        actions: [
          'Microsoft.SignalRService/SignalR/listkeys/action'
          'Microsoft.SignalRService/SignalR/regeneratekey/action'
          'Microsoft.SignalRService/SignalR/operationStatuses/read'
          'Microsoft.SignalRService/SignalR/operationResults/read'
          'Microsoft.Authorization/permissions/read'
        ]
      }
    ]
  }
}

// Whoever may list and write the settings of an app controls the app: that is why it is assigned to each app by itself.
resource repointApps 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, name, 'repoint apps')
  properties: {
    roleName: '${name} repoints the apps in ${resourceGroup().name} ${uniqueString(resourceGroup().id)}'
    description: 'List and write the app settings and connection strings of an app and its slots, and read what its references lead to.'
    type: 'CustomRole'
    assignableScopes: [
      resourceGroup().id
    ]
    permissions: [
      {
        actions: [
          'Microsoft.Web/sites/config/list/Action'
          'Microsoft.Web/sites/config/Read'
          'Microsoft.Web/sites/config/Write'
          'Microsoft.Web/sites/slots/config/list/Action'
          'Microsoft.Web/sites/slots/config/Read'
          'Microsoft.Web/sites/slots/config/Write'
          'Microsoft.Authorization/permissions/read'
        ]
      }
    ]
  }
}

// Whoever may set a secret decides what its readers connect to: it is assigned to each secret by itself.
resource writeSecrets 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, name, 'write secrets')
  properties: {
    roleName: '${name} writes secrets in ${resourceGroup().name} ${uniqueString(resourceGroup().id)}'
    description: 'Read a secret and make new versions of it.'
    type: 'CustomRole'
    assignableScopes: [
      resourceGroup().id
    ]
    permissions: [
      {
        dataActions: [
          'Microsoft.KeyVault/vaults/secrets/getSecret/action'
          'Microsoft.KeyVault/vaults/secrets/setSecret/action'
          'Microsoft.KeyVault/vaults/secrets/readMetadata/action'
        ]
      }
    ]
  }
}

// Whoever may write key-values decides what all apps that read the store are configured with. There is no smaller scope.
resource writeKeyValues 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, name, 'write key-values')
  properties: {
    roleName: '${name} writes key-values in ${resourceGroup().name} ${uniqueString(resourceGroup().id)}'
    description: 'Read and write the key-values of an App Configuration store.'
    type: 'CustomRole'
    assignableScopes: [
      resourceGroup().id
    ]
    permissions: [
      {
        dataActions: [
          'Microsoft.AppConfiguration/configurationStores/keyValues/read'
          'Microsoft.AppConfiguration/configurationStores/keyValues/write'
        ]
      }
    ]
  }
}

resource instance 'Microsoft.SignalRService/signalR@2024-03-01' existing = [for item in instanceNames: {
  name: item
}]

resource site 'Microsoft.Web/sites@2025-03-01' existing = [for item in siteNames: {
  name: item
}]

resource slot 'Microsoft.Web/sites/slots@2025-03-01' existing = [for item in slotNames: {
  name: item
}]

resource secret 'Microsoft.KeyVault/vaults/secrets@2025-05-01' existing = [for item in secrets: {
  name: '${item.vault}/${item.name}'
}]

resource store 'Microsoft.AppConfiguration/configurationStores@2024-06-01' existing = [for item in storeNames: {
  name: item
}]

resource onInstances 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (item, index) in instanceNames: {
  name: guid(instance[index].id, identityId, rotateKeys.id)
  scope: instance[index]
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: rotateKeys.id
  }
}]

resource onSites 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (item, index) in siteNames: {
  name: guid(site[index].id, identityId, repointApps.id)
  scope: site[index]
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: repointApps.id
  }
}]

resource onSlots 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (item, index) in slotNames: {
  name: guid(slot[index].id, identityId, repointApps.id)
  scope: slot[index]
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: repointApps.id
  }
}]

resource onSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (item, index) in secrets: {
  name: guid(secret[index].id, identityId, writeSecrets.id)
  scope: secret[index]
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: writeSecrets.id
  }
}]

resource onStores 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (item, index) in storeNames: {
  name: guid(store[index].id, identityId, writeKeyValues.id)
  scope: store[index]
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: writeKeyValues.id
  }
}]
