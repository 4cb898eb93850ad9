import type { ListenAddress } from '../address.ts'
import { addressList } from '../address-list.ts'
import type { Admin, AskedWord } from '../admin/admin.ts'
import { logSection } from '../admin/section/log.ts'
import { takeoverSection } from '../admin/section/takeover.ts'
import { explainListening } from '../listen-error.ts'
import type { Log } from '../log.ts'
import { createFarm } from '../member/create-farm.ts'
import type { Farm, FarmAdminOptions } from '../member/farm.ts'
import { createAccessLog } from '../proxy/access-log.ts'
import type { RunningProxy } from '../proxy/options.ts'
import { createProxy } from '../proxy/proxy.ts'
import { RedirectListener } from '../proxy/redirect-listener.ts'
import type { GuardianState } from '../takeover/guardian/guardian-state.ts'
import type { SystemHandle } from '../takeover/guardian/system-handle.ts'
import { detectNative } from '../takeover/native/detect.ts'
import type { ProtectionOptions } from '../takeover/protection-options.ts'
import { TakeoverCounters } from '../takeover/takeover-counters.ts'
import { type AccessLogFile, openAccessLog } from './access-log-file.ts'
import { farmOptionsOf } from './farm-options.ts'
import { hostMember } from './host-member.ts'
import type { ServerStats } from './messages.ts'
import { Readiness } from './process/readiness.ts'
import type { WatchdogProgram } from './process/watchdog.ts'
import { keepRequestsYoung } from './process/young-heap.ts'
import { reloadable, type ServeSettings } from './settings.ts'
import { SiteAuths } from './site-auths.ts'

/** A farm member and the proxy on top of it, in this process. */
export interface Server {
  readonly host: string
  readonly port: number
  readonly farmAddress: string | undefined
  reload(settings: ServeSettings): void
  /** What rotates logs has moved the files. */
  reopenLogs(): void
  /**
   * Gives addresses and connections to other hosts, as far as that can be. `patience`: ms for what
   * can't be moved to end.
   */
  move(patience: number): Promise<void>
  /** Lets open requests finish within the limit, then leaves the farm. */
  drain(): Promise<void>
  close(): Promise<void>
  stats(): ServerStats
  /** See RunningProxy. */
  leave(held: ReadonlySet<string>): void
  adopt(handle: SystemHandle, checkpoint: Buffer): boolean
}

/** Who keeps the connections of this process, or why nobody does. */
export interface ServerGuard {
  readonly state: GuardianState
  readonly protection?: ProtectionOptions | undefined
  /** Of a process that has nobody above it. */
  readonly watchdog?: WatchdogProgram | undefined
}

const unguarded: ServerGuard = { state: 'off' }

/** Joins the farm first, so that the first client already finds every session there is. */
export async function startServer(
  settings: ServeSettings,
  log: Log,
  droppedLines: () => number = () => 0,
  readiness: Readiness = new Readiness(undefined),
  onAsked?: (word: AskedWord) => boolean,
  { state, protection, watchdog }: ServerGuard = unguarded,
): Promise<Server> {
  keepRequestsYoung()
  const opened: { close(): void | Promise<void> }[] = []
  const keep = <T extends { close(): void | Promise<void> }>(one: T): T => {
    opened.unshift(one)
    return one
  }
  const closeAll = async () => {
    for (const one of opened) await one.close()
  }
  try {
    const accessLog = keep(openAccessLog(settings.accessLog, log))
    const farm = keep(await createFarm(farmOptionsOf(settings, log)))
    farm.sections.add(logSection(() => droppedLines() + accessLog.dropped()))
    const notReady = () => readiness.notReady
    const auths = new SiteAuths(farm, settings)
    const admin = await startAdmin(settings, farm, { notReady, onAsked })
    if (admin !== undefined) keep(admin)
    const host = keep(
      await hostMember(settings.takeover, farm, log, detectNative, watchdog),
    )
    const kept = protection ?? host.protection
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
        drains: farm.drains,
        healthBoard: farm.healthBoard,
        limitCounters: farm.limitCounters,
        log,
        accessLog: accessLog.target,
        protection: kept,
      }),
    )
    const proxy = keep(await listening.catch(explain(settings.listen)))
    for (const section of proxy.sections) farm.sections.add(section)
    const counters = kept?.counters ?? new TakeoverCounters()
    const now = { protected: () => proxy.protectedNow(), host: () => host.read() }
    farm.sections.add(takeoverSection(state, counters, now))
    host.start(proxy)
    const redirect = await startRedirect(settings, proxy, farm, accessLog, log)
    if (redirect !== undefined) keep(redirect)
    return {
      host: proxy.host,
      port: proxy.port,
      farmAddress: farm.address,
      reload(fresh) {
        auths.rebuild(fresh.sites, sites => proxy.reload({ ...reloadable(fresh), sites }))
        redirect?.setProxyProtocol(fresh.proxyProtocol ?? [])
      },
      reopenLogs: () => accessLog.reopen(),
      move: patience => host.leave(patience),
      async drain() {
        await Promise.all([proxy.drain(), redirect?.close()])
        await closeAll()
      },
      close: closeAll,
      leave: held => proxy.leave(held),
      adopt: (handle, checkpoint) => proxy.adopt(handle, checkpoint),
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
  } catch (error) {
    await closeAll()
    throw error
  }
}

/** Status, metrics and revocation. Without a farm secret nothing can be changed over it. */
async function startAdmin(
  { admin }: ServeSettings,
  farm: Farm,
  options: Pick<FarmAdminOptions, 'notReady' | 'onAsked'>,
): Promise<Admin | undefined> {
  if (admin === undefined) return undefined
  const { names, ...listen } = admin
  return await farm.admin({ listen, names, ...options })
}

async function startRedirect(
  { redirect, proxyProtocol, trustedProxies }: ServeSettings,
  proxy: RunningProxy,
  farm: Farm,
  { target }: AccessLogFile,
  log: Log,
): Promise<RedirectListener | undefined> {
  if (redirect === undefined) return undefined
  const trusts = addressList(trustedProxies, 'trustedProxies')
  const listener = new RedirectListener({
    ...redirect,
    httpsPort: redirect.httpsPort ?? proxy.port,
    serves: hostname => proxy.serves(hostname),
    proxyProtocol,
    limitCounters: farm.limitCounters,
    accessLog: createAccessLog(target, log, trusts),
    log,
  })
  await listener.listen().catch(explain(redirect))
  log.info({ host: redirect.host, port: listener.port }, 'redirect listens')
  return listener
}

function explain(at: ListenAddress): (error: NodeJS.ErrnoException) => never {
  return error => {
    throw explainListening(at, error)
  }
}
