import { type Command, RefusedByRedis } from './client.ts'
import type { Masters } from './masters.ts'
import type { Places } from './places.ts'
import { writeAlone, writeInPart } from './scripts.ts'

/** Of each call, ms. */
const budget = 5_000
/** A record may lie there for so long, ms, if this host ends before it has cleaned up. */
const lifetime = 10_000

/** Something that hosts do is not allowed to the user. */
export interface Denial {
  /** A command, or `scripts` for what they do. */
  readonly what: string
  readonly error: RefusedByRedis
}

/**
 * Does all that hosts do, but for what a Follower does, with keys of its own that no host reads, and
 * leaves none if it may: a user with too few rights is told so at the start, and not by a revocation
 * that is kept nowhere. What can't be done for another reason, as where memory is full, says nothing
 * of rights. `onStep`: Redis has answered. Rejects with RedisUnreachable.
 */
export async function findDenied(
  masters: Masters,
  { trial, trialKey }: Places,
  now: number,
  onStep: () => void,
): Promise<Denial | undefined> {
  const { records, ends, log } = trial
  // First what reads: a script that may not would take what it can't read for damaged.
  const reads: Command[] = [
    ['GET', trialKey],
    ['HGET', records, 'x'],
    ['HMGET', records, 'x'],
    ['HSCAN', records, '0'],
    ['XRANGE', log, '-', '+', 'COUNT', '1'],
    ['XREVRANGE', log, '+', '-', 'COUNT', '1'],
  ]
  const keys = [records, ends, log]
  // What another trial has left goes first, and what this one leaves, last.
  const clean: Step[] = [
    { what: 'DEL', run: () => masters.call(trialKey, ['DEL', trialKey], patient) },
    { what: 'DEL', run: () => masters.call(log, ['DEL', ...keys], patient) },
  ]
  const looks: Step[] = reads.map(command => ({
    what: String(command[0]),
    run: () => masters.call(command[0] === 'GET' ? trialKey : log, command, patient),
  }))
  const end = String(now + lifetime)
  const writes: Step[] = [
    {
      what: 'scripts',
      run: () => masters.run(writeAlone, [trialKey], ['x', end, ''], terms),
    },
    {
      what: 'scripts',
      run: () => masters.run(writeInPart, keys, ['x', 'x', past, '', '16'], terms),
    },
  ]
  const denied = await firstDenied([...clean, ...looks, ...writes], onStep)
  return (await firstDenied(clean, onStep)) ?? denied
}

async function firstDenied(
  steps: readonly Step[],
  onStep: () => void,
): Promise<Denial | undefined> {
  for (const { what, run } of steps) {
    try {
      await run()
    } catch (error) {
      if (!(error instanceof RefusedByRedis)) throw error
      if (error.code === 'NOPERM') return { what, error }
    }
    onStep()
  }
  return undefined
}

const terms = { budget }
const patient = { budget, isPatient: true }
/** It has ended, so that the script removes it as well. */
const past = '1'

interface Step {
  readonly what: string
  run(): Promise<unknown>
}
