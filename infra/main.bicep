// Everything that signalr-rekey runs on, and the least that it must be allowed. README.md beside this file tells what
// comes of it, in which order to go about it and what it costs.

targetScope = 'resourceGroup'

import { failuresOf, silenceOf, window } from 'modules/schedule.bicep'

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

@description('The resource ids of Key Vault secrets that these apps refer to, or that rekey.toml names: the id of the vault, and /secrets/ with the name behind it.')
param vaultSecrets string[] = []

@description('The resource ids of the container apps and jobs in rekey.toml, and of the environments (managedEnvironments) that they are in, for every write of a container app asks whether it may be in its environment.')
param containerApps string[] = []

@description('The resource ids of the static web apps in rekey.toml.')
param staticWebApps string[] = []

@description('The resource id of a subnet through which the function app reaches what is behind a firewall or a private endpoint: delegated to Microsoft.App/environments, used by nothing else but function apps on Flex Consumption, in the region of the app, without an underscore in its name. None, if empty.')
param subnet string = ''
@description('The resource ids of App Configuration stores with key-values that these apps refer to, or that rekey.toml names.')
param appConfigurationStores string[] = []

@description('Whether the app may read in the activity log who wrote to the apps, for name_writers in rekey.toml.')
param nameWriters bool = false

@description('Whether the app may tag the instances with when they were rotated and how they stand, for tags in rekey.toml.')
param tagInstances bool = false

@description('More app settings of the function app, such as REKEY_GRACE or RUST_LOG: names and texts. They win over what is set here. For a secret, such as the URL of a webhook, the text of a Key Vault reference.')
param settings { *: string } = {}

@description('When RotateKeys runs: an NCRONTAB expression, UTC. Flex Consumption takes no TimeSpan and knows no other time zone. A look that finds all in order takes one token and a few reads.')
param rotationSchedule string = '0 */5 * * * *'

@description('How long RotateKeys may go without success before somebody is told. Without it, several times what rotationSchedule lies apart: an hour for the default.')
param silentAfter window?

@description('How many instances of the event functions (OnKeyNotice and OnAlert) are kept running. With 0 none is: a first event after half a minute of rest meets a cold start, may be refused, and comes again only after five minutes, and the watch does not run.')
@minValue(0)
@maxValue(20)
param alwaysReady int = 1

@description('Whether the code has been published once. Only then can Event Grid and the action group be pointed at its functions, so set it in a second deployment, and from then on always.')
param codeDeployed bool = false

@description('Whether the activity log and Service Health also call the function OnAlert.')
param callOnAlert bool = true

@description('The system topics that groups with instances have already, for a resource group has one at most: what `az eventgrid system-topic list` shows of them.')
param existingTopics existingTopic[] = []

@description('Who is told when a run fails, an instance is blocked, or RotateKeys is silent. Nobody, if empty: the alerts are in the portal all the same.')
param alertEmails string[] = []

@description('Whether the identity may also read the records of operations in the whole of each subscription. Needed only where the service names operations by URLs below locations/, as older api-versions did; a refused poll says so.')
param pollInSubscription bool = false

@description('For how many days nobody can change or delete a document of evidence (docs/evidence.md), counted from when it was written. With 0 no policy keeps them. As long as one does, the storage account cannot be deleted.')
@minValue(0)
@maxValue(146000)
param evidenceDays int = 0

@description('How many instances of the function app there may be at most. Runs of one timer never overlap; notices come seldom.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Tags of everything that is made here.')
param tags { *: string } = {}

@description('A system topic of a resource group.')
@sealed()
type existingTopic = {
  @description('The id of the resource group whose events it publishes.')
  source: string

  @description('Its own id. It may be in another group than its source.')
  id: string
}

// Of a resource, or of a group: subscription/group, in lower case, since ids compare so.
func groupOf(id string) string => toLower('${split(id, '/')[2]}/${split(id, '/')[4]}')

var groups = union(map(
  concat(instances, apps, vaultSecrets, appConfigurationStores, containerApps, staticWebApps),
  id => groupOf(id)
), [])
var groupsOfInstances = union(map(instances, id => groupOf(id)), [])
var watchedGroups = codeDeployed ? groupsOfInstances : []
var polledSubscriptions = pollInSubscription ? union(map(instances, id => toLower(split(id, '/')[2])), []) : []

// A topic of a group that has no instance is a typing error, after which the deployment would fail in its middle.
var strangeTopics = filter(existingTopics, topic => !contains(groupsOfInstances, groupOf(topic.source)))
var topicOf = empty(strangeTopics)
  ? toObject(existingTopics, topic => groupOf(topic.source), topic => topic.id)
  : fail('existingTopics: no instance is in ${join(map(strangeTopics, topic => topic.source), ', ')}')

// All names are known before anything is made: `az deployment group what-if` tells nothing of a resource whose name it
// does not know.
var suffix = uniqueString(resourceGroup().id, name)
var ownName = '${name}-${suffix}'
var storageName = '${take(replace(toLower(name), '-', ''), 11)}${suffix}'
var packageContainer = 'packages'
var deadLetterContainer = 'dead-letters'
var onAlertName = '${ownName}-on-alert'
var callsOnAlert = codeDeployed && callOnAlert

// As whom the function app asks Azure, its storage and Application Insights.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${name}-app-${suffix}'
  location: location
  tags: tags
}

// As whom Event Grid writes what it could not deliver. It may nothing else.
resource deliveryIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${name}-delivery-${suffix}'
  location: location
  tags: tags
}

module storage 'modules/storage.bicep' = {
  params: {
    name: storageName
    location: location
    tags: tags
    packageContainer: packageContainer
    deadLetterContainer: deadLetterContainer
    evidenceDays: evidenceDays
    appIdentityId: identity.id
    appPrincipalId: identity.properties.principalId
    deliveryIdentityId: deliveryIdentity.id
    deliveryPrincipalId: deliveryIdentity.properties.principalId
  }
}

module monitoring 'modules/monitoring.bicep' = {
  params: {
    name: ownName
    location: location
    tags: tags
    identityId: identity.id
    principalId: identity.properties.principalId
  }
}

module app 'modules/app.bicep' = {
  params: {
    name: ownName
    location: location
    tags: tags
    identityName: identity.name
    storageName: storageName
    packageContainer: packageContainer
    insightsName: ownName
    rotationSchedule: rotationSchedule
    alwaysReady: alwaysReady
    maximumInstanceCount: maximumInstanceCount
    subnet: subnet
    settings: settings
  }
  dependsOn: [
    storage
    monitoring
  ]
}

// In each group its own roles, which can be assigned nowhere else.
module access 'modules/access.bicep' = [for group in groups: {
  scope: resourceGroup(split(group, '/')[0], split(group, '/')[1])
  params: {
    name: ownName
    identityId: identity.id
    principalId: identity.properties.principalId
    instances: instances
    apps: apps
    vaultSecrets: vaultSecrets
    containerApps: containerApps
    staticWebApps: staticWebApps
    appConfigurationStores: appConfigurationStores
    nameWriters: nameWriters
    tagInstances: tagInstances
  }
}]

module polling 'modules/polling.bicep' = [for id in polledSubscriptions: {
  scope: subscription(id)
  params: {
    name: ownName
    identityId: identity.id
    principalId: identity.properties.principalId
  }
}]

module receiver 'modules/receiver.bicep' = if (callsOnAlert) {
  params: {
    name: onAlertName
    appName: ownName
    tags: tags
  }
  dependsOn: [
    app
  ]
}

module watch 'modules/watch.bicep' = [for group in watchedGroups: {
  scope: resourceGroup(split(group, '/')[0], split(group, '/')[1])
  params: {
    name: ownName
    tags: tags
    existingTopicId: topicOf[?group] ?? ''
    onKeyNoticeId: resourceId('Microsoft.Web/sites/functions', ownName, 'OnKeyNotice')
    deliveryIdentityId: deliveryIdentity.id
    deadLetterStorageId: resourceId('Microsoft.Storage/storageAccounts', storageName)
    deadLetterContainer: deadLetterContainer
    actionGroupId: callsOnAlert ? resourceId('Microsoft.Insights/actionGroups', onAlertName) : ''
  }
  dependsOn: [
    app
    receiver
    storage
  ]
}]

module health 'modules/health.bicep' = if (callsOnAlert) {
  params: {
    name: '${ownName}-service-health'
    tags: tags
    actionGroupId: resourceId('Microsoft.Insights/actionGroups', onAlertName)
  }
  dependsOn: [
    receiver
  ]
}

module alerts 'modules/alerts.bicep' = {
  params: {
    name: ownName
    location: location
    tags: tags
    workspaceId: resourceId('Microsoft.OperationalInsights/workspaces', ownName)
    appName: ownName
    codeDeployed: codeDeployed
    silentAfter: silentAfter ?? silenceOf(rotationSchedule)
    failuresInARow: failuresOf(rotationSchedule)
    emails: alertEmails
  }
  dependsOn: [
    monitoring
  ]
}

module workbook 'modules/workbook.bicep' = {
  params: {
    name: ownName
    location: location
    tags: tags
    insightsId: resourceId('Microsoft.Insights/components', ownName)
    workspaceId: resourceId('Microsoft.OperationalInsights/workspaces', ownName)
    appName: ownName
  }
  dependsOn: [
    monitoring
  ]
}

@description('The name of the function app, to which the code is published.')
output functionAppName string = ownName

@description('The principal that was given the roles.')
output principalId string = identity.properties.principalId

@description('Where the journal and the dead letters are.')
output storageName string = storageName
