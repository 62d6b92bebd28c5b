// What follows from the schedule of RotateKeys for the alerts. `tests/infra/schedules.bicep` tries it.

@export()
@description('A span that a log alert can look back.')
type window = 'PT1H' | 'PT2H' | 'PT3H' | 'PT4H' | 'PT5H' | 'PT6H' | 'P1D' | 'P2D'

// Twelve runs that came to nothing, or as many as the next shorter window holds: a busy hour of Azure Resource Manager is
// over by then. A minute that is in no table comes once an hour at least if all else is free. What runs less often than
// that has the longest windows, and a schedule that leaves out days has none that is long enough: doctor warns of it.
@export()
@description('How long RotateKeys may go without success on a schedule.')
func silenceOf(schedule string) string =>
  skip(fieldsOf(schedule), 2) != ['*', '*', '*']
    ? 'P2D'
    : fieldsOf(schedule)[1] == '*'
        ? {
            '*': 'PT1H'
            '*/1': 'PT1H'
            '*/2': 'PT1H'
            '*/3': 'PT1H'
            '*/4': 'PT1H'
            '*/5': 'PT1H'
            '*/6': 'PT2H'
            '*/10': 'PT2H'
            '*/12': 'PT3H'
            '*/15': 'PT3H'
            '*/20': 'PT4H'
            '*/30': 'PT6H'
          }[?fieldsOf(schedule)[0]] ?? 'PT6H'
        : contains(['*/2', '*/3', '*/4', '*/6'], fieldsOf(schedule)[1]) ? 'P1D' : 'P2D'

// Of two half hours in a row each has a run, if a run comes every quarter of an hour. Otherwise one that failed is told at
// once: the host has repeated it three times, and no half hour after it has another.
@export()
@description('In how many half hours in a row RotateKeys fails before that is told.')
func failuresOf(schedule string) int => contains(['PT1H', 'PT2H', 'PT3H'], silenceOf(schedule)) ? 2 : 1

// Minute, hour, day, month and day of the week of an NCRONTAB expression, which has the second before them or has not.
func fieldsOf(schedule string) string[] =>
  contains([5, 6], length(partsOf(schedule)))
    ? skip(partsOf(schedule), length(partsOf(schedule)) - 5)
    : fail('rotationSchedule is no NCRONTAB expression, such as "0 */5 * * * *" for every five minutes: ${schedule}')

func partsOf(schedule string) string[] => filter(split(schedule, ' '), part => !empty(part))
