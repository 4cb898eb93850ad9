import type { Log } from '../../log.ts'
import { createFarm } from '../../member/create-farm.ts'
import type { FarmOptions } from '../../member/options.ts'
import { createProxy } from '../../proxy/proxy.ts'
import type { Settings } from '../config/settings.ts'
import { formatAddress } from '../quantity.ts'
import type { ServerStats } from './messages.ts'

/** A farm member and the proxy on top of it, in this process. */
export interface Server {
  readonly host: string
  readonly port: number
  readonly farmAddress: string | undefined
  reload(settings: Settings): void
  /** Lets open requests finish within the limit, then leaves the farm. */
  drain(): Promise<void>
  close(): Promise<void>
  stats(): ServerStats
}

/** Joins the farm first, so that the first client already finds every session there is. */
export async function startServer(settings: Settings, log: Log): Promise<Server> {
  const farm = await createFarm(farmOptionsOf(settings, log))
  const proxy = await createProxy({
    host: settings.listen.host,
    port: settings.listen.port,
    sites: settings.sites,
    limits: settings.limits,
    trustedProxies: settings.trustedProxies,
    ...settings.tls,
    sessions: farm,
    log,
  }).catch(async (error: NodeJS.ErrnoException) => {
    await farm.close()
    throw isListenError(error) ? cannotListen(settings, error) : error
  })
  return {
    host: proxy.host,
    port: proxy.port,
    farmAddress: farm.address,
    reload: ({ sites, limits }) => proxy.reload({ sites, limits }),
    async drain() {
      await proxy.drain()
      await farm.close()
    },
    async close() {
      await proxy.close()
      await farm.close()
    },
    stats() {
      const { full, causes } = farm.stats().handshakes
      return {
        ...proxy.stats(),
        full,
        resumedLocal: causes['resumed:local'] ?? 0,
        resumedPeer: causes['resumed:peer'] ?? 0,
      }
    },
  }
}

function farmOptionsOf({ farm }: Settings, log: Log): FarmOptions {
  const { listen, advertise, ...rest } = farm
  return {
    ...rest,
    listen,
    advertise:
      advertise === undefined || listen === undefined
        ? undefined
        : formatAddress(advertise, listen.port),
    log,
  }
}

/** In a worker the primary binds for it, and Node names that instead. */
function isListenError({ syscall }: NodeJS.ErrnoException): boolean {
  return syscall === 'listen' || syscall === 'bind'
}

function cannotListen({ listen }: Settings, error: NodeJS.ErrnoException): Error {
  const where = formatAddress(listen.host ?? '*', listen.port)
  return new Error(`can't listen on ${where}: ${error.code}`, { cause: error })
}
