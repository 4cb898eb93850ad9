import { Rendezvous } from '../../../cache/rendezvous.ts'
import { tables } from '../../../record/key.ts'
import type { Failure, Heartbeats, HeldAddress } from './heartbeats.ts'

/** Milliseconds that the next in line waits for the one before it. */
export const turn = 1_000

/** An address that this member is to take over now, and whose it was. */
export interface Succession {
  readonly failed: string
  readonly claim: HeldAddress
  readonly hasQuorum: boolean
}

/**
 * Who takes over what a failed member held, chosen in that moment among those that live (row C4):
 * for each address they stand in an order that all of them compute alike. The first acts at once,
 * the next one a turn later, unless the address was claimed meanwhile.
 */
export function successions(
  self: string,
  failures: readonly Failure[],
  heartbeats: Heartbeats,
  now: number,
): Succession[] {
  const live = heartbeats.live(now)
  const claimed = new Set(heartbeats.claims(now).map(({ claim }) => claim.address))
  return failures.flatMap(({ member, holds, since, hasQuorum }) =>
    holds
      .filter(({ address }) => !claimed.has(address))
      .filter(({ address }) => now - since >= turn * lineOf(address, live).indexOf(self))
      .map(claim => ({ failed: member, claim, hasQuorum })),
  )
}

/** The members in the order of an address. */
export function lineOf(address: string, members: readonly string[]): string[] {
  const order = new Rendezvous(0, members)
  return order.first(tables.connection, Buffer.from(address), members.length)
}
