// Everything at once that main.bicepparam leaves at its default: two subscriptions, ids in any case, slots, a topic that a
// group has already and that lies elsewhere, nobody kept ready.

using '../../infra/main.bicep'

param instances = [
  '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-one/providers/Microsoft.SignalRService/signalR/sr-one'
  '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/RG-ONE/providers/Microsoft.SignalRService/signalR/sr-other'
  '/subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups/rg-two/providers/Microsoft.SignalRService/SignalR/sr-two'
]

param apps = [
  '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-one/providers/Microsoft.Web/sites/chat-web'
  '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-apps/providers/Microsoft.Web/sites/chat-func/slots/Staging'
]

param vaultSecrets = [
  '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-vaults/providers/Microsoft.KeyVault/vaults/kv-chat/secrets/signalr'
]

param containerApps = [
  '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-apps/providers/Microsoft.App/containerApps/chat-api'
  '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/RG-APPS/providers/microsoft.app/Jobs/chat-nightly'
  '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-environments/providers/Microsoft.App/managedEnvironments/chat'
]

param staticWebApps = [
  '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-apps/providers/Microsoft.Web/staticSites/chat-pages'
]

param nameWriters = true
param tagInstances = true

param subnet = '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-net/providers/Microsoft.Network/virtualNetworks/vnet/subnets/rekey'

param appConfigurationStores = [
  '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-vaults/providers/Microsoft.AppConfiguration/configurationStores/appcs-chat'
]

param existingTopics = [
  {
    source: '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/Rg-One'
    id: '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-events/providers/Microsoft.EventGrid/systemTopics/theirs'
  }
]

param settings = {
  REKEY_FIRST_ROTATION: 'now'
  REKEY_GRACE: '3h'
}

param rotationSchedule = '0 0 * * * *'
param silentAfter = 'P1D'
param alwaysReady = 0
param alertEmails = ['night@example.org']
param pollInSubscription = true
param evidenceDays = 2555
param codeDeployed = true
param tags = {
  owner: 'chat'
}
