/** Why an acceptor does not talk to a dialler that knows the secret; `refused`, one byte. */
export const refusals = {
  version: 1,
  duplicateId: 2,
  full: 3,
} as const

export type Refusal = keyof typeof refusals

const texts: { readonly [code: number]: string } = {
  [refusals.version]: 'it speaks another version',
  [refusals.duplicateId]: 'another member has the same id',
  [refusals.full]: 'the farm is full',
}

export function writeRefusal(refusal: Refusal): Buffer {
  return Buffer.from([refusals[refusal]])
}

export function readRefusal(body: Buffer): string {
  return texts[body[0] ?? 0] ?? 'for a reason that is not known here'
}
