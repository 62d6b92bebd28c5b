// The records of operations at the level of the subscription, where older api-versions of SignalR keep them: two reads,
// which show how an operation goes and nothing of the instance.

targetScope = 'subscription'

@description('What tells this app from another in the name of its role, which is unique in the tenant.')
param name string

@description('The resource id of the identity of the function app.')
param identityId string

@description('Its principal.')
param principalId string

resource pollOperations 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, name, 'poll operations')
  properties: {
    roleName: '${name} polls the operations of SignalR in ${subscription().subscriptionId}'
    description: 'Ask how a regeneration goes.'
    type: 'CustomRole'
    assignableScopes: [
      subscription().id
    ]
    permissions: [
      {
        actions: [
          'Microsoft.SignalRService/locations/operationStatuses/signalr/read'
          'Microsoft.SignalRService/locations/operationresults/signalr/read'
        ]
      }
    ]
  }
}

resource inSubscription 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(subscription().id, identityId, pollOperations.id)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: pollOperations.id
  }
}
