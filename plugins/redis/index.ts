/// <reference types="node" preserve="true" />

import type { TierMaker } from '../../lib/cache/tier.ts'
import { type RedisOptions, redisSetup } from './options.ts'
import { RedisTier } from './tier.ts'

export type { Login, TlsOptions } from './client.ts'
export { type RedisDatabaseOptions, redisDatabase } from './database.ts'
export { isRedisUrl, type RedisOptions } from './options.ts'

/**
 * Redis (6.2 or later) or Valkey as a tier: `createFarm({ secret, tiers: [redis({ url })] })`.
 * Hosts share TLS sessions, revocations, log-ins and state through it, with no port between them.
 * The server sees sealed bytes only. Throws ERR_HANDFAST_CONFIG for a bad option.
 */
export function redis(options: RedisOptions | string = {}): TierMaker {
  const setup = redisSetup(options)
  return parts => new RedisTier(setup, parts)
}
