import { fillNumbers, type NumberRules } from '../../options/number-options.ts'

export interface HostTakeoverNumbers {
  /** Between two words of a member that it lives, ms. Default 100 ms. */
  readonly heartbeat: number
  /** Without one for so long, ms, a member has failed; at least twice `heartbeat`. Default 300 ms. */
  readonly timeout: number
  /** Longest wait for the fence command, ms; then it has failed. Default 2 s. */
  readonly fenceTimeout: number
  /** Longest wait of an answer for other members to know of it, ms. Default 3 s. */
  readonly commitTimeout: number
}

/** When a client is told something: after other members know what it follows from, or at once. */
export type CommitMode = 'before-response' | 'none'
export const commitModes: readonly CommitMode[] = ['before-response', 'none']

/** Numbers that are not given are the usual ones. */
export type HostTakeoverSettings = {
  readonly [name in keyof HostTakeoverNumbers]?: number | undefined
} & {
  /** IPv4 address of this member alone, that others inherit; or the one that all share. */
  readonly address: string
  /** All members have the same address, behind a switch. Default false. */
  readonly shared?: boolean | undefined
  /** IPv4 address of this host alone, for the fence; needed where the other one is shared. */
  readonly host?: string | undefined
  readonly interface: string
  /** A program and its arguments. */
  readonly fence: readonly string[]
  /** Default `none`. */
  readonly commit?: CommitMode | undefined
  /** Connections of one client are written down all at once. Default false. */
  readonly bundles?: boolean | undefined
}

export const hostTakeoverRules: NumberRules<keyof HostTakeoverNumbers> = {
  heartbeat: { unit: 'ms', usual: 100, least: 20, most: 10_000 },
  timeout: { unit: 'ms', usual: 300, least: 40, most: 60_000 },
  fenceTimeout: { unit: 'ms', usual: 2_000, least: 10, most: 60_000 },
  commitTimeout: { unit: 'ms', usual: 3_000, least: 10, most: 60_000 },
}

/** Throws ERR_HANDFAST_CONFIG that names what is wrong. */
export function resolveHostTakeover({
  address: _,
  shared: __,
  host: ___,
  interface: ____,
  fence: _____,
  commit: ______,
  bundles: _______,
  ...numbers
}: HostTakeoverSettings): HostTakeoverNumbers {
  return fillNumbers(hostTakeoverRules, numbers, { prefix: 'takeover.', whole: true })
}
