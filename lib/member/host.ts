import { randomBytes } from 'node:crypto'
import { parseAddress } from '../address.ts'
import type { Cache } from '../cache/cache.ts'
import { peersTier } from '../cache/peers-tier.ts'
import { Tiers } from '../cache/tiers.ts'
import type { Clock } from '../clock.ts'
import { farmKey, parseSecret } from '../farm/secret.ts'
import type { Replica } from '../farm/transport.ts'
import type { Log } from '../log.ts'
import type { HybridClock } from '../record/hybrid-clock.ts'
import { HostShelf } from '../repository/host-shelf.ts'
import { HostSocket } from '../repository/host-socket.ts'
import { HostTransport } from '../repository/host-transport.ts'
import type { KeeperState } from '../repository/state.ts'
import type { RecordTable } from '../table/record-table.ts'
import type { ShelvedTable } from '../table/shelf/shelved-table.ts'
import { beyondHost } from './beyond-host.ts'
import { clusterMeeting, clusterPlace } from './cluster-folder.ts'
import type { FarmTransport } from './farm-transport.ts'
import type { FarmNumbers, FarmOptions } from './options.ts'

/** The meeting point of processes that are one member of the farm. */
export interface Host {
  readonly socket: HostSocket
  /** The farm's, or where it has none one that the processes of the host share. */
  readonly secret: string | Buffer
}

/**
 * Undefined for a process that is a member by itself. Workers of node:cluster meet without being
 * told: they serve the same port, and Node alone would let them share their ticket keys. Where
 * they can't, the log says so, or the process does. Throws ERR_HANDFAST_CONFIG for a folder that was
 * given and can't be.
 */
export function hostOf(options: FarmOptions, log: Log): Host | undefined {
  const { host, secret } = options
  if (host === false) return undefined
  try {
    const place = host === undefined ? clusterPlace() : undefined
    if (place !== undefined) return clusterMeeting(options, place)
    if (host === undefined) return undefined
    const socket = new HostSocket(host)
    return { socket, secret: secret ?? socket.key() }
  } catch (error) {
    if (host !== undefined) throw error
    const reason = String(error)
    const what = 'workers of this host do not share sessions'
    log.warn({ reason }, what)
    // They are worse off than without a farm: not to be found out by chance.
    if (options.log === undefined) {
      process.emitWarning(`${what}: ${reason}`, { code: 'HANDFAST_ALONE' })
    }
    return undefined
  }
}

export interface MemberParts {
  /** Undefined for a process that is a member by itself. */
  readonly host: Host | undefined
  readonly options: FarmOptions
  readonly numbers: FarmNumbers
  readonly records: RecordTable
  /** The same with the shelf. */
  readonly shelved: ShelvedTable
  readonly cache: Cache
  readonly versions: HybridClock
  readonly clock: Clock
  readonly log: Log
}

export interface MemberTransport extends FarmTransport {
  /** That are this one member. */
  processes(): number
  /** There may be several. */
  readonly isShared: boolean
  /** Whether this process speaks for all of them. */
  speaks(): boolean
  /** Figures of the tiers, where this process has them. */
  tierStats(): ReturnType<Tiers['stats']>
  /** What they say of themselves. */
  census(): Promise<readonly object[]>
  /** From now on this process says what `figures` answers. */
  onCensus(figures: () => object): void
}

/**
 * The way to the processes of this host, and through their hub to other hosts and tiers: from
 * now on the cache has them.
 */
export function memberTransport(parts: MemberParts): MemberTransport {
  const { host, options, numbers, cache, versions, clock, log } = parts
  let figures: () => object = () => ({})
  const onCensus = (own: () => object) => {
    figures = own
  }
  if (host === undefined) {
    const alone = {
      isShared: false,
      processes: () => 1,
      speaks: () => true,
      tierStats: () => cache.tiers.stats(),
      census: async () => [figures()],
      onCensus,
    }
    const beyond = beyondHost(
      { options, numbers, replica: cache, versions, clock },
      cache.tiers,
    )
    return { ...beyond, ...alone }
  }
  const { name = 'handfast', memberId = randomBytes(8).toString('hex') } = options
  const { records, shelved } = parts
  const transport = new HostTransport({
    socket: host.socket,
    key: farmKey(parseSecret(host.secret), name, 'host'),
    clock,
    versions,
    log,
    replica: {
      apply: record => cache.take(record),
      read: (table, key) => cache.read(table, key),
      scan: (cursor, limit) => cache.scan(cursor, limit),
    },
    scanShared: (cursor, limit) => cache.scan(cursor, limit, false, records),
    shelf: new HostShelf(clock, log, numbers.memory, shelf => shelved.use(shelf)),
    member: memberId,
    makeOuter: (replica, memberId, before, serves) => {
      const outer = { ...options, ...asBefore(options, before), memberId }
      const tiers = new Tiers({ clock, apply: record => replica.apply(record) })
      const judged: Replica = {
        ...replica,
        apply: record => versions.accepts(record.version) && replica.apply(record),
      }
      const beyond = { options: outer, numbers, replica: judged, versions, clock, serves }
      return beyondHost(beyond, tiers)
    },
    lookupBudget: numbers.lookupBudget,
    joinTimeout: numbers.joinTimeout,
    figures: () => figures(),
  })
  cache.tiers.extend(peersTier(transport))
  return {
    transport,
    address: () => transport.address,
    isShared: true,
    processes: () => transport.processes,
    speaks: () => transport.isHub,
    tierStats: () => transport.tierStats(),
    census: () => transport.census(),
    onCensus,
  }
}

/** A new hub is found where the one before it was, and knows whom that one knew. */
function asBefore(options: FarmOptions, before: KeeperState): Partial<FarmOptions> {
  if (before.address === undefined) return {}
  const { port } = parseAddress(before.address)
  const known = before.members.flatMap(({ self, address }) =>
    self ? [] : (address ?? []),
  )
  return {
    members: [...new Set([...(options.members ?? []), ...known])],
    listen: { ...options.listen, port },
  }
}
