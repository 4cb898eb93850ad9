import cluster from 'node:cluster'
import type { Server } from 'node:tls'
import type { ListenAddress } from '../address.ts'
import { type Admin, type AskedWord, createAdmin } from '../admin/admin.ts'
import type { FarmWide } from '../admin/farm-wide.ts'
import type { ProcessMeter } from '../admin/section/process.ts'
import type { Sections, Told } from '../admin/section/section.ts'
import { metricsOf } from '../admin/status.ts'
import { type AuthMiddleware, createAuth } from '../auth/auth.ts'
import type { AuthContext } from '../auth/auth-context.ts'
import type { Auths } from '../auth/auths.ts'
import type { AuthOptions } from '../auth/options.ts'
import type { HealthBoard } from '../backend/health/health-board.ts'
import type { Cache } from '../cache/cache.ts'
import { StateCache } from '../cache/state-cache.ts'
import type { Clock } from '../clock.ts'
import type { AffinityTable } from '../dispatch/affinity/affinity-table.ts'
import type { Drains } from '../dispatch/drains.ts'
import { HandfastError } from '../errors.ts'
import type { AbsentMember, Member } from '../farm/transport.ts'
import type { LimitCounters } from '../limit/limit-counters.ts'
import type { Log } from '../log.ts'
import {
  aFunction,
  aMapping,
  anyOf,
  aSwitch,
  aText,
  checkOptions,
  type OptionRule,
  type OptionRules,
  texts,
} from '../options/check-options.ts'
import {
  type AcceptedProxyProtocol,
  acceptProxyProtocol,
} from '../proxy-protocol/accept-proxy-protocol.ts'
import { type Handshake, handshakeOf } from '../resumption/handshake.ts'
import type { Resumption } from '../resumption/resumption.ts'
import type {
  ListedRevocation,
  RevocationOutcome,
  Revocations,
  RevokeOptions,
} from '../resumption/revocation/revocation.ts'
import type { RevocationTarget } from '../resumption/revocation/revocation-target.ts'
import type { AttachOptions as ResumptionOptions } from '../resumption/server/attachment.ts'
import type { FarmTicketKeys } from '../resumption/ticket/lazy-keys.ts'
import type { FarmForState } from '../state/state-farm.ts'
import type { RecordTable } from '../table/record-table.ts'
import type { FarmStats } from './farm-stats.ts'
import type { MemberTransport } from './host.ts'
import { HostAdmin } from './host-admin.ts'
import type { KnownRevocations } from './known-revocations.ts'
import type { SleepGuard } from './sleep-guard.ts'

export type { FarmStats } from './farm-stats.ts'

export interface AttachOptions extends ResumptionOptions {
  /**
   * Addresses and subnets (`10.0.0.0/8`) of balancers that speak the PROXY protocol, version 1 or
   * 2: what they open must begin with its header, and its `remoteAddress` is the client's. From
   * anybody else none is looked for. Default: nobody.
   */
  readonly proxyProtocol?: readonly string[] | undefined
}

const attachRules: OptionRules<AttachOptions> = {
  resumption: anyOf(aText, aFunction),
  policyOf: aFunction,
  policyIsWhole: aSwitch,
  proxyProtocol: texts,
}

const aPort: OptionRule = {
  expected: 'a port from 0 to 65535',
  accepts: value =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 65_535,
}

const adminRules: OptionRules<FarmAdminOptions> = {
  listen: anyOf(aPort, aMapping<ListenAddress>({ host: aText, port: aPort })),
  names: texts,
  notReady: aFunction,
  onAsked: aFunction,
}

/** What a farm is made of; see createFarm. */
export interface FarmParts {
  readonly name: string
  readonly table: RecordTable
  readonly cache: Cache
  readonly resumption: Resumption
  readonly revocations: Revocations
  readonly authContext: AuthContext
  readonly limitCounters: LimitCounters
  /** Those that `Farm.auth` made. */
  readonly auths: Auths
  readonly ticketKeys: FarmTicketKeys
  /** Where a partition ends resumption. */
  readonly sleepGuard: SleepGuard | undefined
  readonly knownRevocations: KnownRevocations
  readonly member: MemberTransport
  readonly sections: Sections
  readonly meter: ProcessMeter
  readonly places: AffinityTable
  readonly drains: Drains
  readonly healthBoard: HealthBoard
  readonly wide: FarmWide
  /** Undefined where there is no secret of the farm's to make it from. */
  readonly adminToken: string | undefined
  /** These two are undefined where the farm's secret is one that it drew for itself. */
  readonly stateKey: Buffer | undefined
  readonly takeoverKey: Buffer | undefined
  readonly log: Log
  readonly clock: Clock
}

export interface FarmAdminOptions {
  /** A port on 127.0.0.1, or with a host. 0 picks a free one. */
  readonly listen: number | ListenAddress
  /**
   * Names under which it may be called, beside addresses, `localhost`, `listen.host` and the
   * machine's. Default: no others.
   */
  readonly names?: readonly string[] | undefined
  /** Why this host wants no clients now, in words, for `/readyz`. Default: it does. */
  readonly notReady?: (() => string | undefined) | undefined
  /**
   * Called for `handfast reload`, `drain` and `upgrade`; false: not now. Default: they are refused.
   */
  readonly onAsked?: ((word: AskedWord) => boolean) | undefined
}

/** What a member needs of its farm to take over connections of others. */
export interface TakeoverRoom {
  readonly key: Buffer
  readonly cache: Cache
  readonly clock: Clock
  /** As the others know it. */
  readonly self: string
}

/** One member of a farm: the servers attached to it resume what any other member minted. */
export class Farm implements AsyncDisposable {
  /** State of one's own, on every member. */
  readonly cache: StateCache
  readonly #parts: FarmParts
  readonly #balanced = new WeakMap<Server, AcceptedProxyProtocol>()
  readonly #admins = new Set<Admin>()
  #closed: Promise<void> | undefined

  constructor(parts: FarmParts) {
    this.#parts = parts
    this.cache = new StateCache(parts.cache)
    parts.member.onCensus(() => parts.sections.read())
  }

  get name(): string {
    return this.#parts.name
  }

  /** `host:port` where other members reach this one; undefined in a farm of one. */
  get address(): string | undefined {
    return this.#parts.member.address()
  }

  /**
   * Shares the sessions of a tls, https or http2 secure server, before or after it listens.
   * Throws ERR_HANDFAST_USAGE for a server that can't be served correctly.
   */
  attach(server: Server, all: AttachOptions = {}): void {
    checkOptions('attach', all, attachRules)
    const { proxyProtocol, ...options } = all
    const { resumption, authContext } = this.#parts
    resumption.attach(server, options)
    if (proxyProtocol === undefined) return
    try {
      const { log } = authContext
      const balanced = acceptProxyProtocol(server, { from: proxyProtocol, log })
      this.#balanced.set(server, balanced)
    } catch (error) {
      resumption.detach(server)
      throw error
    }
  }

  /** Leaves the server as `attach` found it. */
  detach(server: Server): void {
    this.#balanced.get(server)?.close()
    this.#balanced.delete(server)
    this.#parts.resumption.detach(server)
  }

  /** How a connection of an attached server came about; undefined for any other socket. */
  handshake(socket: object): Handshake | undefined {
    return handshakeOf(socket)
  }

  /**
   * Middleware for Connect, Express and plain servers that knows who the user is. What a client
   * proves itself with is checked once for all members, for as long as its TLS session goes on.
   * Sets `request.auth`.
   */
  auth(options: AuthOptions): AuthMiddleware {
    const { auths, authContext } = this.#parts
    const onClose = () => auths.delete(auth)
    const auth = createAuth(options, { ...authContext, onClose })
    auths.add(auth)
    return auth.middleware()
  }

  /**
   * Ends sessions on every member: they don't resume any more, wherever they were minted.
   * Resolves when every reachable member has applied it, or after 500 ms, and says who has
   * not: a member in `missing` goes on as before until it is back. `all` makes new keys for
   * sealed tickets, too. These have no session of their own to name: a lineage ends them.
   */
  async revoke(
    target: RevocationTarget,
    options?: RevokeOptions,
  ): Promise<RevocationOutcome> {
    const { revocations, ticketKeys } = this.#parts
    const [outcome, withdrawn] = await Promise.all([
      revocations.revoke(target, options),
      'all' in target ? ticketKeys.withdrawAll() : true,
    ])
    if (withdrawn) return outcome
    return { ...outcome, everywhere: false, reachable: false }
  }

  /**
   * What has been revoked, anywhere in the farm, and still ends something; the newest first.
   * Sessions and lineages are told by fingerprints that resume nothing.
   */
  revocations(): ListedRevocation[] {
    return this.#parts.revocations.list()
  }

  /** For the takeover of hosts; undefined where the farm has no secret but its own. */
  takeoverRoom(): TakeoverRoom | undefined {
    const { takeoverKey: key, cache, clock, member } = this.#parts
    return key && { key, cache, clock, self: member.transport.members()[0]?.id ?? '' }
  }

  /** Which backend of a proxy on top of this member holds which client. */
  get places(): AffinityTable {
    return this.#parts.places
  }

  /** Backends that the operator lets run dry. */
  get drains(): Drains {
    return this.#parts.drains
  }

  /** Where proxies on top of members tell each other what their checks of backends found. */
  get healthBoard(): HealthBoard {
    return this.#parts.healthBoard
  }

  /** Where whoever serves on top of this member tells of limits that were met. */
  get limitCounters(): LimitCounters {
    return this.#parts.limitCounters
  }

  /** Members that nothing reaches now: what is revoked still goes on there. */
  absent(): AbsentMember[] {
    return this.#parts.member.transport.absent()
  }

  /** Members known now, this one first. */
  members(): Member[] {
    return this.#parts.member.transport.members()
  }

  /** What this process tells of itself, and of whoever serves on top of it. */
  stats(): FarmStats {
    return this.#parts.sections.read() as unknown as FarmStats
  }

  /** The same of all processes of this host that are one member. */
  async hostStats(): Promise<FarmStats> {
    const { sections, member } = this.#parts
    const census = (await member.census()) as readonly Told[]
    return sections.merge(census, sections.read()) as unknown as FarmStats
  }

  /**
   * Opens a port with dashboard, status, metrics and revocation; see docs/admin.md. One for all
   * processes of this host: call it in each. Rejects when the port can't be had. `close()` of the
   * farm closes it.
   */
  async admin(options: FarmAdminOptions): Promise<Admin> {
    checkOptions('admin', options, adminRules)
    const { listen, names, notReady, onAsked } = options
    if (listen === undefined)
      throw new HandfastError('ERR_HANDFAST_CONFIG', 'admin: listen is needed, a port')
    const { adminToken: token, member, log, clock } = this.#parts
    if (this.#closed !== undefined)
      throw new HandfastError('ERR_HANDFAST_CLOSED', 'the farm is closed')
    const { host, port } = typeof listen === 'number' ? { port: listen } : listen
    const all = { farm: this, host, port, names, notReady, onAsked, token, log }
    const isShared = member.isShared && !cluster.isWorker && port !== 0
    const admin = isShared ? await HostAdmin.open(all, clock) : await createAdmin(all)
    this.#admins.add(admin)
    return admin
  }

  /** The figures of this host for Prometheus, for an endpoint of one's own. */
  metrics(): Promise<string> {
    return metricsOf(this)
  }

  /**
   * What the member tells of itself, in parts, and where whoever serves on top of it adds some.
   * @internal
   */
  get sections(): Sections {
    return this.#parts.sections
  }

  /**
   * What all members have told of themselves.
   * @internal
   */
  get wide(): FarmWide {
    return this.#parts.wide
  }

  /**
   * What application state needs of a farm; see createState.
   * @internal
   */
  get forState(): FarmForState {
    const { cache, authContext, log, stateKey: key } = this.#parts
    return { cache, log, now: () => authContext.clock.now(), key }
  }

  /**
   * Detaches every server, takes leave of the farm and frees the table. A server that goes on
   * reads PROXY headers as before, for its balancers go on to send them.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    const { resumption, ticketKeys, cache, table, auths } = this.#parts
    await Promise.all([...this.#admins].map(admin => admin.close()))
    resumption.close()
    ticketKeys.close()
    this.#parts.revocations.close()
    this.#parts.sleepGuard?.close()
    this.#parts.knownRevocations.close()
    this.#parts.meter.close()
    this.#parts.wide.close()
    await auths.close()
    await cache.close()
    table.close()
  }
}
