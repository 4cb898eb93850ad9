import { setMaxListeners } from 'node:events'
import { type Address, formatAddress } from '../../lib/address.ts'
import type { Clock, Timer } from '../../lib/clock.ts'
import { HandfastError } from '../../lib/errors.ts'
import { LastingFault } from '../../lib/limit/lasting-fault.ts'
import type { Log } from '../../lib/log.ts'
import { AcknowledgedWrites, type Written } from './acknowledged-writes.ts'
import {
  type Command,
  type Connection,
  RedisUnreachable,
  RefusedByRedis,
  type Reply,
} from './client.ts'
import {
  discover,
  type Found,
  isSame,
  openNode,
  readTarget,
  type Terms,
} from './discovery.ts'
import { Line } from './line.ts'
import type { RedisSetup } from './options.ts'
import { run, type Script, send } from './script.ts'
import { slotOf } from './slot.ts'

/** Sentinels are asked so often whether the master is still the same, ms. */
const sentinelInterval = 2_000
/** Between two looks for the masters, ms; longer and longer while none is found. */
const firstPause = 100
const longestPause = 2_000
/** Redirections of one call. */
const mostTurns = 8
/** While a slot is on its way, what is asked of several of its keys must wait, ms. */
const tryAgainPause = 20
const mostNodes = 1_024
/** Who waits for a connection looks so often, ms. */
const upInterval = 20

export interface CallTerms {
  /** Longest wait, ms. */
  readonly budget: number
  /** Waits for a connection where there is none; else it fails at once. Default false. */
  readonly isPatient?: boolean
}

interface Node {
  readonly address: Address
  /** By what they are for. */
  readonly lines: Map<string, Line>
  writes: AcknowledgedWrites | undefined
}

/**
 * The masters of one server, of those that Sentinels watch, or of a cluster, and connections to
 * them. Finds them again when one is lost, refuses to write, or says that a slot has moved.
 */
export class Masters {
  readonly #setup: RedisSetup
  readonly #clock: Clock
  readonly #fault: LastingFault
  readonly #ending = new AbortController()
  readonly #terms: Terms
  /** By `host:port`. */
  readonly #nodes = new Map<string, Node>()
  /** Where slots have moved to since the masters were found. */
  readonly #moved = new Map<number, Address>()
  #found: Found | undefined
  #looking: Promise<void> | undefined
  #timer: Timer | undefined
  #pause = firstPause
  #lookedAt = Number.NEGATIVE_INFINITY
  #hasSeenReplicas = false
  #isKnown: () => void = () => {}
  readonly #known = new Promise<void>(resolve => {
    this.#isKnown = resolve
  })
  /** There was a reason to look again while a look was under way. */
  #again = false
  #refusal: Error | undefined
  #closed = false

  constructor(setup: RedisSetup, clock: Clock, log: Log) {
    this.#setup = setup
    this.#clock = clock
    this.#fault = new LastingFault({
      ...{ clock, log },
      text: 'Redis is away',
      over: 'Redis is there again',
    })
    const { signal } = this.#ending
    // Each connection that is being opened listens: in a large cluster there are many at once.
    setMaxListeners(0, signal)
    this.#terms = { setup, clock, signal }
  }

  /**
   * Resolves when the masters are known, and also when none could be reached within the time for
   * a connection: the search goes on. Rejects with ERR_HANDFAST_JOIN when Redis refuses us, and
   * with ERR_HANDFAST_CONFIG for a database of a cluster.
   */
  async open(): Promise<void> {
    const timeUp = new Promise<void>(resolve => {
      this.#clock.after(this.#setup.connectTimeout, resolve)
    })
    await Promise.race([this.#look(), timeUp])
    if (this.#refusal instanceof HandfastError) throw this.#refusal
    if (this.#refusal !== undefined) {
      throw new HandfastError('ERR_HANDFAST_JOIN', this.#refusal.message)
    }
    if (this.#found?.isCluster && this.#setup.database !== 0) {
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        'redis: a cluster has one database only, the url names another',
      )
    }
  }

  /** Resolves when the masters have been found for the first time, or all is over. */
  known(): Promise<void> {
    return this.#known
  }

  /** Of what is known. */
  get isCluster(): boolean {
    return this.#found?.isCluster === true
  }

  /** Masters that have slots; 1 but for a cluster. */
  get shardCount(): number {
    return this.#found?.shards.length ?? 1
  }

  /** One command to one of these, for what is asked of all of them. Rejects as `call` does. */
  callShard(shard: number, command: Command, budget: number): Promise<Reply> {
    const master = this.#found?.shards[shard]?.master
    const answer = async () => {
      if (master === undefined)
        throw new RedisUnreachable(undefined, 'no master is known')
      const connection = await this.#line(this.#node(master), 'ask').ready(budget)
      return await connection.call(command)
    }
    return this.#within(budget, answer())
  }

  /**
   * One command, to the master that has the slot of `key`. Rejects with RedisUnreachable, also
   * when the time is up, or with RefusedByRedis.
   */
  call(key: string, command: Command, terms: CallTerms): Promise<Reply> {
    return this.#routed(key, terms, (node, asking) =>
      send(this.#connection(node, 'ask'), command, asking),
    )
  }

  /** A script, likewise; the first of the keys says which master. */
  run(
    script: Script,
    keys: readonly string[],
    values: Command,
    terms: CallTerms,
  ): Promise<Reply> {
    return this.#routed(keys[0] ?? '', terms, (node, asking) =>
      run(this.#connection(node, 'ask'), script, keys, values, asking),
    )
  }

  /** A script that writes; says whether as many replicas as are asked for have what it wrote. */
  write(
    script: Script,
    keys: readonly string[],
    values: Command,
    { budget }: CallTerms,
  ): Promise<Written> {
    return this.#routed(keys[0] ?? '', { budget }, (node, asking, left) => {
      const endsAt = this.#clock.monotonic() + left()
      return this.#writesOf(node).write(script, keys, values, { endsAt, asking })
    })
  }

  /** A connection of its own for what blocks, to the master that has the slot of `key` now. */
  async listener(key: string, name: string, budget: number): Promise<Connection> {
    const node = this.#nodeOf(slotOf(key))
    if (node === undefined) {
      await this.#pauseFor(budget)
      throw new RedisUnreachable(undefined, 'no master is known')
    }
    return await this.#line(node, `listen ${name}`).ready(budget)
  }

  /** What was said to a listener by a master: where it leads elsewhere, the masters are looked for. */
  noteRefusal(error: unknown): void {
    if (error instanceof RefusedByRedis) this.#lookSoon(0)
  }

  close(): void {
    this.#closed = true
    this.#ending.abort()
    this.#isKnown()
    this.#timer?.cancel()
    this.#fault.close()
    for (const node of this.#nodes.values()) closeNode(node)
    this.#nodes.clear()
  }

  async #routed<T>(
    key: string,
    { budget, isPatient = false }: CallTerms,
    attempt: (node: Node, asking: boolean, left: () => number) => Promise<T>,
  ): Promise<T> {
    const endsAt = this.#clock.monotonic() + budget
    const left = () => endsAt - this.#clock.monotonic()
    const attempts = async (): Promise<T> => {
      const slot = slotOf(key)
      if (isPatient) await this.#untilUp(slot, endsAt)
      let node = this.#nodeOf(slot)
      let asking = false
      for (let turn = 0; ; turn += 1) {
        if (node === undefined)
          throw new RedisUnreachable(undefined, 'no master is known')
        try {
          return await attempt(node, asking, left)
        } catch (error) {
          if (!(error instanceof RefusedByRedis)) throw error
          if (turn >= mostTurns || left() <= 0) throw error
          asking = error.code === 'ASK'
          node = await this.#elsewhere(error, slot, node, left())
        }
      }
    }
    return await this.#within(budget, attempts())
  }

  /** Where a refused call is to be made instead; throws the refusal where that is nowhere. */
  async #elsewhere(
    refusal: RefusedByRedis,
    slot: number,
    node: Node,
    left: number,
  ): Promise<Node> {
    const { code, target } = refusal
    if (code === 'TRYAGAIN') {
      await this.#pauseFor(Math.min(left, tryAgainPause))
      return node
    }
    if (target !== undefined && this.isCluster) {
      const next = this.#node(readTarget(target, node.address))
      if (code === 'MOVED') {
        this.#moved.set(slot, next.address)
        this.#lookSoon(firstPause)
      }
      await this.#line(next, 'ask').ready(left)
      return next
    }
    // A replica now, or about to be one; or it has not read its data yet.
    if (/^(?:READONLY|MASTERDOWN|CLUSTERDOWN|LOADING|UNBLOCKED)$/.test(code)) {
      this.#lookSoon(0)
    }
    throw refusal
  }

  #connection(node: Node, purpose: string): Connection {
    const { connection } = this.#line(node, purpose)
    if (connection !== undefined) return connection
    throw new RedisUnreachable(node.address, 'no connection')
  }

  /** Until the master of the slot, whichever it is by then, can be asked; or the time is up. */
  async #untilUp(slot: number, endsAt: number): Promise<void> {
    for (;;) {
      const left = endsAt - this.#clock.monotonic()
      const node = this.#nodeOf(slot)
      if (left <= 0 || this.#closed) return
      if (node !== undefined && this.#line(node, 'ask').connection !== undefined) return
      await this.#pauseFor(Math.min(left, upInterval))
    }
  }

  #writesOf(node: Node): AcknowledgedWrites {
    node.writes ??= new AcknowledgedWrites(
      this.#line(node, 'write'),
      this.#clock,
      () => this.#setup.replicas ?? (this.#hasSeenReplicas ? 1 : undefined),
      () => {
        this.#hasSeenReplicas = true
      },
    )
    return node.writes
  }

  #line(node: Node, purpose: string): Line {
    const known = node.lines.get(purpose)
    if (known !== undefined) return known
    const line = new Line({
      clock: this.#clock,
      open: async () => {
        const connection = await openNode(this.#terms, node.address)
        if (connection.isMaster) {
          this.#fault.worked()
          return connection
        }
        connection.close()
        throw new RedisUnreachable(node.address, 'it is not a master')
      },
      onDown: error => {
        this.#tell(error)
        this.#lookSoon(firstPause)
      },
    })
    node.lines.set(purpose, line)
    return line
  }

  #node(address: Address): Node {
    const name = formatAddress(address)
    const known = this.#nodes.get(name)
    if (known !== undefined) return known
    if (this.#nodes.size >= mostNodes) {
      throw new RedisUnreachable(address, `more than ${mostNodes} nodes`)
    }
    const node: Node = { address, lines: new Map(), writes: undefined }
    this.#nodes.set(name, node)
    return node
  }

  #nodeOf(slot: number): Node | undefined {
    if (this.#found === undefined || this.#closed) return undefined
    const { isCluster, shards } = this.#found
    const moved = isCluster ? this.#moved.get(slot) : undefined
    if (moved !== undefined) return this.#node(moved)
    const shard = isCluster
      ? shards.find(({ from, to }) => from <= slot && slot <= to)
      : shards[0]
    return shard && this.#node(shard.master)
  }

  /** Looks for the masters; one look at a time. */
  #look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined
      this.#lookedAt = this.#clock.monotonic()
      if (this.#found === undefined) {
        this.#lookSoon(this.#pause)
        this.#pause = Math.min(2 * this.#pause, longestPause)
      } else if (this.#again) this.#lookSoon(firstPause)
      else if (this.#setup.kind === 'sentinel') this.#lookSoon(sentinelInterval)
      this.#again = false
    })
    return this.#looking
  }

  async #lookOnce(): Promise<void> {
    try {
      const also = this.isCluster
        ? [...this.#nodes.values()].map(({ address }) => address)
        : []
      this.#take(await discover(this.#terms, also))
    } catch (error) {
      if (isFinal(error)) this.#refusal = error
      this.#tell(error)
    }
  }

  #lookSoon(pause: number): void {
    if (this.#looking !== undefined) this.#again = true
    if (this.#closed || this.#looking !== undefined) return
    const since = this.#clock.monotonic() - this.#lookedAt
    const wait = Math.max(pause, firstPause - since, 0)
    this.#timer?.cancel()
    this.#timer = this.#clock.after(wait, () => void this.#look())
  }

  #take(found: Found): void {
    if (this.#closed) return
    this.#refusal = undefined
    this.#pause = firstPause
    this.#fault.worked()
    this.#found = found
    this.#moved.clear()
    this.#isKnown()
    for (const { master } of found.shards) this.#line(this.#node(master), 'ask')
    for (const [name, node] of this.#nodes) {
      if (found.shards.some(({ master }) => isSame(master, node.address))) continue
      closeNode(node)
      this.#nodes.delete(name)
    }
  }

  async #within<T>(budget: number, answer: Promise<T>): Promise<T> {
    let timer: Timer | undefined
    const timeUp = new Promise<never>((_, reject) => {
      timer = this.#clock.after(budget, () =>
        reject(new RedisUnreachable(undefined, 'no answer in time')),
      )
    })
    try {
      return await Promise.race([answer, timeUp])
    } finally {
      timer?.cancel()
    }
  }

  #pauseFor(ms: number): Promise<void> {
    return new Promise(resolve => this.#clock.after(ms, resolve))
  }

  #tell(error: unknown): void {
    if (this.#closed) return
    this.#fault.failed(error instanceof Error ? error.message : 'an error')
  }
}

/** Asking again changes nothing. */
function isFinal(error: unknown): error is Error {
  if (error instanceof HandfastError) return true
  return (
    error instanceof RefusedByRedis && /^(?:WRONGPASS|NOAUTH|NOPERM)$/.test(error.code)
  )
}

function closeNode(node: Node): void {
  for (const line of node.lines.values()) line.close()
}
