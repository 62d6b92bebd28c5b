// What a person must know of: apps that are cut off, runs that fail, an instance that is blocked, and silence.

@description('What tells this app from another in the names.')
param name string

@description('The region.')
param location string

@description('Tags.')
param tags { *: string }

@description('The resource id of the workspace with the log.')
param workspaceId string

@description('The name of the function app.')
param appName string

@description('Whether the code has been published.')
param codeDeployed bool

@description('How long RotateKeys may go without success.')
param silentAfter string

@description('In how many half hours in a row RotateKeys fails before that is told.')
param failuresInARow int

@description('Who is told.')
param emails string[]

// `host.json` keeps requests and traces out of the sampling, so they are all there. OnKeyNotice fails on purpose while a
// regeneration runs, which is why its failures are not counted. `tests/infra.rs` holds the words against the program's.
var whatFails = [
  {
    name: 'cut-off'
    title: 'Apps are cut off, and signalr-rekey could not repair them'
    severity: 0
    query: 'AppTraces | where AppRoleName =~ "${appName}" and Message has "ERROR" and Message contains "cut off, because their key is invalid: "'
    every: 'PT5M'
    window: 'PT10M'
    operator: 'GreaterThan'
    threshold: 0
    periods: 1
  }
  {
    name: 'failed-runs'
    title: 'RotateKeys of signalr-rekey goes on failing'
    severity: 2
    query: 'AppRequests | where AppRoleName =~ "${appName}" and Name == "RotateKeys" and Success == false'
    every: 'PT15M'
    window: 'PT30M'
    operator: 'GreaterThan'
    threshold: 0
    periods: failuresInARow
  }
  {
    name: 'blocked'
    title: 'signalr-rekey cannot rotate an instance until somebody looks after it'
    severity: 1
    query: 'AppTraces | where AppRoleName =~ "${appName}" and Message has "ERROR" and Message contains ": blocked: "'
    every: 'PT15M'
    window: 'PT15M'
    operator: 'GreaterThan'
    threshold: 0
    periods: 1
  }
]

// Before the code is published there is no success to be had. The rule is not made then, instead of being switched off:
// so a deployment that forgets to say that the code is there does not switch it off either.
var silence = {
  name: 'no-success'
  title: 'No run of signalr-rekey has succeeded for several schedules'
  severity: 1
  query: 'AppRequests | where AppRoleName =~ "${appName}" and Name == "RotateKeys" and Success == true'
  every: startsWith(silentAfter, 'PT') ? 'PT15M' : 'PT1H'
  window: silentAfter
  operator: 'LessThan'
  threshold: 1
  periods: 1
}
var rules = concat(whatFails, codeDeployed ? [silence] : [])

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(emails)) {
  name: '${name}-people'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'rekey'
    emailReceivers: [for email in emails: {
      name: email
      emailAddress: email
      useCommonAlertSchema: true
    }]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [for rule in rules: {
  name: '${name}-${rule.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: rule.title
    severity: rule.severity
    enabled: true
    // The tables are there once the first line was logged.
    skipQueryValidation: true
    scopes: [
      workspaceId
    ]
    evaluationFrequency: rule.every
    windowSize: rule.window
    criteria: {
      allOf: [
        {
          query: rule.query
          timeAggregation: 'Count'
          operator: rule.operator
          threshold: rule.threshold
          failingPeriods: {
            numberOfEvaluationPeriods: rule.periods
            minFailingPeriodsToAlert: rule.periods
          }
        }
      ]
    }
    autoMitigate: true
    actions: {
      actionGroups: empty(emails) ? [] : [
        people.id
      ]
    }
  }
}]
