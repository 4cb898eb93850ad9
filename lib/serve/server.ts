import { formatAddress } from '../address.ts'
import { type Admin, createAdmin } from '../admin/admin.ts'
import { adminToken } from '../admin/admin-token.ts'
import { logSection } from '../admin/section/log.ts'
import { parseSecret } from '../farm/secret.ts'
import type { Log } from '../log.ts'
import { createFarm } from '../member/create-farm.ts'
import type { Farm } from '../member/farm.ts'
import type { RunningProxy } from '../proxy/options.ts'
import { createProxy } from '../proxy/proxy.ts'
import { openAccessLog } from './access-log-file.ts'
import { farmOptionsOf } from './farm-options.ts'
import type { ServerStats } from './messages.ts'
import { Readiness } from './readiness.ts'
import { reloadable, type ServeSettings } from './settings.ts'
import { SiteAuths } from './site-auths.ts'
import { keepRequestsYoung } from './young-heap.ts'

/** A farm member and the proxy on top of it, in this process. */
export interface Server {
  readonly host: string
  readonly port: number
  readonly farmAddress: string | undefined
  reload(settings: ServeSettings): void
  /** What rotates logs has moved the files. */
  reopenLogs(): void
  /** Lets open requests finish within the limit, then leaves the farm. */
  drain(): Promise<void>
  close(): Promise<void>
  stats(): ServerStats
}

/** Joins the farm first, so that the first client already finds every session there is. */
export async function startServer(
  settings: ServeSettings,
  log: Log,
  droppedLines: () => number = () => 0,
  readiness: Readiness = new Readiness(undefined),
): Promise<Server> {
  keepRequestsYoung()
  const accessLog = openAccessLog(settings.accessLog, log)
  const farm = await createFarm(farmOptionsOf(settings, log)).catch(error => {
    accessLog.close()
    throw error
  })
  farm.sections.add(logSection(() => droppedLines() + accessLog.dropped()))
  const notReady = () => readiness.notReady
  const auths = new SiteAuths(farm, settings)
  let admin: Admin | undefined
  let proxy: RunningProxy
  try {
    admin = await startAdmin(settings, farm, log, notReady)
    const listening = auths.rebuild(settings.sites, sites =>
      createProxy({
        host: settings.listen.host,
        port: settings.listen.port,
        sites,
        limits: settings.limits,
        trustedProxies: settings.trustedProxies,
        proxyProtocol: settings.proxyProtocol,
        healthPath: settings.healthPath,
        notReady,
        ...settings.tls,
        sessions: farm,
        places: farm.places,
        limitCounters: farm.limitCounters,
        log,
        accessLog: accessLog.target,
      }),
    )
    proxy = await listening.catch(error => {
      throw isListenError(error) ? cannotListen(settings.listen, error) : error
    })
    for (const section of proxy.sections) farm.sections.add(section)
  } catch (error) {
    await admin?.close()
    await farm.close()
    accessLog.close()
    throw error
  }
  const leave = async () => {
    await admin?.close()
    await farm.close()
    accessLog.close()
  }
  return {
    host: proxy.host,
    port: proxy.port,
    farmAddress: farm.address,
    reload(fresh) {
      auths.rebuild(fresh.sites, sites => proxy.reload({ ...reloadable(fresh), sites }))
    },
    reopenLogs: () => accessLog.reopen(),
    async drain() {
      await proxy.drain()
      await leave()
    },
    async close() {
      await proxy.close()
      await leave()
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

/** Status, metrics and revocation. Without a farm secret nothing can be changed over it. */
async function startAdmin(
  { admin, farm: { name, secret } }: ServeSettings,
  farm: Farm,
  log: Log,
  notReady: () => string | undefined,
): Promise<Admin | undefined> {
  if (admin === undefined) return undefined
  const { host, port, names } = admin
  const token = secret === undefined ? undefined : adminToken(parseSecret(secret), name)
  return await createAdmin({ farm, host, port, token, log, names, notReady }).catch(
    error => {
      throw isListenError(error) ? cannotListen(admin, error) : error
    },
  )
}

/** In a worker the primary binds for it, and Node names that instead. */
function isListenError({ syscall }: NodeJS.ErrnoException): boolean {
  return syscall === 'listen' || syscall === 'bind'
}

const adviceOn: Readonly<Record<string, string>> = {
  EACCES:
    'below port 1024 a process needs CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities) or to ' +
    'be root',
  EADDRINUSE: 'another program listens there (ss -ltnp tells which)',
  EADDRNOTAVAIL: 'this machine has no such address',
}

function cannotListen(
  { host = '*', port }: ServeSettings['listen'],
  error: NodeJS.ErrnoException,
): Error {
  const where = formatAddress({ host, port })
  const advice = adviceOn[error.code ?? '']
  const why = advice === undefined ? error.code : `${error.code}: ${advice}`
  return new Error(`can't listen on ${where}: ${why}`, { cause: error })
}
