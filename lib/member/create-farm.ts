import { createHash, randomBytes, randomInt } from 'node:crypto'
import type { Auth, AuthContext } from '../auth/auth.ts'
import { Cache } from '../cache/cache.ts'
import { type Clock, systemClock } from '../clock.ts'
import { formatAddress } from '../farm/address.ts'
import { farmKey, parseSecret } from '../farm/secret.ts'
import { StreamTransport } from '../farm/stream/stream-transport.ts'
import { noTransport, type Replica, type Transport } from '../farm/transport.ts'
import { silentLog } from '../log.ts'
import { HybridClock } from '../record/hybrid-clock.ts'
import { tables } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import { HandshakeCounters } from '../resumption/counters.ts'
import { OpenConnections } from '../resumption/open-connections.ts'
import { Resumption } from '../resumption/resumption.ts'
import { Revocations } from '../resumption/revocation.ts'
import { SessionStore } from '../resumption/session-store.ts'
import { ticketBoard } from '../resumption/ticket-board.ts'
import { OffHeapTable } from '../table/off-heap-table.ts'
import type { RecordTable } from '../table/record-table.ts'
import { Farm } from './farm.ts'
import { checkFarmOptions, type FarmOptions, farmNumbers } from './options.ts'
import { FarmTicketKeys } from './ticket-keys.ts'

/** Where members listen, and are looked for, when nothing else is said. */
export const defaultFarmPort = 7443

/**
 * Makes this process a member of a farm. Resolves when it holds what the farm holds, so that a
 * server attached afterwards resumes every session from its first connection on.
 *
 * ```ts
 * const farm = await createFarm({ secret, members: ['10.0.0.1', '10.0.0.2'] })
 * farm.attach(server)
 * ```
 *
 * Without `listen` and `members` it is a farm of one, which needs no secret. Rejects with
 * ERR_HANDFAST_CONFIG for a bad option and ERR_HANDFAST_JOIN when the farm refuses it.
 */
export async function createFarm(options: FarmOptions = {}): Promise<Farm> {
  checkFarmOptions(options)
  const numbers = farmNumbers(options)
  const { lineageTimeout } = numbers
  const { name = 'handfast', clock = systemClock, log = silentLog } = options
  const table = new OffHeapTable({ clock, maxBytes: numbers.memory })
  const versions = new HybridClock(clock, randomInt(0x10000))
  const stream = streamTransport(options, table, record => take(record), clock)
  const transport: Transport = stream ?? noTransport
  const cache = new Cache({ table, transport, versions, clock })
  const auths = new Set<Auth>()
  const subjectOf = (lineage: Buffer) => firstOf(auths, auth => auth.subjectOf(lineage))
  const revocations = new Revocations({
    cache,
    clock,
    versions,
    lineageTimeout,
    subjectOf,
  })
  const open = new OpenConnections(subjectOf)
  revocations.onRevoke(revocation => open.close(revocation))
  /** What another member wrote. */
  const take = (record: CacheRecord): boolean => {
    const changed = cache.apply(record)
    if (changed && record.table === tables.revocation) revocations.notice(record.value)
    return changed
  }
  try {
    await transport.start()
  } catch (error) {
    await transport.close()
    throw error
  }
  const ticketKeys = new FarmTicketKeys({
    board: ticketBoard(cache, transport),
    secret: secretKey(options, name, 'tickets'),
    farmName: name,
    clock,
    log,
  })
  const counters = new HandshakeCounters()
  const resumption = new Resumption({
    store: new SessionStore(cache),
    counters,
    open,
    ticketKeys,
    clock,
    log,
    sessionIdContext: sessionIdContext(name),
    isCut:
      options.onPartition === 'full-handshake' ? () => isCut(transport) : () => false,
    isRevoked: (record, id) => revocations.isRevoked(record, id),
    ...numbers,
  })
  const authContext: AuthContext = {
    cache,
    // A log-in right after a revocation must not seem older to a clock that is behind.
    clock: {
      now: () => versions.now(),
      monotonic: () => clock.monotonic(),
      after: (ms, fn) => clock.after(ms, fn),
    },
    log,
    key: secretKey(options, name, 'auth'),
    lineageTimeout,
    isRevoked: ({ subject, at }, lineage) => revocations.voidsLogin(subject, at, lineage),
  }
  const address = stream?.address && formatAddress(stream.address)
  return new Farm({
    name,
    table,
    transport,
    cache,
    resumption,
    revocations,
    counters,
    authContext,
    auths,
    ticketKeys,
    address,
  })
}

function streamTransport(
  options: FarmOptions,
  table: RecordTable,
  apply: Replica['apply'],
  clock: Clock,
): StreamTransport | undefined {
  const { listen, members, secret, log = silentLog } = options
  if (secret === undefined || (listen === undefined && !members?.length)) return undefined
  return new StreamTransport({
    replica: replicaOf(table, apply),
    clock,
    log,
    farmName: options.name ?? 'handfast',
    secret,
    listen: listen ?? { port: defaultFarmPort },
    advertise: options.advertise,
    members,
    memberId: options.memberId,
    joinTimeout: options.joinTimeout,
  })
}

function replicaOf(table: RecordTable, apply: Replica['apply']): Replica {
  return {
    apply,
    read: (id, key) => table.read(id, key),
    purge: id => table.purge(id),
    scan: (cursor, limit) => table.scan(cursor, limit),
  }
}

/** A farm of one may go without a secret: nobody else needs its keys. */
function secretKey(options: FarmOptions, farmName: string, purpose: string): Buffer {
  const { secret = randomBytes(32) } = options
  return farmKey(parseSecret(secret), farmName, purpose)
}

function firstOf<Item, Found>(
  items: Iterable<Item>,
  find: (item: Item) => Found | undefined,
): Found | undefined {
  for (const item of items) {
    const found = find(item)
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * A member that we know of is silent without having taken its leave, or hears us while we do
 * not hear it: over a transport of links, what others revoke comes by those that lead here.
 */
function isCut(transport: Transport): boolean {
  const others = transport
    .members()
    .filter(({ self, state }) => !self && state !== 'left')
  if (others.some(({ state }) => state === 'suspect' || state === 'gone')) return true
  const { linksIn = others.length } = transport.stats()
  return linksIn < others.length
}

/** 32 characters, the most that OpenSSL takes; the farm's name is not for the clients. */
function sessionIdContext(farmName: string): string {
  return createHash('sha256').update(`handfast\0${farmName}`).digest('hex').slice(0, 32)
}
