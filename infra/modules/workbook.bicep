// What happened, to look at: a workbook over the lines of the log.

@description('What tells this app from another in the names.')
param name string

@description('The region.')
param location string

@description('Tags.')
param tags { *: string }

@description('The resource id of Application Insights, where the workbook is found.')
param insightsId string

@description('The resource id of the workspace with the log.')
param workspaceId string

@description('The name of the function app.')
param appName string

// A line of the program is a JSON object. `tests/infra.rs` holds what is looked for in it against what the program writes.
var lines = 'AppTraces | where AppRoleName =~ "${appName}" | extend line = parse_json(Message) | extend level = tostring(line.level), target = tostring(line.target), message = tostring(line.message) | where isnotempty(level)'
var ends = '${lines} | where target == "signalr_rekey::report::text::run" | extend service = tostring(split(message, ": ")[0])'

var panels = [
  {
    title: 'How each service stands: what its last run said'
    query: '${ends} | summarize arg_max(TimeGenerated, level, message) by service | project service, TimeGenerated, level, message | order by level asc, service asc'
    visualization: 'table'
  }
  {
    title: 'How runs ended, by service: those that failed or are blocked'
    query: '${ends} | summarize failed = countif(level == "ERROR") by service, bin(TimeGenerated, 1h)'
    visualization: 'timechart'
  }
  {
    title: 'What the host called, and how long it took'
    query: 'AppRequests | where AppRoleName =~ "${appName}" | summarize calls = count(), failed = countif(Success == false), median = percentile(DurationMs, 50), slowest = max(DurationMs) by Name | order by Name asc'
    visualization: 'table'
  }
  {
    title: 'What was done, and what was found'
    query: '${lines} | where target == "signalr_rekey::engine::log" | project TimeGenerated, level, message | order by TimeGenerated desc | take 250'
    visualization: 'table'
  }
  {
    title: 'Warnings and errors, each once'
    query: '${lines} | where level in ("WARN", "ERROR") | summarize times = count(), last = max(TimeGenerated) by level, message | order by last desc | take 100'
    visualization: 'table'
  }
]

var period = {
  type: 9
  content: {
    version: 'KqlParameterItem/1.0'
    parameters: [
      {
        id: guid(insightsId, 'period')
        version: 'KqlParameterItem/1.0'
        name: 'period'
        label: 'Period'
        type: 4
        isRequired: true
        value: {
          durationMs: 604800000
        }
        typeSettings: {
          selectableValues: [
            { durationMs: 86400000 }
            { durationMs: 604800000 }
            { durationMs: 2592000000 }
          ]
        }
      }
    ]
    style: 'pills'
    queryType: 0
    resourceType: 'microsoft.operationalinsights/workspaces'
  }
  name: 'period'
}

var shown = [for (panel, number) in panels: {
  type: 3
  content: {
    version: 'KqlItem/1.0'
    query: panel.query
    size: 0
    title: panel.title
    timeContextFromParameter: 'period'
    queryType: 0
    resourceType: 'microsoft.operationalinsights/workspaces'
    crossComponentResources: [
      workspaceId
    ]
    visualization: panel.visualization
  }
  name: 'panel-${number}'
}]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(insightsId, 'workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'signalr-rekey: ${name}'
    category: 'workbook'
    sourceId: insightsId
    version: 'Notebook/1.0'
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat([period], shown)
      fallbackResourceIds: [
        workspaceId
      ]
    })
  }
}
