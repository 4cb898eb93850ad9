import cluster from 'node:cluster'
import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseAddress } from '../address.ts'
import type { Cache } from '../cache/cache.ts'
import type { Clock } from '../clock.ts'
import { farmKey, parseSecret } from '../farm/secret.ts'
import type { Log } from '../log.ts'
import type { HybridClock } from '../record/hybrid-clock.ts'
import { HostShelf } from '../repository/host-shelf.ts'
import { HostSocket } from '../repository/host-socket.ts'
import { HostTransport } from '../repository/host-transport.ts'
import { isAlive } from '../repository/process.ts'
import type { KeeperState } from '../repository/state.ts'
import type { RecordTable } from '../table/record-table.ts'
import type { ShelvedTable } from '../table/shelved-table.ts'
import { type FarmTransport, farmTransport } from './farm-transport.ts'
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
 * they can't, the log says so. Throws ERR_HANDFAST_CONFIG for a folder that was given and can't be.
 */
export function hostOf(options: FarmOptions, log: Log): Host | undefined {
  const { host, secret } = options
  if (host === false) return undefined
  try {
    const folder = host ?? clusterFolder(options)
    if (folder === undefined) return undefined
    const socket = new HostSocket(folder)
    return { socket, secret: secret ?? socket.key() }
  } catch (error) {
    if (host !== undefined) throw error
    log.warn({ reason: String(error) }, 'workers of this host do not share sessions')
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
  /** What they say of themselves. */
  census(): Promise<readonly object[]>
  /** From now on this process says what `figures` answers. */
  onCensus(figures: () => object): void
}

/** The way to the processes of this host, and through their hub to other hosts. */
export function memberTransport(parts: MemberParts): MemberTransport {
  const { host, options, numbers, cache, versions, clock, log } = parts
  let figures: () => object = () => ({})
  const onCensus = (own: () => object) => {
    figures = own
  }
  if (host === undefined) {
    const alone = { processes: () => 1, census: async () => [figures()], onCensus }
    return { ...farmTransport(options, cache, versions, clock), ...alone }
  }
  const { name = 'handfast', memberId = randomBytes(8).toString('hex') } = options
  const { records, shelved } = parts
  const transport = new HostTransport({
    socket: host.socket,
    key: farmKey(parseSecret(host.secret), name, 'host'),
    clock,
    log,
    replica: cache,
    scanShared: (cursor, limit) => cache.scan(cursor, limit, records),
    shelf: new HostShelf(clock, log, numbers.memory, shelf => shelved.use(shelf)),
    member: memberId,
    makeOuter: (replica, memberId, before) => {
      const outer = { ...options, ...asBefore(options, before), memberId }
      return farmTransport(outer, replica, versions, clock)
    },
    lookupBudget: numbers.lookupBudget,
    joinTimeout: numbers.joinTimeout,
    figures: () => figures(),
  })
  return {
    transport,
    address: () => transport.address,
    processes: () => transport.processes,
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

/** The primary's pid tells one cluster from another. */
function clusterFolder({ name, listen }: FarmOptions): string | undefined {
  const uid = process.getuid?.()
  if (!cluster.isWorker || uid === undefined) return undefined
  const base = process.env['XDG_RUNTIME_DIR'] || tmpdir()
  // Of this machine: another container may see the folders, and not the processes.
  const machine = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
  const ours = `handfast-${uid}-${machine}-`
  removeDead(base, ours)
  const farm = createHash('sha256')
    .update(JSON.stringify([name, listen]))
    .digest('hex')
  // Short: a socket's path has room for a hundred characters.
  return join(base, `${ours}${process.ppid}-${farm.slice(0, 12)}`)
}

/** The folders of clusters that are over. */
function removeDead(base: string, ours: string): void {
  for (const name of readdirSync(base)) {
    const pid = name.startsWith(ours) ? Number.parseInt(name.slice(ours.length), 10) : 0
    if (pid > 0 && !isAlive(pid))
      rmSync(join(base, name), { recursive: true, force: true })
  }
}
