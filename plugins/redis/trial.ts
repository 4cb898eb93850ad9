import { RefusedByRedis } from './client.ts'
import type { Masters } from './masters.ts'
import type { Places } from './places.ts'
import type { Script } from './script.ts'
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
  const keys = [records, ends, log]
  const called = (key: string, ...command: readonly [string, ...string[]]): Step => ({
    what: command[0],
    run: () => masters.call(key, command, patient),
  })
  const scripted = (script: Script, on: readonly string[], values: string[]): Step => ({
    what: 'scripts',
    run: () => masters.run(script, on, values, terms),
  })
  // What another trial has left goes first, and what this one leaves, last.
  const clean = [called(trialKey, 'DEL', trialKey), called(log, 'DEL', ...keys)]
  // What reads comes before the scripts: so the command is named.
  const steps = [
    ...clean,
    called(trialKey, 'GET', trialKey),
    called(log, 'TIME'),
    called(records, 'HGET', records, 'x'),
    called(records, 'HMGET', records, 'x'),
    called(records, 'HSCAN', records, '0'),
    called(log, 'XRANGE', log, '-', '+', 'COUNT', '1'),
    called(log, 'XREVRANGE', log, '+', '-', 'COUNT', '1'),
    scripted(writeAlone, [trialKey], ['x', String(now + lifetime), '']),
    scripted(writeInPart, keys, ['x', 'x', past, '', '16']),
  ]
  const denied = await firstDenied(steps, onStep)
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
