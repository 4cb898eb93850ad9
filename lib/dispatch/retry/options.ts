import { fillNumbers, type NumberRules } from '../../options/number-options.ts'

/** When a request is sent once more; times in milliseconds. */
export interface RetryOptions {
  /**
   * Times that a request which was sent may be sent again. 0: never. Default 1, for RFC 9110 9.2.2
   * has no failed retry retried.
   */
  readonly most: number
  /** Percent of the requests of the last 10 s that may be repeated. Default 20. */
  readonly budget: number
  /** Repeats of the last 10 s that are always allowed. Default 100. */
  readonly budgetFrom: number
  /** Longest request body that is kept to be sent again, in bytes. Default 64 KiB. */
  readonly bodyBytes: number
  /** Answers 502, 503 and 504 are asked for elsewhere. 1: yes, 0: no. */
  readonly badAnswers: boolean
  /** So are answers 500. */
  readonly serverErrors: boolean
  /** From then on nothing is sent again; undefined: no such limit. */
  readonly timeout: number | undefined
}

type Numbers = Exclude<keyof RetryOptions, 'badAnswers' | 'serverErrors'>

export const retryRules: NumberRules<Numbers> = {
  most: { unit: 'count', usual: 1, least: 0, most: 10 },
  budget: { unit: 'percent', usual: 20, least: 0, most: 100 },
  budgetFrom: { unit: 'count', usual: 100, least: 0, most: 1_000_000 },
  bodyBytes: { unit: 'bytes', usual: 65_536, least: 0, most: 16_777_216 },
  timeout: { unit: 'ms', usual: undefined, least: 1, most: 3_600_000 },
}

export type RetrySettings = { readonly [name in Numbers]?: number | undefined } & {
  readonly badAnswers?: boolean | undefined
  readonly serverErrors?: boolean | undefined
}

/** Throws ERR_HANDFAST_CONFIG that names what is wrong. */
export function resolveRetries(options: RetrySettings = {}): RetryOptions {
  const { badAnswers = false, serverErrors = false } = options
  const numbers = fillNumbers(retryRules, options, { prefix: 'retries.', whole: true })
  return { ...numbers, badAnswers, serverErrors }
}
