import { type Urgency, usualUrgency } from '../../dispatch/queue/urgency.ts'
import type { Fields } from '../../http/fields.ts'
import type { QueueClass, QueueHandling, QueueRank } from '../options.ts'
import { fieldsFit } from './match.ts'

/** `user`: who the log-in has found; undefined for nobody. */
export type UrgencyOf = (fields: Fields, user: string | undefined) => Urgency

let routes = 0

/** Undefined where nothing is said of it. */
export function urgencies(queue: QueueHandling | undefined): UrgencyOf | undefined {
  if (queue === undefined) return undefined
  const route = ++routes
  const rest = urgencyOf(queue, usualUrgency, String(route))
  const classes = (queue.classes ?? []).map(
    (one, index) => [test(one), urgencyOf(one, rest, `${route}.${index}`)] as const,
  )
  if (classes.length === 0) return () => rest
  return (fields, user) => classes.find(([fits]) => fits(fields, user))?.[1] ?? rest
}

function urgencyOf(
  { priority, weight }: QueueRank,
  usual: Urgency,
  name: string,
): Urgency {
  return { priority: priority ?? usual.priority, weight: weight ?? usual.weight, name }
}

function test({ users, headers }: QueueClass): (...of: Parameters<UrgencyOf>) => boolean {
  const names = users && new Set(users)
  const fields = Object.entries(headers ?? {}).map(
    ([name, value]) => [name.toLowerCase(), value] as const,
  )
  return (said, user) =>
    (names === undefined || (user !== undefined && names.has(user))) &&
    fieldsFit(said, fields)
}
