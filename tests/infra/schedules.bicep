// What infra/ makes of schedules, for tests/infra.rs to judge.

targetScope = 'resourceGroup'

import { failuresOf, silenceOf } from '../../infra/modules/schedule.bicep'

@description('Schedules.')
param schedules string[]

@description('Of each what its alerts wait for.')
output told { schedule: string, silence: string, failures: int }[] = map(schedules, schedule => {
  schedule: schedule
  silence: silenceOf(schedule)
  failures: failuresOf(schedule)
})
