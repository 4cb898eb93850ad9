import type { BackendState } from '../../backend/backend.ts'
import type { Clock } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import { shown } from '../../shown.ts'
import { hashKeyOf } from './hash-key.ts'
import { expectedTime, LeastLoaded, openRequests } from './least-loaded.ts'
import type { Policy } from './policy.ts'
import { Rendezvous } from './rendezvous.ts'
import { RoundRobin } from './round-robin.ts'
import { Tiers, type Weighted } from './tiers.ts'

export const balances = ['round-robin', 'least-requests', 'peak-ewma', 'hash'] as const

export type Balance = (typeof balances)[number]

export interface SelectionOptions {
  /** Default `round-robin`. */
  readonly balance?: Balance | undefined
  /**
   * What `hash` goes by: `address`, `header NAME` or `cookie NAME`; requests that lack it are
   * taken in turn. Default `address`.
   */
  readonly hashBy?: string | undefined
  /**
   * Milliseconds in which a backend that has just come, or become ready, comes to its full weight.
   * Default 0: at once.
   */
  readonly slowStart?: number | undefined
}

/** With what health has to say in it. */
export interface SelectionTerms extends SelectionOptions {
  /** See TiersOptions. Default 50. */
  readonly panic?: number | undefined
}

export interface SelectionContext {
  readonly clock: Clock
  /** From 0 to below 1. */
  readonly random: () => number
}

/** Throws ERR_HANDFAST_CONFIG that names a bad option. */
export function createSelection<Backend extends BackendState>(
  backends: readonly Weighted<Backend>[],
  {
    balance = 'round-robin',
    hashBy = 'address',
    slowStart = 0,
    panic = 50,
  }: SelectionTerms,
  { clock, random }: SelectionContext,
): Tiers<Backend> {
  const key = hashKeyOf(hashBy)
  const policies: { readonly [name in Balance]: () => Policy } = {
    'round-robin': () => new RoundRobin(),
    'least-requests': () => new LeastLoaded(openRequests, random),
    'peak-ewma': () => new LeastLoaded(expectedTime, random),
    hash: () => new Rendezvous(key, new RoundRobin()),
  }
  const drawn = new LeastLoaded(openRequests, random)
  const again: { readonly [name in Balance]: Policy } = {
    'round-robin': drawn,
    'least-requests': drawn,
    'peak-ewma': new LeastLoaded(expectedTime, random),
    hash: new Rendezvous(key, drawn),
  }
  if (!Object.hasOwn(policies, balance)) {
    throw new HandfastError(
      'ERR_HANDFAST_CONFIG',
      `balance must be one of ${balances.join(', ')}, got ${shown(balance)}`,
    )
  }
  const timed = balance === 'peak-ewma'
  return new Tiers(backends, {
    policy: policies[balance],
    again: again[balance],
    slowStart,
    panic,
    timed,
    clock,
  })
}
