import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { FoundRecord } from '../cache/tier.ts'
import type { Clock, Timer } from '../clock.ts'
import type { AbsentMember, Replica, WriteLevel } from '../farm/transport.ts'
import { LogLimiter } from '../limit/log-limiter.ts'
import type { Log } from '../log.ts'
import { type TableId, tables } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import type { ShelfPlace } from '../table/shelf/shelf-files.ts'
import { notAllowed } from '../wire/frame.ts'
import { readGet } from '../wire/frame-query.ts'
import { Census } from './census.ts'
import {
  frames,
  type Hello,
  nonceLength,
  type Refusal,
  readFigures,
  readHave,
  readHello,
  readNumber,
  readPut,
  readRefusal,
  writeFigures,
  writeFound,
  writeNumber,
  writeRefusal,
  writeWelcome,
} from './frames.ts'
import { giveAll } from './give-all.ts'
import { Link } from './link.ts'
import { isAlive } from './process.ts'
import { greetingLimit, isProof, prove } from './proof.ts'
import { type KeeperState, silentAfter, stateInterval, writeState } from './state.ts'
import { type Settle, User } from './user.ts'

const mostLinks = 512
const mostAsked = 1_024
/** Of a record that is for all, and of the wait for those who have lost their link, ms. */
const tick = 100

export interface KeeperParts {
  readonly clock: Clock
  readonly log: Log
  readonly key: Buffer
  /** Of the process that this runs in; `scan`: what every user is to hold. */
  readonly replica: Replica
  /** Name of the host as a member of the farm. */
  readonly member: string
  /** Processes that had a link to the keeper before this one: each may serve, until it is back. */
  readonly before?: readonly number[] | undefined
  /** Where the shelf is. */
  place(): ShelfPlace | undefined
  /** A ring for a process that has `own`, or none; `taken` by others. */
  ring(own: number | undefined, taken: ReadonlySet<number>): number | undefined
  /** Tells those beyond this host; see Transport. */
  publish(record: CacheRecord, level: WriteLevel, budget: number): Promise<boolean>
  fetch(table: TableId, key: Buffer): Promise<FoundRecord | undefined>
  state(processes: number, pids: readonly number[]): KeeperState
  /** A user says what the farm's time is there, ms. */
  heard(now: number): void
  /** What this process says of itself. */
  figures(): object
}

interface Lost {
  /** It may write there still. */
  readonly ring: number | undefined
  /** Monotonic time. */
  readonly since: number
  readonly waits: Settle[]
  /** It was not told something in time. */
  lacks: boolean
}

/**
 * Keeps records for other processes: takes what they put, answers what they ask, and tells each
 * of what the others and the rest of the farm write, but for TLS sessions, which are asked for.
 * The hub of a host is one.
 */
export class Keeper {
  readonly #parts: KeeperParts
  readonly #census: Census<User>
  readonly #refused: LogLimiter
  readonly #links = new Set<Link>()
  readonly #users = new Set<User>()
  /** Processes that lost their link and are still there, by pid. */
  readonly #lost = new Map<number, Lost>()
  /** Processes that lacked something, and are being given all there is. */
  readonly #behind = new Set<User>()
  readonly #unsettled = new Set<Promise<boolean>>()
  #timer: Timer | undefined
  #isOpen = false
  #toldState = ''
  #toldAt = 0
  #closed = false

  constructor(parts: KeeperParts) {
    this.#parts = parts
    this.#census = new Census(parts.clock)
    this.#refused = new LogLimiter(parts.clock)
    const since = parts.clock.monotonic()
    for (const pid of parts.before ?? []) {
      if (pid === process.pid || !isAlive(pid)) continue
      this.#lost.set(pid, { ring: undefined, since, waits: [], lacks: false })
    }
    this.#tick()
  }

  get users(): ReadonlySet<User> {
    return this.#users
  }

  /** Processes that may serve and can't be told anything. */
  absent(): AbsentMember[] {
    const now = this.#parts.clock.monotonic()
    return [...this.#lost].map(([pid, { since }]) => ({
      id: `${this.#parts.member}/${pid}`,
      address: undefined,
      away: Math.round(now - since),
    }))
  }

  /** From now on users are told all that there is: the keeper holds it itself. */
  open(): void {
    this.#isOpen = true
    for (const user of this.#users) void this.#giveAll(user)
    this.#tellState()
  }

  accept(stream: Duplex): void {
    if (this.#links.size >= mostLinks || this.#closed) {
      stream.destroy()
      return
    }
    const { clock, log } = this.#parts
    const challenge = randomBytes(nonceLength)
    let user: User | undefined
    let isRefused = false
    const link = new Link(stream, clock, {
      onFrame: (type, body) => {
        if (user !== undefined) this.#onFrame(user, type, body)
        else if (type === frames.hello && !isRefused) {
          const met = this.#meet(link, body, challenge)
          if (met instanceof User) {
            user = met
            late.cancel()
            return
          }
          isRefused = true
          this.#refuse(link, met)
        } else throw notAllowed(type)
      },
      onEnd: error => {
        late.cancel()
        this.#links.delete(link)
        if (error !== undefined) log.debug({ reason: error.message }, 'host link ended')
        if (user !== undefined) this.#onEnd(user)
      },
    })
    const late = clock.after(greetingLimit, () => link.destroy())
    this.#links.add(link)
    link.send(frames.challenge, challenge)
  }

  /**
   * Tells all users but one. True when all have applied it; false when one that is still there
   * has not, in the time that it takes to know.
   */
  tell(record: CacheRecord, except?: User): Promise<boolean> | true {
    if (record.table === tables.session) return true
    const others = [...this.#users].filter(user => user !== except)
    if (others.length === 0 && this.#lost.size === 0) return true
    const told = others.map(user => {
      return new Promise<boolean>(settle => user.tell(record, settle))
    })
    // One that has just lost its link may be about to end.
    const lost = [...this.#lost.values()].map(({ waits }) => {
      return new Promise<boolean>(settle => waits.push(settle))
    })
    const reached = Promise.all([...told, ...lost]).then(all => all.every(yes => yes))
    this.#unsettled.add(reached)
    void reached.then(() => this.#unsettled.delete(reached))
    return reached
  }

  /** See Replica.isSettled. */
  get isSettled(): boolean {
    if (this.#unsettled.size > 0 || this.#behind.size > 0) return false
    for (const { lacks } of this.#lost.values()) if (lacks) return false
    return true
  }

  /** What all users say of themselves, and this process. */
  async census(): Promise<readonly object[]> {
    const users = [...this.#users]
    const answers = await this.#census.take(users, id => {
      for (const { link } of users) link.send(frames.census, writeNumber(id))
    })
    return [this.#parts.figures(), ...answers]
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    for (const { link } of this.#users) link.end(frames.leave)
    for (const link of this.#links) link.destroy()
  }

  /** It may try again and again, until somebody sees why it does not start. */
  #refuse(link: Link, reason: Refusal): void {
    const body = writeRefusal(reason)
    this.#refused.log(heldBack => {
      const text = `a process of this host is refused: ${readRefusal(body)}`
      this.#parts.log.warn({ heldBack }, text)
    })
    link.end(frames.refused, body, () => link.destroy())
  }

  #meet(link: Link, body: Buffer, challenge: Buffer): User | Refusal {
    const { key } = this.#parts
    const hello = readHello(body)
    if (hello === undefined) return 'version'
    const { proof, nonce } = hello
    if (!isProof(proof, prove(key, 'user', challenge, nonce))) return 'key'
    return this.#welcome(link, hello, challenge)
  }

  #welcome(link: Link, hello: Hello, challenge: Buffer): User {
    const { key, member, place, ring } = this.#parts
    const { pid } = hello
    const lost = this.#lost.get(pid)
    // Its old link may not have ended yet.
    const isBack = lost !== undefined || this.#isLinked(pid)
    for (const settle of lost?.waits ?? []) settle(false)
    this.#lost.delete(pid)
    const taken = new Set<number>()
    for (const other of [...this.#users, ...this.#lost.values()]) {
      if (other.ring !== undefined) taken.add(other.ring)
    }
    const given = ring(hello.ring, taken)
    const user = new User(link, pid, given)
    if (isBack) this.#behind.add(user)
    const proof = prove(key, 'keeper', challenge, hello.nonce)
    link.send(
      frames.welcome,
      writeWelcome({ proof, ring: given, member, place: place() }),
    )
    this.#users.add(user)
    // The others too: should this keeper end now, they know who is there.
    this.#tellState()
    link.send(frames.state, writeState(this.#state()))
    if (this.#isOpen) void this.#giveAll(user)
    return user
  }

  #onFrame(user: User, type: number, body: Buffer): void {
    switch (type) {
      case frames.put:
        this.#onPut(user, body)
        return
      case frames.have: {
        const record = readHave(body)
        const { replica, publish } = this.#parts
        if (!replica.apply(record)) return
        void this.tell(record, user)
        void publish(record, 'local', 0)
        return
      }
      case frames.get:
        this.#onGet(user, body)
        return
      case frames.applied:
        user.onApplied(body)
        return
      case frames.alive:
        if (body.length > 0) this.#parts.heard(readNumber(body))
        return
      case frames.census: {
        const id = readNumber(body)
        void this.census().then(all =>
          user.link.send(frames.figures, writeFigures(id, all)),
        )
        return
      }
      case frames.figures: {
        const { id, figures } = readFigures(body)
        this.#census.answer(id, user, figures)
        return
      }
      case frames.leave:
        user.hasLeft = true
        user.link.destroy()
        return
      default:
        throw notAllowed(type)
    }
  }

  #onPut(user: User, body: Buffer): void {
    const { number, level, budget, record } = readPut(body)
    const { replica, publish } = this.#parts
    user.begin()
    replica.apply(record)
    const told = this.tell(record, user)
    const beyond = publish(record, level, budget)
    const reached =
      level === 'local'
        ? Promise.resolve(true)
        : Promise.all([level === 'all' ? told : true, beyond]).then(all =>
            all.every(yes => yes),
          )
    void reached.then(yes => user.done(number, yes))
  }

  #onGet(user: User, body: Buffer): void {
    const { id, table, key } = readGet(body)
    const { replica, fetch } = this.#parts
    const answer = (record: FoundRecord | undefined) =>
      user.link.send(frames.answer, writeFound({ id, record }))
    const own = replica.read(table, key)
    if (own !== undefined || user.asked >= mostAsked) {
      answer(own)
      return
    }
    user.asked += 1
    void fetch(table, Buffer.from(key)).then(record => {
      user.asked -= 1
      answer(record)
    })
  }

  async #giveAll(user: User): Promise<void> {
    const { replica, clock } = this.#parts
    const { link } = user
    await giveAll({
      scan: (next, limit) => replica.scan(next, limit),
      link,
      clock,
      send: record => void user.tell(record),
      isOver: () => link.ended,
    })
    link.send(frames.held, Buffer.alloc(0))
    user.onceApplied(() => this.#behind.delete(user))
  }

  #onEnd(user: User): void {
    this.#users.delete(user)
    const lacks = this.#behind.delete(user)
    const waits = user.takeWaits()
    const isElsewhere = this.#isLinked(user.pid)
    if (isElsewhere || this.#closed || user.hasLeft || !isAlive(user.pid)) {
      // Whoever came back was given it with all the rest, and has not said so.
      for (const settle of waits) settle(!isElsewhere && !this.#closed)
      return
    }
    const since = this.#parts.clock.monotonic()
    this.#lost.set(user.pid, { ring: user.ring, since, waits, lacks })
  }

  #isLinked(pid: number): boolean {
    return [...this.#users].some(user => user.pid === pid)
  }

  #tick(): void {
    if (this.#closed) return
    const { clock } = this.#parts
    const now = clock.monotonic()
    for (const [pid, lost] of this.#lost) {
      const { since, waits } = lost
      const isOver = !isAlive(pid)
      if (isOver) this.#lost.delete(pid)
      if (!isOver && now - since < silentAfter) continue
      if (waits.length > 0) lost.lacks = true
      for (const settle of waits.splice(0)) settle(isOver)
    }
    for (const user of [...this.#users]) {
      const isSilent = now - user.link.heardAt > silentAfter
      if (isSilent) user.link.destroy(new Error('a process that is silent'))
    }
    this.#tellState()
    this.#timer = clock.after(tick, () => this.#tick())
  }

  #state(): KeeperState {
    const pids = [...[...this.#users].map(({ pid }) => pid), ...this.#lost.keys()]
    return this.#parts.state(this.#users.size + 1, pids)
  }

  /** When it has changed, and every now and then. */
  #tellState(): void {
    if (this.#users.size === 0) return
    const state = this.#state()
    const now = this.#parts.clock.monotonic()
    const told = JSON.stringify({ ...state, stats: {}, now: 0 })
    if (told === this.#toldState && now - this.#toldAt < stateInterval) return
    this.#toldState = told
    this.#toldAt = now
    const body = writeState(state)
    for (const user of this.#users) user.link.send(frames.state, body)
  }
}
