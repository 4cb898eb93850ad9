import { HandfastError } from '../../errors.ts'
import { type Greeting, readGreeting, writeGreeting } from '../../wire/frame-greeting.ts'
import { type PeerTimes, readTimes, writeTimes } from '../../wire/frame-time.ts'

/** Why an acceptor does not talk to a dialler that knows the secret. */
export const refusals = {
  version: 1,
  duplicateId: 2,
  full: 3,
  carrier: 4,
  clock: 5,
} as const

/** The clock's is one between two members of the farm, who are to know each other's name. */
export type Refusal =
  | Exclude<keyof typeof refusals, 'clock'>
  | { readonly reason: 'clock'; readonly times: PeerTimes; readonly greeting: Greeting }

/** What is read of it: words, or what is needed to find them. */
export type ReadRefusal = string | Extract<Refusal, object>

const texts: { readonly [code: number]: string } = {
  [refusals.version]: 'it speaks another version',
  [refusals.duplicateId]: 'another member has the same id',
  [refusals.full]: 'the farm is full',
  [refusals.carrier]: 'option transport must be stream on all members or on none',
}

/** What a member says of itself that nobody lets in. */
export function refusedError(refusals: ReadonlyMap<string, string>): HandfastError {
  const told = [...refusals].map(([address, reason]) => `${address} (${reason})`)
  return new HandfastError(
    'ERR_HANDFAST_JOIN',
    `the farm refused this member: ${told.join(', ')}`,
  )
}

/**
 *      0      1          13
 *      +------+----------+----------+
 *      | code | times    | greeting |    the latter two for `clock` only
 *      +------+----------+----------+
 */
export function writeRefusal(refusal: Refusal): Buffer {
  if (typeof refusal === 'string') return Buffer.from([refusals[refusal]])
  const { times, greeting } = refusal
  const code = Buffer.from([refusals.clock])
  return Buffer.concat([code, writeTimes(times), writeGreeting(greeting)])
}

export function readRefusal(body: Buffer): ReadRefusal {
  if (body[0] !== refusals.clock)
    return texts[body[0] ?? 0] ?? 'for a reason that is not known here'
  const times = readTimes(body.subarray(1, 13))
  return { reason: 'clock', times, greeting: readGreeting(body.subarray(13)) }
}
