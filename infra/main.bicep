// Everything that signalr-rekey runs on, and the least that it must be allowed. README.md beside this file tells what
// comes of it, in which order to go about it and what it costs.

targetScope = 'resourceGroup'

@description('The beginning of every name: letters, digits and hyphens.')
@minLength(2)
@maxLength(24)
param name string = 'rekey'

@description('The region of what is made here. It need not be that of the instances.')
param location string = resourceGroup().location

@description('The resource ids of the SignalR instances in rekey.toml, in any group or subscription of this tenant.')
@minLength(1)
param instances string[]

@description('The resource ids of the apps in rekey.toml; for a deployment slot its own id, unless its app is named too.')
param apps string[] = []

@description('More app settings of the function app, such as REKEY_GRACE or RUST_LOG: an object of names and texts. For a secret, such as the URL of a webhook, the text of a Key Vault reference.')
param settings object = {}

@description('When RotateKeys runs (NCRONTAB, UTC). A look that finds all in order takes one token and a few reads.')
param rotationSchedule string = '0 */5 * * * *'

@description('Whether the code has been published once. Only then can Event Grid and the action group be pointed at its functions, so set it in a second deployment.')
param codeDeployed bool = false

@description('Whether the activity log and Service Health also call the function OnAlert.')
param callOnAlert bool = true

@description('Who is told when a run fails, an instance is blocked, or nothing has succeeded for a day. Nobody, if empty: the alerts are in the portal all the same.')
param alertEmails string[] = []

@description('Whether the identity may also read the records of operations in the whole of each subscription. Needed only where the service names operations by URLs below locations/, as older api-versions did; a refused poll says so.')
param pollInSubscription bool = false

@description('How many instances of the function app there may be at most. Runs of one timer never overlap; notices come seldom.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Tags of everything that is made here.')
param tags object = {}

// Of each resource: subscription/group, in lower case, since ids compare so.
var groups = union(map(concat(instances, apps), id => toLower('${split(id, '/')[2]}/${split(id, '/')[4]}')), [])
var groupsOfInstances = union(map(instances, id => toLower('${split(id, '/')[2]}/${split(id, '/')[4]}')), [])
var watchedGroups = codeDeployed ? groupsOfInstances : []
var polledSubscriptions = pollInSubscription ? union(map(instances, id => toLower(split(id, '/')[2])), []) : []

var suffix = uniqueString(resourceGroup().id, name)

// As whom the function app asks Azure, its storage and Application Insights.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${name}-app-${suffix}'
  location: location
  tags: tags
}

// As whom Event Grid writes what it could not deliver. It may nothing else.
resource deliveryIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${name}-delivery-${suffix}'
  location: location
  tags: tags
}

module storage 'modules/storage.bicep' = {
  name: '${name}-storage'
  params: {
    name: '${take(replace(toLower(name), '-', ''), 11)}${suffix}'
    location: location
    tags: tags
    appPrincipalId: identity.properties.principalId
    deliveryPrincipalId: deliveryIdentity.properties.principalId
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: '${name}-monitoring'
  params: {
    name: '${name}-${suffix}'
    location: location
    tags: tags
    principalId: identity.properties.principalId
  }
}

module app 'modules/app.bicep' = {
  name: '${name}-app'
  params: {
    name: '${name}-${suffix}'
    location: location
    tags: tags
    identityName: identity.name
    storageName: storage.outputs.name
    packageContainer: storage.outputs.packageContainer
    insightsName: monitoring.outputs.insightsName
    rotationSchedule: rotationSchedule
    maximumInstanceCount: maximumInstanceCount
    settings: settings
  }
}

// In each group its own roles, which can be assigned nowhere else.
module access 'modules/access.bicep' = [for group in groups: {
  name: '${name}-access-${uniqueString(group)}'
  scope: resourceGroup(split(group, '/')[0], split(group, '/')[1])
  params: {
    name: '${name}-${suffix}'
    principalId: identity.properties.principalId
    instances: instances
    apps: apps
  }
}]

module polling 'modules/polling.bicep' = [for id in polledSubscriptions: {
  name: '${name}-polling-${suffix}'
  scope: subscription(id)
  params: {
    name: '${name}-${suffix}'
    principalId: identity.properties.principalId
  }
}]

module receiver 'modules/receiver.bicep' = if (codeDeployed && callOnAlert) {
  name: '${name}-receiver'
  params: {
    name: '${name}-${suffix}'
    appName: app.outputs.name
    tags: tags
  }
}

module watch 'modules/watch.bicep' = [for group in watchedGroups: {
  name: '${name}-watch-${uniqueString(group)}'
  scope: resourceGroup(split(group, '/')[0], split(group, '/')[1])
  params: {
    name: '${name}-${suffix}'
    tags: tags
    appId: app.outputs.id
    deliveryIdentityId: deliveryIdentity.id
    deadLetterStorageId: storage.outputs.id
    deadLetterContainer: storage.outputs.deadLetterContainer
    actionGroupId: callOnAlert ? receiver!.outputs.actionGroupId : ''
  }
}]

module health 'modules/health.bicep' = if (codeDeployed && callOnAlert) {
  name: '${name}-health'
  params: {
    name: '${name}-${suffix}'
    tags: tags
    actionGroupId: receiver!.outputs.actionGroupId
  }
}

module alerts 'modules/alerts.bicep' = {
  name: '${name}-alerts'
  params: {
    name: '${name}-${suffix}'
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    appName: app.outputs.name
    emails: alertEmails
  }
}

@description('What `func azure functionapp publish` is told.')
output functionAppName string = app.outputs.name

@description('The principal that was given the roles.')
output principalId string = identity.properties.principalId

@description('Where the journal and the dead letters are.')
output storageName string = storage.outputs.name
