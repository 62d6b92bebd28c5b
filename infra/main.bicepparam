// Yours. The ids are those of rekey.toml: an instance or an app that is named in one of the two alone is either not
// looked after, or refused by Azure.

using 'main.bicep'

param instances = [
  '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.SignalRService/signalR/sr-demo'
]

param apps = [
  '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.Web/sites/chat-web'
  '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.Web/sites/chat-func'
]

param alertEmails = []

// False in the first deployment, before there is code; `infra/deploy` says so each time, and so do you.
param codeDeployed = bool(readEnvironmentVariable('REKEY_CODE_DEPLOYED', 'false'))
