import type { TierMaker } from '../../lib/cache/tier.ts'
import { HandfastError } from '../../lib/errors.ts'
import {
  anything,
  aSwitch,
  aText,
  checkOptions,
  type OptionRules,
} from '../../lib/options/check-options.ts'
import { fillNumbers, type NumberRules } from '../../lib/options/number-options.ts'
import { DiskTier } from './disk-tier.ts'
import { leastBytes, usualBytes } from './environment.ts'

/** Times in milliseconds. */
export interface LmdbOptions {
  /**
   * A folder on a disk of this machine (not one of the network), for one host or process. Is made
   * where it is not there; nobody else may look into it.
   */
  readonly folder: string
  /** All that its file may take. Default 1 GiB, at least 64 MiB. */
  readonly maxBytes?: number | undefined
  /**
   * Whether a record counts as kept when it is on the disk. Default true. false: as soon as the
   * system has it; it outlives the process then, and the machine only where that is shut down in
   * order: else the folder is started anew.
   */
  readonly fsync?: boolean | undefined
  /** Longest wait at start for what is there; TLS sessions are not waited for. Default 10 000. */
  readonly loadTimeout?: number | undefined
}

const rules: OptionRules<LmdbOptions> = {
  folder: aText,
  maxBytes: anything,
  fsync: aSwitch,
  loadTimeout: anything,
}

export const lmdbNumbers: NumberRules<'maxBytes' | 'loadTimeout'> = {
  maxBytes: { unit: 'bytes', usual: usualBytes, least: leastBytes, most: 2 ** 44 },
  loadTimeout: { unit: 'ms', usual: 10_000, least: 0, most: 600_000 },
}

/**
 * A disk under a host: `createFarm({ tiers: [lmdb({ folder: '/var/lib/handfast' })] })`. Keeps
 * what comes to the host, sealed under the farm's secret, and brings it back when all was
 * stopped. Needs the package `lmdb`.
 */
export function lmdb(options: LmdbOptions): TierMaker {
  checkOptions('lmdb', options, rules)
  const { folder, fsync = true } = options
  if (folder === undefined) {
    throw new HandfastError('ERR_HANDFAST_CONFIG', 'lmdb: folder is needed, a path')
  }
  const numbers = fillNumbers(lmdbNumbers, options, { prefix: 'lmdb: ' })
  return parts => new DiskTier({ folder, fsync, ...numbers }, parts)
}
