// The action group that calls the function OnAlert.

@description('Its name.')
param name string

@description('The name of the function app.')
param appName string

@description('Tags.')
param tags { *: string }

resource app 'Microsoft.Web/sites@2025-03-01' existing = {
  name: appName

  resource onAlert 'functions' existing = {
    name: 'OnAlert'
  }
}

// The function's key goes from Azure into the action group, and through no parameter or output. Who may read the action
// group can read it; with it he can make the app look at its instances or rotate them sooner, as any notice does.
resource group 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: name
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
        httpTriggerUrl: 'https://${app.properties.defaultHostName}/api/OnAlert?code=${app::onAlert.listKeys().default}'
        useCommonAlertSchema: true
      }
    ]
  }
}
