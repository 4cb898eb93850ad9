import type { Server } from 'node:net'
import type { Tiers } from '../cache/tiers.ts'
import type { Clock, Timer } from '../clock.ts'
import type {
  AbsentMember,
  Member,
  Replica,
  Transport,
  WriteLevel,
} from '../farm/transport.ts'
import type { Log } from '../log.ts'
import type { HybridClock } from '../record/hybrid-clock.ts'
import type { CacheRecord } from '../record/record.ts'
import type { HostShelf } from './host-shelf.ts'
import { Keeper } from './keeper.ts'
import type { KeeperState } from './state.ts'

/** A farm that can't be joined is tried again after so long, ms. */
const outerPause = 1_000

/** What lies beyond a host. */
export interface Outer {
  readonly transport: Transport
  /** The same as a tier, and those behind it. What they find is applied. */
  readonly tiers: Tiers
  /** Where it listens for other members, once started. */
  address(): string | undefined
}

export interface HubParts {
  readonly key: Buffer
  readonly clock: Clock
  /** The farm's time, as this process knows it. */
  readonly versions: HybridClock
  readonly log: Log
  /** Of this process; what it is told was accepted by this host, or it is told by `makeOuter`. */
  readonly replica: Replica
  /** A walk over what every process of the host holds; see RecordTable.scan. */
  readonly scanShared: Replica['scan']
  readonly shelf: HostShelf
  /**
   * The way to other hosts, for the hub alone. `before`: what the hub before it said last; `serves`:
   * there may be processes that served beside that one.
   */
  makeOuter(replica: Replica, member: string, before: KeeperState, serves: boolean): Outer
  /** See makeOuter. */
  readonly serves: boolean
  /** Longest wait for other members when a process asks, ms. */
  readonly lookupBudget: number
  figures(): object
  /** See Transport.watch. */
  changed(): void
}

/** The part of the process that is the hub of its host. */
export class Hub {
  readonly #parts: HubParts
  readonly #member: string
  readonly #before: KeeperState
  readonly #server: Server
  readonly keeper: Keeper
  outer: Outer
  #isStarted = false
  #closed = false

  constructor(parts: HubParts, member: string, before: KeeperState, server: Server) {
    this.#parts = parts
    this.#member = member
    this.#before = before
    this.#server = server
    this.outer = this.#makeOuter()
    const { clock, log, key, replica, scanShared, shelf, lookupBudget } = parts
    this.keeper = new Keeper({
      clock,
      log,
      key,
      replica: { ...bound(replica), scan: scanShared },
      member,
      place: () => shelf.place,
      ring: (own, taken) => shelf.ringFor(own, taken),
      publish: (record, level, budget) => this.outer.tiers.put(record, level, budget),
      fetch: (table, recordKey) => this.outer.tiers.get(table, recordKey, lookupBudget),
      before: before.pids,
      state: (processes, pids) => ({ ...this.state(), processes, pids }),
      heard: now => parts.versions.followHost(now),
      figures: () => parts.figures(),
    })
    server.on('connection', stream => this.keeper.accept(stream))
    // Running out of descriptors ends neither the listener nor the process.
    server.on('error', error =>
      log.error({ reason: String(error) }, 'the socket of the host failed'),
    )
  }

  async start(): Promise<void> {
    await this.#startOuter()
    this.keeper.open()
  }

  /** Of a host that serves already: it goes on, and tries until the farm can be joined. */
  async startInTime(): Promise<void> {
    const { clock, log } = this.#parts
    this.keeper.open()
    while (!this.#closed && !this.#isStarted) {
      try {
        await this.#startOuter()
      } catch (error) {
        log.error({ reason: String(error) }, 'the farm can not be joined')
        await this.outer.tiers.close()
        await new Promise<void>(resolve => clock.after(outerPause, resolve))
        this.outer = this.#makeOuter()
      }
    }
  }

  async publish(
    record: CacheRecord,
    level: WriteLevel,
    budget: number,
  ): Promise<boolean> {
    const told = this.keeper.tell(record)
    const beyond = this.outer.tiers.put(record, level, budget)
    if (told === true || level !== 'all') return await beyond
    const { clock } = this.#parts
    let timer: Timer | undefined
    const late = new Promise<boolean>(resolve => {
      timer = clock.after(budget, () => resolve(false))
    })
    const reached = await Promise.race([late, told])
    timer?.cancel()
    return (await beyond) && reached
  }

  absent(): AbsentMember[] {
    return [...this.outer.tiers.absent(), ...this.keeper.absent()]
  }

  isCurrent(): boolean {
    return this.#isStarted && this.outer.tiers.isCurrent()
  }

  state(): KeeperState {
    const { transport, tiers } = this.outer
    const members = transport.members()
    const others = members.some(({ self, state }) => !self && isThere[state])
    return {
      members,
      absent: this.absent(),
      isCurrent: this.isCurrent(),
      isAlone:
        this.#isStarted && !others && tiers.isLast && transport.absent().length === 0,
      processes: this.keeper.users.size + 1,
      pids: [],
      stats: transport.stats(),
      address: this.outer.address(),
      now: this.#parts.versions.now(),
    }
  }

  /** First the way out, so that whoever is the hub next finds the farm's port free. */
  async close(): Promise<void> {
    this.#closed = true
    await this.outer.tiers.close()
    this.keeper.close()
    await new Promise<void>(resolve => this.#server.close(() => resolve()))
  }

  async #startOuter(): Promise<void> {
    await this.outer.tiers.watch()
    this.#isStarted = true
    this.#parts.changed()
  }

  /** What other hosts write is told to every process, before they are told that it is here. */
  #makeOuter(): Outer {
    const { replica, makeOuter, serves, changed } = this.#parts
    const told: Replica = {
      ...bound(replica),
      apply: record => {
        const changed = replica.apply(record)
        if (changed) void this.keeper.tell(record)
        return changed
      },
      isSettled: () => this.keeper.isSettled,
    }
    const outer = makeOuter(told, this.#member, this.#before, serves)
    outer.transport.watch(changed)
    return outer
  }
}

const isThere: { readonly [state in Member['state']]: boolean } = {
  joining: true,
  ready: true,
  suspect: true,
  gone: false,
  left: false,
  refused: true,
}

function bound(replica: Replica): Replica {
  return {
    apply: record => replica.apply(record),
    read: (table, key) => replica.read(table, key),
    scan: (cursor, limit) => replica.scan(cursor, limit),
  }
}
