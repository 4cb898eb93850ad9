import { randomBytes } from 'node:crypto'
import { GuardedTier } from '../cache/guarded-tier.ts'
import { peersTier } from '../cache/peers-tier.ts'
import type { Tier } from '../cache/tier.ts'
import type { Tiers } from '../cache/tiers.ts'
import { farmKey, parseSecret } from '../farm/secret.ts'
import type { Replica } from '../farm/transport.ts'
import { silentLog } from '../log.ts'
import type { HybridClock } from '../record/hybrid-clock.ts'
import type { CacheRecord } from '../record/record.ts'
import { recordSealer } from '../record/record-sealer.ts'
import type { Outer } from '../repository/hub.ts'
import { farmTransport } from './farm-transport.ts'
import type { FarmNumbers, FarmOptions } from './options.ts'

export interface BeyondParts {
  readonly options: FarmOptions
  readonly numbers: Pick<FarmNumbers, 'copies' | 'memory'>
  /** Of this process, or of all of this host. */
  readonly replica: Replica
  readonly versions: HybridClock
  readonly clock: Parameters<typeof farmTransport>[4]
  /** Other processes of this host may be at work already. Default false. */
  readonly serves?: boolean
}

/** What lies beyond this host: the other members, then the tiers that the options name. */
export function beyondHost(parts: BeyondParts, tiers: Tiers): Outer {
  const { replica, versions, clock, numbers, serves } = parts
  const { memberId = randomBytes(8).toString('hex'), ...given } = parts.options
  const options = { ...given, memberId }
  const told = tiers.told(replica)
  // What others count on is what a repository has; a proxy's disk is its own affair.
  const { backing } = options.repository === true ? told : { backing: undefined }
  const seen = { ...told, backing }
  const { transport, address } = farmTransport(
    options,
    numbers,
    seen,
    versions,
    clock,
    serves,
  )
  const peers = peersTier(transport)
  tiers.extend({
    ...peers,
    async get(table, key, budget) {
      const record = await peers.get(table, key, budget)
      return record && versions.accepts(record.version) ? record : undefined
    },
  })
  for (const tier of madeTiers({ ...parts, options }, tiers)) tiers.extend(tier)
  return { transport, tiers, address }
}

function* madeTiers(parts: BeyondParts, tiers: Tiers): Generator<Tier> {
  const { options, numbers, replica, versions, clock } = parts
  const { tiers: makers = [], name: farmName = 'handfast', memberId = '' } = options
  const { secret, log = silentLog } = options
  // Options without it are refused where there are tiers.
  if (secret === undefined || makers.length === 0) return
  const sealer = recordSealer(farmKey(parseSecret(secret), farmName, 'tiers'))
  for (const make of makers) {
    let guarded: GuardedTier | undefined
    const told = tiers.told(replica, () => guarded)
    const apply = (record: CacheRecord) => guarded?.apply(record) === true
    const tier = make({
      clock: versions,
      log: log.child({ farm: farmName }),
      farmName,
      memberId,
      memory: numbers.memory,
      sealer,
      replica: { ...told, apply },
      lost: () => guarded?.lost(),
    })
    guarded = new GuardedTier({
      tier,
      clock,
      log,
      scan: (cursor, limit) => replica.scan(cursor, limit),
      apply: record => told.apply(record),
      accepts: version => versions.accepts(version),
    })
    yield guarded
  }
}
