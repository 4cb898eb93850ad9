import type { BackendOptions } from '../backend/backend.ts'
import type { NumberRules } from '../options/number-options.ts'
import type { AffinityOptions } from './affinity/options.ts'
import type { DispatchTimeouts } from './dispatcher.ts'
import type { HedgeOptions } from './hedge/options.ts'
import type { Resolve } from './resolved-name.ts'
import type { ResumeOptions } from './resumed-response/options.ts'
import type { RetryOptions } from './retry/options.ts'
import type { SelectionTerms } from './selection/create-selection.ts'

/** A backend as a site or a route names it. */
export interface BackendTarget {
  /** `http://host:port` or `https://host:port`. */
  readonly url: string
  /**
   * `addresses`: each address of the host name is a backend; `srv`: each target of its SRV
   * records. Asked again when their time to live is over, 1 s to 60 s, or every 10 s. Default: the name is one backend, whatever address it has.
   */
  readonly resolve?: Resolve | undefined
  /**
   * What URLs call it where `affinity` is by path or host: lower-case letters, digits and dashes.
   * Not with `resolve`. Default: made of its address and the farm secret, 16 characters.
   */
  readonly name?: string | undefined
  /** Its part beside the others: one of 2 gets twice as much as one of 1. 0 to 1000, default 1. */
  readonly weight?: number | undefined
  /** Asked only when none of the others is ready. Default false. */
  readonly backup?: boolean | undefined
  /** Those of a higher number are asked when none of a lower one is ready. 0 to 100, default 0. */
  readonly priority?: number | undefined
  /** Open requests to it, in place of the limit `maxBackendRequests`. */
  readonly maxRequests?: number | undefined
}

export const targetRules: NumberRules<'weight' | 'priority' | 'maxRequests'> = {
  weight: { unit: 'count', usual: 1, least: 0, most: 1_000 },
  priority: { unit: 'count', usual: 0, least: 0, most: 100 },
  maxRequests: { unit: 'count', usual: undefined, least: 1, most: 1_000_000 },
}

/** What a dispatcher is made from. */
export interface DispatcherOptions {
  readonly targets: readonly BackendTarget[]
  /** Of each of them. */
  readonly backend: BackendOptions
  readonly selection: SelectionTerms
  readonly resume: ResumeOptions
  readonly retries: RetryOptions
  readonly affinity: AffinityOptions | undefined
  /** What shares the places of clients: a site, or a route with backends of its own. */
  readonly scope: string
  /** How long a request waits for one that has room, in milliseconds; 0: not at all. */
  readonly queueTimeout: number
  readonly timeouts: DispatchTimeouts
  readonly hedging: HedgeOptions | undefined
}
