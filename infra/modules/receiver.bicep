// The action group that calls the function OnAlert.

@description('What tells this app from another in the names.')
param name string

@description('The name of the function app.')
param appName string

@description('Tags.')
param tags object

resource app 'Microsoft.Web/sites@2024-04-01' existing = {
  name: appName
}

// The function's key goes from Azure into the action group, and through no parameter or output. Who may read the action
// group can read it; with it he can make the app look at its instances or rotate them sooner, as any notice does.
resource group 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: '${name}-on-alert'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'rekey'
    azureFunctionReceivers: [
      {
        name: 'OnAlert'
        functionAppResourceId: app.id
        functionName: 'OnAlert'
        httpTriggerUrl: 'https://${app.properties.defaultHostName}/api/OnAlert?code=${listKeys('${app.id}/functions/OnAlert', '2024-04-01').default}'
        useCommonAlertSchema: true
      }
    ]
  }
}

@description('The resource id of the action group.')
output actionGroupId string = group.id
