// Service Health of SignalR in this subscription: Microsoft tells of a regeneration that it forces by e-mail and portal
// notice, and should it be posted here, OnAlert is called.

@description('Its name.')
param name string

@description('Tags.')
param tags { *: string }

@description('The action group that calls OnAlert.')
param actionGroupId string

resource health 'Microsoft.Insights/activityLogAlerts@2026-01-01' = {
  name: name
  location: 'global'
  tags: tags
  properties: {
    description: 'Service Health tells of Azure SignalR Service: signalr-rekey looks at once.'
    scopes: [
      subscription().id
    ]
    condition: {
      allOf: [
        {
          field: 'category'
          equals: 'ServiceHealth'
        }
        {
          field: 'properties.impactedServices[*].ServiceName'
          containsAny: [
            'Azure SignalR Service'
            'SignalR'
          ]
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
