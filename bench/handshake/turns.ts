import { shuffled } from '../harness/random.ts'
import type { Cell } from './cell.ts'
import { scenarioName } from './scenario.ts'

/**
 * The order in which a round visits all cells. Systems take their turns at one scenario right
 * after each other, since these are compared: a machine that is slow for some seconds is then
 * slow for both sides of a ratio. Scenarios, and systems in each, come in a new order each time.
 */
export function turnsOf(cells: readonly Cell[], random: () => number): Cell[] {
  const names = new Set(cells.map(({ scenario }) => scenarioName(scenario)))
  return shuffled([...names], random).flatMap(name =>
    shuffled(
      cells.filter(({ scenario }) => scenarioName(scenario) === name),
      random,
    ),
  )
}
