import { lmdb } from '../../plugins/lmdb/lmdb.ts'
import { redis } from '../../plugins/redis/index.ts'
import { formatAddress } from '../address.ts'
import type { Log } from '../log.ts'
import type { FarmOptions } from '../member/options.ts'
import type { FarmSettings } from './settings.ts'

/** What a member is made with, of the settings of a proxy or a repository. */
export function farmOptionsOf(
  { farm }: { readonly farm: FarmSettings },
  log: Log,
): FarmOptions {
  const { listen, advertise, members, repositories = [], ...more } = farm
  const { redis: shared, disk, ...rest } = more
  const tiers = [
    ...(disk === undefined ? [] : [lmdb(disk)]),
    ...(shared === undefined ? [] : [redis(shared)]),
  ]
  return {
    ...(repositories.length > 0 && { topology: 'tiered' }),
    ...rest,
    ...(tiers.length > 0 && { tiers }),
    members: [...members, ...repositories],
    listen,
    advertise:
      advertise === undefined || listen === undefined
        ? undefined
        : formatAddress({ host: advertise, port: listen.port }),
    log,
  }
}
