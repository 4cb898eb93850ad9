import { fillNumbers, type NumberRules } from '../../options/number-options.ts'
import type { CheckSettings } from './check-options.ts'

/** When a backend is passed over for what its answers to requests were; times in milliseconds. */
export interface EjectOptions {
  /** Requests in a row that got no answer. Default 1; one that can't be reached never gets more. */
  readonly errors: number
  /** Answers 502, 503 or 504 in a row; 0: however many. Default 5. */
  readonly badAnswers: number
  /** Percent of both among the requests of `window`; 0: however many. Default 50. */
  readonly rate: number
  /** Requests of `window` without which a rate says nothing. Default 20. */
  readonly rateFrom: number
  /** Default 10 000. */
  readonly window: number
  /** The first time. It doubles each time that the backend fails again when it is back. Default 2 000. */
  readonly time: number
  /** Default 30 000. */
  readonly longestTime: number
}

export const ejectRules: NumberRules<keyof EjectOptions> = {
  errors: { unit: 'count', usual: 1, least: 1, most: 1_000 },
  badAnswers: { unit: 'count', usual: 5, least: 0, most: 1_000 },
  rate: { unit: 'percent', usual: 50, least: 0, most: 100 },
  rateFrom: { unit: 'count', usual: 20, least: 1, most: 100_000 },
  window: { unit: 'ms', usual: 10_000, least: 1_000, most: 600_000 },
  time: { unit: 'ms', usual: 2_000, least: 1, most: 3_600_000 },
  longestTime: { unit: 'ms', usual: 30_000, least: 1, most: 86_400_000 },
}

export type EjectSettings = {
  readonly [name in keyof EjectOptions]?: number | undefined
}

/** Throws ERR_HANDFAST_CONFIG that names what is wrong. */
export function resolveEject(options: EjectSettings = {}): EjectOptions {
  return fillNumbers(ejectRules, options, { prefix: 'health.eject.', whole: true })
}

export const panicRule: NumberRules<'panic'> = {
  panic: { unit: 'percent', usual: 50, least: 0, most: 100 },
}

export function resolvePanic(panic: number | undefined): number {
  const prefix = 'health.'
  return fillNumbers(panicRule, { panic }, { prefix, whole: true }).panic
}

/** What is known of how backends are, and what comes of it. */
export interface HealthSettings {
  readonly check?: CheckSettings | undefined
  readonly eject?: EjectSettings | undefined
  /**
   * Percent of the backends of a route: when fewer are well, those are used too that are not, as
   * long as they can be reached. Default 50; 0: only when none is left.
   */
  readonly panic?: number | undefined
}
