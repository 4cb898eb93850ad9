import { fillNumbers, type NumberRules } from '../../options/number-options.ts'

/** What the supervisor may have of its workers' connections. */
export interface GuardianNumbers {
  /** Connections, count from 1. Each costs it a file descriptor. Default 25 000. */
  readonly maxConnections: number
  /** Bytes of what is known of them, from 65 536. Default 64 MiB. */
  readonly maxBytes: number
}

/** Those that are not given are the usual ones. */
export type GuardianSettings = {
  readonly [name in keyof GuardianNumbers]?: number | undefined
} & {
  /** Default false. */
  readonly enabled?: boolean | undefined
}

export const guardianRules: NumberRules<keyof GuardianNumbers> = {
  maxConnections: { unit: 'count', usual: 25_000, least: 1, most: 1_000_000 },
  maxBytes: { unit: 'bytes', usual: 2 ** 26, least: 65_536, most: 2 ** 40 },
}

/** Throws ERR_HANDFAST_CONFIG that names what is wrong. */
export function resolveGuardian({
  enabled: _,
  ...numbers
}: GuardianSettings): GuardianNumbers {
  return fillNumbers(guardianRules, numbers, { prefix: 'guardian.', whole: true })
}
