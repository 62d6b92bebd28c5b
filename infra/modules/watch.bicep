// What tells of a regeneration in one resource group with instances: Event Grid calls OnKeyNotice, and the activity log
// calls OnAlert. Each only makes the next look come sooner.

@description('What tells this app from another in the names.')
param name string

@description('Tags.')
param tags object

@description('The resource id of the function app.')
param appId string

@description('The resource id of the identity that writes dead letters.')
param deliveryIdentityId string

@description('The resource id of the storage account of the dead letters.')
param deadLetterStorageId string

@description('Their container.')
param deadLetterContainer string

@description('The action group that calls OnAlert; none, if empty.')
param actionGroupId string

// A resource group has one system topic at most. If yours has one already, subscribe OnKeyNotice to that instead.
resource topic 'Microsoft.EventGrid/systemTopics@2022-06-15' = {
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

resource notices 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2022-06-15' = {
  parent: topic
  name: 'on-key-notice'
  properties: {
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: '${appId}/functions/OnKeyNotice'
        maxEventsPerBatch: 1
      }
    }
    eventDeliverySchema: 'EventGridSchema'
    // The app lists keys and settings, and each time Azure publishes an event of it. Only regenerations may come through,
    // also those that failed, or every look would be the reason for the next. Azure writes the name in either casing.
    filter: {
      includedEventTypes: [
        'Microsoft.Resources.ResourceActionSuccess'
        'Microsoft.Resources.ResourceActionFailure'
        'Microsoft.Resources.ResourceActionCancel'
      ]
      advancedFilters: [
        {
          operatorType: 'StringIn'
          key: 'data.operationName'
          values: [
            'Microsoft.SignalRService/SignalR/regeneratekey/action'
            'Microsoft.SignalRService/SignalR/regenerateKey/action'
          ]
        }
      ]
    }
    // While a regeneration runs, OnKeyNotice answers that it is not done, and the next delivery carries on.
    retryPolicy: {
      maxDeliveryAttempts: 30
      eventTimeToLiveInMinutes: 1440
    }
    deadLetterWithResourceIdentity: {
      identity: {
        type: 'UserAssigned'
        userAssignedIdentity: deliveryIdentityId
      }
      deadLetterDestination: {
        endpointType: 'StorageBlob'
        properties: {
          resourceId: deadLetterStorageId
          blobContainerName: deadLetterContainer
        }
      }
    }
  }
}

resource regenerated 'Microsoft.Insights/activityLogAlerts@2020-10-01' = if (!empty(actionGroupId)) {
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
