import { createHash, randomBytes, randomInt } from 'node:crypto'
import { adminToken } from '../admin/admin-token.ts'
import { FarmWide } from '../admin/farm-wide.ts'
import { ProcessMeter } from '../admin/section/process.ts'
import type { Told } from '../admin/section/section.ts'
import type { AuthContext } from '../auth/auth-context.ts'
import { AuthCounters } from '../auth/auth-counters.ts'
import { Auths } from '../auth/auths.ts'
import { type IsRevoked, OpenExchanges } from '../auth/open-exchanges.ts'
import { FarmHealthBoard } from '../backend/health/health-board.ts'
import { Cache } from '../cache/cache.ts'
import { systemClock } from '../clock.ts'
import { FarmAffinity } from '../dispatch/affinity/affinity-table.ts'
import { Drains } from '../dispatch/drains.ts'
import { farmKey, parseSecret } from '../farm/secret.ts'
import { keepProcess } from '../keep-process.ts'
import { LimitCounters } from '../limit/limit-counters.ts'
import { silentLog } from '../log.ts'
import { checkOptions } from '../options/check-options.ts'
import { HybridClock } from '../record/hybrid-clock.ts'
import { tables } from '../record/key.ts'
import { HandshakeCounters } from '../resumption/counters.ts'
import { Resumption } from '../resumption/resumption.ts'
import { Revocations } from '../resumption/revocation/revocation.ts'
import { OpenConnections } from '../resumption/server/open-connections.ts'
import { SessionStore } from '../resumption/session/session-store.ts'
import { FarmTicketKeys } from '../resumption/ticket/lazy-keys.ts'
import { ticketBoard } from '../resumption/ticket/ticket-board.ts'
import { timesFor } from '../resumption/ticket/ticket-schedule.ts'
import { OffHeapTable } from '../table/off-heap-table.ts'
import { ShelvedTable } from '../table/shelf/shelved-table.ts'
import { Farm, type FarmParts } from './farm.ts'
import { farmSections } from './farm-sections.ts'
import { hostOf, memberTransport } from './host.ts'
import { KnownRevocations } from './known-revocations.ts'
import { mintRoom } from './mint-room.ts'
import { farmRules } from './option-rules.ts'
import { checkFarmOptions, type FarmOptions, isUnlinked } from './options.ts'
import { SleepGuard } from './sleep-guard.ts'

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
  return new Farm(await joinFarm(options))
}

/** The parts of a member that has joined; whoever holds them ends them with a Farm. */
export async function joinFarm(options: FarmOptions = {}): Promise<FarmParts> {
  checkOptions('createFarm', options, farmRules)
  const numbers = checkFarmOptions(options)
  const { lineageTimeout } = numbers
  const { name = 'handfast', clock = systemClock, log = silentLog } = options

  // Where records are: in the own table, then with the other members. Its clock is the farm's:
  // what happens after a revocation must not seem older where the own clock is behind.
  const host = hostOf(options, log)
  const records = new OffHeapTable({ clock, maxBytes: numbers.memory })
  const shelved = new ShelvedTable(records, clock)
  const table = host === undefined ? records : shelved
  const versions = new HybridClock(clock, randomInt(0x10000))
  const cache = new Cache({ table, versions, clock })
  const own = { clock, log, versions, cache, records, shelved }
  const member = memberTransport({ host, options, numbers, ...own })
  const { transport, processes } = member
  const { isShared } = cache.tiers
  /** Nobody else can have what is written here. */
  const isAlone = host === undefined && isUnlinked(options) && !isShared
  /** A farm of one process may go without: nobody else needs its keys. */
  const secret = parseSecret(host?.secret ?? options.secret ?? randomBytes(32))

  // What ends what was let in.
  const auths = new Auths()
  const { subjectOf } = auths
  const revocations = new Revocations({
    cache,
    clock,
    versions,
    lineageTimeout,
    subjectOf,
  })
  const open = new OpenConnections(subjectOf)
  const exchanges = new OpenExchanges()
  const isRevoked: IsRevoked = ({ subject, at }, lineage) =>
    revocations.voidsLogin(subject, at, lineage)
  revocations.onRevoke(revocation => exchanges.revoke(revocation, isRevoked))
  revocations.onRevoke(revocation => open.close(revocation))
  cache.watch(tables.auth, ({ key, tombstone }) => {
    if (tombstone) exchanges.loggedOut(key)
  })
  const ticketKeys = new FarmTicketKeys({
    board: ticketBoard(cache),
    secret: farmKey(secret, name, 'tickets'),
    farmName: name,
    clock,
    log,
    // Nobody else is to have a key before it seals.
    times: {
      ...timesFor(numbers.sessionTimeout),
      ...(isAlone && { settle: 0 }),
    },
  })

  const drains = new Drains(cache)
  const places = new FarmAffinity(cache, farmKey(secret, name, 'affinity'))

  await keepProcess(cache.open())

  // What serves.
  const counters = new HandshakeCounters()
  const limitCounters = new LimitCounters(clock, log)
  const sleepGuard =
    options.onPartition === 'full-handshake' ? new SleepGuard(clock) : undefined
  // A session is in the tables of its owners and where it was made, or in all.
  const sharers = () => {
    const members = Math.max(1, transport.members().length)
    const isShared = transport.stats()['partitioned'] === 1
    return (isShared ? Math.min(members, numbers.copies + 1) : members) * processes()
  }
  const startedAt = versions.now()
  const knownRevocations = new KnownRevocations(
    {
      members: () => transport.members(),
      isCurrent: () => cache.isCurrent(),
      watch: changed => transport.watch(changed),
    },
    host !== undefined || isShared || cache.tiers.withholds,
  )
  const resumption = new Resumption({
    store: new SessionStore(cache),
    counters,
    open,
    ticketKeys,
    clock: versions,
    log,
    sessionIdContext: sessionIdContext(name),
    isCut: sleepGuard ? () => sleepGuard.hasSlept || !cache.isCurrent() : () => false,
    limitCounters,
    mintRoom: mintRoom(table, sharers, clock),
    isRevoked: (session, id) => revocations.isRevoked(session, id),
    isTicketRevoked: (chain, certificate) =>
      revocations.isTicketRevoked(chain, certificate),
    knowsRevocations: () => knownRevocations.areAll,
    mayBeUnheard: ({ originalAt }) => originalAt < startedAt && !knownRevocations.areAll,
    ...numbers,
  })
  const authCounters = new AuthCounters()
  const authContext: AuthContext = {
    cache,
    clock: versions,
    wall: () => clock.now(),
    log,
    key: farmKey(secret, name, 'auth'),
    lineageTimeout,
    counters: authCounters,
    limitCounters,
    isRevoked,
    exchanges,
  }
  const meter = new ProcessMeter(clock)
  const sections = farmSections({
    counters,
    authCounters,
    limitCounters,
    table,
    revocations,
    meter,
    transport,
    tiers: () => member.tierStats(),
  })
  const wide = new FarmWide({
    cache,
    clock,
    id: () => transport.members().find(({ self }) => self)?.id ?? 'this one',
    speaks: member.speaks,
    figures: async () => {
      const census = (await member.census()) as readonly Told[]
      return sections.wide(sections.merge(census, sections.read()))
    },
  })
  return {
    name,
    table,
    cache,
    resumption,
    revocations,
    authContext,
    limitCounters,
    auths,
    ticketKeys,
    sleepGuard,
    knownRevocations,
    member,
    meter,
    places,
    drains,
    sections,
    wide,
    adminToken:
      options.secret === undefined
        ? undefined
        : adminToken(parseSecret(options.secret), name),
    stateKey: options.secret === undefined ? undefined : farmKey(secret, name, 'state'),
    takeoverKey:
      options.secret === undefined ? undefined : farmKey(secret, name, 'takeover'),
    log,
    clock,
    healthBoard: new FarmHealthBoard(cache, () => transport.members()[0]?.id ?? name),
  }
}

/** 32 characters, the most that OpenSSL takes; the farm's name is not for the clients. */
function sessionIdContext(farmName: string): string {
  return createHash('sha256').update(`handfast\0${farmName}`).digest('hex').slice(0, 32)
}
