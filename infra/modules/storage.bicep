// The storage of the host, the package, the journal (container signalr-rekey, which the app makes itself), the evidence of what
// was changed, and the dead letters. It has no keys: who wants in needs a role.

@description('The name of the account: 3 to 24 lower-case letters and digits.')
@minLength(3)
@maxLength(24)
param name string

@description('The region.')
param location string

@description('Tags.')
param tags { *: string }

@description('The container to which the code is published.')
param packageContainer string

@description('The container of events that could not be delivered.')
param deadLetterContainer string

@description('For how many days nobody can change or delete the evidence of a change; 0: no policy keeps it.')
@minValue(0)
@maxValue(146000)
param evidenceDays int

@description('The resource id of the identity of the function app.')
param appIdentityId string

@description('Its principal.')
param appPrincipalId string

@description('The resource id of the identity with which Event Grid delivers.')
param deliveryIdentityId string

@description('Its principal.')
param deliveryPrincipalId string

// The names of role assignments come from the identities' ids, which are known before these are made.
// Built-in roles. The host wants to own blobs: it keeps its locks, keys and timers there (docs: Connecting to host storage
// with an identity). Queues and tables it uses for triggers that this app has not.
var blobDataOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
var blobDataContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: 'Standard_LRS'
  }
  properties: {
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: packageContainer
}

resource deadLetters 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: deadLetterContainer
}

// The app makes it where it is missed, but without the policy. Its name is the app's.
resource evidence 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: 'signalr-rekey-evidence'
}

// Left unlocked, so that a deployment that was tried out can be deleted again: whoever may change the policy may end it. Locked by
// hand it cannot be ended or made shorter (docs: Configure immutability policies for containers). Each document is written once.
resource evidenceIsKept 'Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies@2025-06-01' = if (evidenceDays > 0) {
  parent: evidence
  name: 'default'
  properties: {
    immutabilityPeriodSinceCreationInDays: evidenceDays
    allowProtectedAppendWrites: false
  }
}

resource appOwnsBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, appIdentityId, blobDataOwner)
  scope: account
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataOwner)
  }
}

resource deliveryWritesDeadLetters 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(deadLetters.id, deliveryIdentityId, blobDataContributor)
  scope: deadLetters
  properties: {
    principalId: deliveryPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataContributor)
  }
}
