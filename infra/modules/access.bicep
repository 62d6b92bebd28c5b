// What the app may do in one resource group: six roles, which exist in this group alone, on the instances, apps, secrets,
// stores, container apps and static web apps that were named, and on nothing else. `tests/infra.rs` compares the actions with
// those that the code needs.

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

@description('The resource ids of container apps and of jobs of Container Apps, and of the environments that they are in; those in other groups are left alone.')
param containerApps string[]

@description('The resource ids of static web apps; those in other groups are left alone.')
param staticWebApps string[]

@description('The resource ids of App Configuration stores; those in other groups are left alone.')
param appConfigurationStores string[]

@description('Whether the app may read who wrote to the apps, container apps and static web apps (name_writers).')
param nameWriters bool

@description('Whether the app may tag the instances (tags).')
param tagInstances bool

// Azure shows of its activity log what may be read on the resource that an entry is of.
var naming = nameWriters ? ['Microsoft.Insights/eventtypes/values/read'] : []

var tagging = tagInstances ? ['Microsoft.Resources/tags/write'] : []

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

// Of what type of Microsoft.App an id is.
func isOf(id string, type string) bool => toLower(split(id, '/')[7]) == toLower(type)

var ofContainerApps = filter(containerApps, id => startsWith(toLower(id), here))
var containerAppNames = map(filter(ofContainerApps, id => isOf(id, 'containerApps')), id => last(split(id, '/')))
var jobNames = map(filter(ofContainerApps, id => isOf(id, 'jobs')), id => last(split(id, '/')))
var environmentNames = map(filter(ofContainerApps, id => isOf(id, 'managedEnvironments')), id => last(split(id, '/')))
var staticWebAppNames = map(filter(staticWebApps, id => startsWith(toLower(id), here)), id => last(split(id, '/')))
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
        actions: concat([
          'Microsoft.SignalRService/SignalR/listkeys/action'
          'Microsoft.SignalRService/SignalR/regeneratekey/action'
          'Microsoft.SignalRService/SignalR/operationStatuses/read'
          'Microsoft.SignalRService/SignalR/operationResults/read'
          'Microsoft.Authorization/permissions/read'
        ], tagging)
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
        actions: concat([
          'Microsoft.Web/sites/config/list/Action'
          'Microsoft.Web/sites/config/Read'
          'Microsoft.Web/sites/config/Write'
          'Microsoft.Web/sites/slots/config/list/Action'
          'Microsoft.Web/sites/slots/config/Read'
          'Microsoft.Web/sites/slots/config/Write'
          'Microsoft.Authorization/permissions/read'
        ], naming)
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

// Whoever may write a container app, or list its secrets, controls it: it is assigned to each by itself. On an environment
// nothing of it counts but that apps may be in it, which every write of one asks for.
resource repointContainerApps 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, name, 'repoint container apps')
  properties: {
    roleName: '${name} repoints the container apps in ${resourceGroup().name} ${uniqueString(resourceGroup().id)}'
    description: 'List and write the secrets of a container app or job, restart its revisions, and read who runs.'
    type: 'CustomRole'
    assignableScopes: [
      resourceGroup().id
    ]
    permissions: [
      {
        actions: concat([
          'Microsoft.App/containerApps/read'
          'Microsoft.App/containerApps/write'
          'Microsoft.App/containerApps/listSecrets/action'
          'Microsoft.App/containerApps/revisions/read'
          'Microsoft.App/containerApps/revisions/restart/action'
          'Microsoft.App/containerApps/revisions/replicas/read'
          'Microsoft.App/jobs/read'
          'Microsoft.App/jobs/write'
          'Microsoft.App/jobs/listSecrets/action'
          'Microsoft.App/jobs/executions/read'
          'Microsoft.App/managedEnvironments/join/action'
          'Microsoft.Authorization/permissions/read'
        ], naming)
      }
    ]
  }
}

// Whoever may list and write the settings of a static web app controls its functions: it is assigned to each by itself.
resource repointStaticWebApps 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, name, 'repoint static web apps')
  properties: {
    roleName: '${name} repoints the static web apps in ${resourceGroup().name} ${uniqueString(resourceGroup().id)}'
    description: 'List the environments of a static web app, and list and write the settings of each.'
    type: 'CustomRole'
    assignableScopes: [
      resourceGroup().id
    ]
    permissions: [
      {
        actions: concat([
          'Microsoft.Web/staticSites/builds/read'
          'Microsoft.Web/staticSites/listappsettings/action'
          'Microsoft.Web/staticSites/listfunctionappsettings/action'
          'Microsoft.Web/staticSites/builds/listappsettings/action'
          'Microsoft.Web/staticSites/builds/listfunctionappsettings/action'
          'Microsoft.Web/staticSites/config/write'
          'Microsoft.Web/staticSites/builds/config/write'
          'Microsoft.Authorization/permissions/read'
        ], naming)
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

resource containerApp 'Microsoft.App/containerApps@2025-01-01' existing = [for item in containerAppNames: {
  name: item
}]

resource job 'Microsoft.App/jobs@2025-01-01' existing = [for item in jobNames: {
  name: item
}]

resource environment 'Microsoft.App/managedEnvironments@2025-01-01' existing = [for item in environmentNames: {
  name: item
}]

resource staticWebApp 'Microsoft.Web/staticSites@2025-03-01' existing = [for item in staticWebAppNames: {
  name: item
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

resource onContainerApps 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (item, index) in containerAppNames: {
  name: guid(containerApp[index].id, identityId, repointContainerApps.id)
  scope: containerApp[index]
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: repointContainerApps.id
  }
}]

resource onJobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (item, index) in jobNames: {
  name: guid(job[index].id, identityId, repointContainerApps.id)
  scope: job[index]
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: repointContainerApps.id
  }
}]

resource onEnvironments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (item, index) in environmentNames: {
  name: guid(environment[index].id, identityId, repointContainerApps.id)
  scope: environment[index]
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: repointContainerApps.id
  }
}]

resource onStaticWebApps 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (item, index) in staticWebAppNames: {
  name: guid(staticWebApp[index].id, identityId, repointStaticWebApps.id)
  scope: staticWebApp[index]
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: repointStaticWebApps.id
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
