// The subscription of OnKeyNotice to a system topic of a resource group.

@description('The name of the topic.')
param topicName string

@description('The name of the subscription.')
param name string

@description('The resource id of the function OnKeyNotice.')
param onKeyNoticeId string

@description('The resource id of the identity that writes dead letters; none are written, if empty.')
param deliveryIdentityId string

@description('The resource id of the storage account of the dead letters.')
param deadLetterStorageId string

@description('Their container.')
param deadLetterContainer string

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: topicName
}

resource notices 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: topic
  name: name
  properties: {
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: onKeyNoticeId
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
    deadLetterWithResourceIdentity: empty(deliveryIdentityId) ? null : {
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
