import { HandfastError } from '../../errors.ts'
import { fillNumbers, type NumberRules } from '../../options/number-options.ts'
import { shown } from '../../shown.ts'

/** A request that tells whether a backend is well; times in milliseconds. */
export interface CheckOptions {
  /** Origin form. Best one that exercises the whole stack, database included. */
  readonly path: string
  /** Default GET. */
  readonly method: string
  /** Of the Host field. Default: that of the backend. */
  readonly host: string | undefined
  /** That the answer must have. Default: any from 200 to 299. */
  readonly status: number | undefined
  /** That its body must contain, within the first 64 KiB. */
  readonly contains: string | undefined
  /** A regular expression that the body must match. */
  readonly matches: string | undefined
  /** It is not used before a check has found it well, also when it is new. Default false. */
  readonly beforeUse: boolean
  /** From one check to the next. Default 5 000. */
  readonly interval: number
  /** Percent by which it may differ from that, by chance. Default 20. */
  readonly jitter: number
  /** Longest wait for the whole answer. Default 2 000. */
  readonly timeout: number
  /** Checks in a row that must go well until one that was down is used. Default 2. */
  readonly rise: number
  /** Checks in a row that must fail until one that was well is not used. Default 3. */
  readonly fall: number
}

type Numbers = 'interval' | 'jitter' | 'timeout' | 'rise' | 'fall'

export const checkRules: NumberRules<Numbers> = {
  interval: { unit: 'ms', usual: 5_000, least: 10, most: 86_400_000 },
  jitter: { unit: 'percent', usual: 20, least: 0, most: 100 },
  timeout: { unit: 'ms', usual: 2_000, least: 1, most: 600_000 },
  rise: { unit: 'count', usual: 2, least: 1, most: 100 },
  fall: { unit: 'count', usual: 3, least: 1, most: 100 },
}

export const statusRule: NumberRules<'status'> = {
  status: { unit: 'count', usual: undefined, least: 200, most: 599 },
}

export type CheckSettings = { readonly [name in Numbers]?: number | undefined } & {
  readonly path: string
  readonly method?: string | undefined
  readonly host?: string | undefined
  readonly status?: number | undefined
  readonly contains?: string | undefined
  readonly matches?: string | undefined
  readonly beforeUse?: boolean | undefined
}

/** Throws ERR_HANDFAST_CONFIG that names what is wrong. */
export function resolveCheck(settings: CheckSettings): CheckOptions {
  const { path, method = 'GET', host, contains, matches, beforeUse = false } = settings
  if (!/^\/[!-~]*$/.test(path)) throw bad('path', 'begin with / and have no blanks', path)
  if (!/^[A-Z]{1,20}$/.test(method)) throw bad('method', 'be such as GET', method)
  if (host !== undefined && !/^[A-Za-z0-9._:[\]-]{1,255}$/.test(host)) {
    throw bad('host', 'be a host name', host)
  }
  try {
    new RegExp(matches ?? '')
  } catch {
    throw bad('matches', 'be a regular expression', matches)
  }
  const terms = { prefix: 'health.check.', whole: true }
  return {
    ...fillNumbers(checkRules, settings, terms),
    ...fillNumbers(statusRule, settings, terms),
    path,
    method,
    host,
    contains,
    matches,
    beforeUse,
  }
}

function bad(name: string, must: string, got: unknown): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_CONFIG',
    `health.check.${name} must ${must}, got ${shown(got)}`,
  )
}
