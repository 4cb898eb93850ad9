import { HandfastError } from '../../errors.ts'

/** Why an acceptor does not talk to a dialler that knows the secret; `refused`, one byte. */
export const refusals = {
  version: 1,
  duplicateId: 2,
  full: 3,
  carrier: 4,
} as const

export type Refusal = keyof typeof refusals

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

export function writeRefusal(refusal: Refusal): Buffer {
  return Buffer.from([refusals[refusal]])
}

export function readRefusal(body: Buffer): string {
  return texts[body[0] ?? 0] ?? 'for a reason that is not known here'
}
