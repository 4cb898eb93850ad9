import { lmdb } from '../../plugins/lmdb/lmdb.ts'
import { formatAddress } from '../address.ts'
import type { Log } from '../log.ts'
import type { FarmOptions } from '../member/options.ts'
import type { ServeSettings } from './settings.ts'

/** What a member is made with, of the settings of a proxy. */
export function farmOptionsOf({ farm }: ServeSettings, log: Log): FarmOptions {
  const { listen, advertise, members, repositories = [], disk, ...rest } = farm
  return {
    ...(repositories.length > 0 && { topology: 'tiered' }),
    ...rest,
    members: [...members, ...repositories],
    ...(disk !== undefined && { tiers: [lmdb(disk)] }),
    listen,
    advertise:
      advertise === undefined || listen === undefined
        ? undefined
        : formatAddress({ host: advertise, port: listen.port }),
    log,
  }
}
