// The function app, on Flex Consumption: Linux, a custom handler, everything by identity.

@description('The name of the app and of its plan. It becomes part of a public host name.')
param name string

@description('The region.')
param location string

@description('Tags.')
param tags { *: string }

@description('The name of the user-assigned identity that the app has.')
param identityName string

@description('The name of its storage account.')
param storageName string

@description('The container to which the code is published.')
param packageContainer string

@description('The name of its Application Insights component.')
param insightsName string

@description('The schedule of RotateKeys, an NCRONTAB expression.')
param rotationSchedule string

@description('How many instances of the event functions are kept running.')
param alwaysReady int

@description('How many instances there may be.')
param maximumInstanceCount int

@description('The id of the subnet through which it reaches others, or nothing.')
param subnet string

@description('More app settings: names and texts.')
param settings { *: string }

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

// What the app and the host are told, by name; `settings` wins. The storage is named by its URL: by its name alone the host
// takes the suffix of the public cloud, and looks for tables, for which the app has no role. The first rotation waits until
// a key is due: on Flex Consumption nobody can ask `doctor` inside the app before.
var ownSettings = {
  AzureWebJobsStorage__blobServiceUri: storage.properties.primaryEndpoints.blob
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identity.properties.clientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
  AZURE_CLIENT_ID: identity.properties.clientId
  ROTATION_SCHEDULE: rotationSchedule
  REKEY_FIRST_ROTATION: 'when-due'
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: name
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    tier: 'FlexConsumption'
    name: 'FC1'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identity.id
    // All that goes out goes this way: on Flex Consumption there is nothing to route.
    virtualNetworkSubnetId: empty(subnet) ? null : subnet
    functionAppConfig: {
      runtime: {
        name: 'custom'
        version: '1.0'
      }
      scaleAndConcurrency: {
        instanceMemoryMB: 512
        maximumInstanceCount: maximumInstanceCount
        // The group `http` is that of Event Grid's trigger too. A timer has a group of its own, and wakes it by itself.
        alwaysReady: alwaysReady == 0 ? [] : [
          {
            name: 'http'
            instanceCount: alwaysReady
          }
        ]
      }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packageContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
    }
  }
}

resource appSettings 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: app
  name: 'appsettings'
  properties: union(ownSettings, settings)
}

// Nobody publishes with a user name and a password.
resource noFtp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource noScm 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}
