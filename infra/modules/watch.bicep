// What tells of a regeneration in one resource group with instances: Event Grid calls OnKeyNotice, and the activity log
// calls OnAlert. Each only makes the next look come sooner.

@description('What tells this app from another in the names.')
param name string

@description('Tags.')
param tags { *: string }

@description('The resource id of the system topic that this group has already; one is made, if empty.')
param existingTopicId string

@description('The resource id of the function OnKeyNotice.')
param onKeyNoticeId string

@description('The resource id of the identity that writes dead letters.')
param deliveryIdentityId string

@description('The resource id of the storage account of the dead letters.')
param deadLetterStorageId string

@description('Their container.')
param deadLetterContainer string

@description('The action group that calls OnAlert; none, if empty.')
param actionGroupId string

// A resource group has one system topic at most: for a second, Azure refuses the deployment in its middle.
resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = if (empty(existingTopicId)) {
  name: '${name}-resources'
  location: 'global'
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${deliveryIdentityId}': {}
    }
  }
  properties: {
    source: resourceGroup().id
    topicType: 'Microsoft.Resources.ResourceGroups'
  }
}

var topicId = empty(existingTopicId) ? topic.id : existingTopicId

// On a topic that others use too, the subscription has a name of its own, and no dead letters: they would be written as an
// identity of the topic, and the identities of somebody else's topic are not ours to change.
module notices 'notices.bicep' = {
  scope: resourceGroup(split(topicId, '/')[2], split(topicId, '/')[4])
  params: {
    topicName: last(split(topicId, '/'))
    name: empty(existingTopicId) ? 'on-key-notice' : '${name}-on-key-notice'
    onKeyNoticeId: onKeyNoticeId
    deliveryIdentityId: empty(existingTopicId) ? deliveryIdentityId : ''
    deadLetterStorageId: deadLetterStorageId
    deadLetterContainer: deadLetterContainer
  }
}

resource regenerated 'Microsoft.Insights/activityLogAlerts@2026-01-01' = if (!empty(actionGroupId)) {
  name: '${name}-regenerated'
  location: 'global'
  tags: tags
  properties: {
    description: 'A key of SignalR was regenerated: signalr-rekey looks at once.'
    scopes: [
      resourceGroup().id
    ]
    condition: {
      allOf: [
        {
          field: 'category'
          equals: 'Administrative'
        }
        {
          field: 'operationName'
          equals: 'Microsoft.SignalRService/SignalR/regeneratekey/action'
        }
        {
          field: 'status'
          equals: 'Succeeded'
        }
      ]
    }
    actions: {
      actionGroups: [
        {
          actionGroupId: actionGroupId
        }
      ]
    }
  }
}
