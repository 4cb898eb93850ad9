import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { FoundRecord } from '../cache/tier.ts'
import type { Clock, Timer } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import { type Askable, Questions } from '../farm/channel/questions.ts'
import type { Replica, WriteLevel } from '../farm/transport.ts'
import type { TableId } from '../record/key.ts'
import { type CacheRecord, encodeRecord } from '../record/record.ts'
import { notAllowed } from '../wire/frame.ts'
import { writeGet } from '../wire/frame-query.ts'
import { Census, censusPatience } from './census.ts'
import {
  frames,
  nonceLength,
  readDone,
  readFigures,
  readFound,
  readNumber,
  readRecords,
  readRefusal,
  readWelcome,
  type Welcome,
  writeFigures,
  writeHello,
  writeNumber,
  writePut,
} from './frames.ts'
import { giveAll } from './give-all.ts'
import { Link } from './link.ts'
import { greetingLimit, isProof, prove } from './proof.ts'
import { type KeeperState, readState, silentAfter, unknownState } from './state.ts'
import { UndoneWrites } from './undone-writes.ts'

/** Questions in a second, and in one rush. The keeper has a bound of its own. */
const askRate = 20_000

export interface RemoteTierParts {
  readonly clock: Clock
  /** Known to the keeper as well. */
  readonly key: Buffer
  /** Takes what others wrote. What it throws keeps the record from being acknowledged. */
  apply(record: CacheRecord): void
  /** The farm's time here, ms. */
  now(): number
  /** The ring of the shelf that this process writes to, if any. */
  ring(): number | undefined
  /** What the keeper is to know of this process. */
  figures(): object
  /** The keeper has told its state. */
  onState(): void
  /** The link is gone; `error` says why, if there is a reason. `left`: the keeper said so before. */
  onLost(error: Error | undefined, left: boolean): void
}

/**
 * The far end of get, put and watch, over a stream to a keeper: the hub of this host, or a
 * repository. One link at a time; what was not done on one is sent again on the next.
 */
export class RemoteTier {
  readonly #parts: RemoteTierParts
  readonly #undone: UndoneWrites
  readonly #questions: Questions
  readonly #census: Census<Link>
  #link: Link | undefined
  #keeper: Askable | undefined
  #state: KeeperState = unknownState
  #held: (() => void) | undefined
  #hasLeft = false
  #closed = false

  constructor(parts: RemoteTierParts) {
    this.#parts = parts
    this.#undone = new UndoneWrites(parts.clock)
    this.#census = new Census(parts.clock, 2 * censusPatience)
    this.#questions = new Questions({
      clock: parts.clock,
      rate: askRate,
      burst: askRate,
      onTombstone: record => parts.apply(record),
    })
  }

  /**
   * Uses the stream for all that follows. Resolves at the welcome; `held` of the answer when
   * all that the keeper had is here. Rejects when the other end is not the keeper, or is late, and
   * with ERR_HANDFAST_JOIN when it refuses this process.
   */
  async join(stream: Duplex): Promise<{ welcome: Welcome; held: Promise<void> }> {
    const { clock } = this.#parts
    let timer: Timer | undefined
    let link: Link | undefined
    const held = new Promise<void>((resolve, reject) => {
      this.#held = resolve
      stream.once('close', () => reject(new Error('the keeper is gone')))
    })
    held.catch(() => {})
    try {
      const welcome = await new Promise<Welcome>((resolve, reject) => {
        link = this.#greet(stream, resolve, reject)
        timer = clock.after(greetingLimit, () => reject(new Error('no welcome in time')))
      })
      return { welcome, held }
    } catch (error) {
      link?.destroy()
      throw error
    } finally {
      timer?.cancel()
    }
  }

  /** What the keeper last said of the farm. */
  get state(): KeeperState {
    return this.#state
  }

  get isLinked(): boolean {
    return this.#link !== undefined
  }

  /** It has said something lately, and what it said is that it knows all. */
  isCurrent(): boolean {
    return this.isHeard && this.#state.isCurrent
  }

  get isHeard(): boolean {
    if (this.#link === undefined) return false
    return this.#parts.clock.monotonic() - this.#link.heardAt < silentAfter
  }

  get undone(): number {
    return this.#undone.size
  }

  /** See Tier.get. */
  get(table: TableId, key: Buffer, budget: number): Promise<FoundRecord | undefined> {
    if (this.#keeper === undefined) return Promise.resolve(undefined)
    return this.#questions.ask([this.#keeper], table, key, budget)
  }

  /** See Tier.put. */
  put(record: CacheRecord, level: WriteLevel, budget: number): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false)
    return new Promise(resolve => {
      const number = this.#undone.add(record, level, budget, resolve)
      this.#link?.send(frames.put, writePut({ number, level, budget, record }))
      if (level === 'local') resolve(true)
    })
  }

  /** What all users and the keeper say of themselves, this process too. */
  async census(): Promise<readonly object[]> {
    const link = this.#link
    if (link === undefined) return [this.#parts.figures()]
    const ask = (id: number) => link.send(frames.census, writeNumber(id))
    const [all] = await this.#census.take([link], ask)
    return Array.isArray(all) ? all : [this.#parts.figures()]
  }

  /** Gives the keeper what there is here but sessions: it may know less, if it came later. */
  async bring(scan: Replica['scan']): Promise<void> {
    const link = this.#link
    if (link === undefined) return
    await giveAll({
      scan,
      link,
      clock: this.#parts.clock,
      send: record => link.send(frames.have, encodeRecord(record)),
      isOver: () => link.ended || this.#closed,
    })
  }

  /** This process is the keeper now: what was not done is written by `publish`. */
  handOver(
    publish: (record: CacheRecord, level: WriteLevel, budget: number) => Promise<boolean>,
  ): void {
    const now = this.#parts.clock.monotonic()
    for (const [number, { record, level, endsAt }] of this.#undone.renumber()) {
      void publish(record, level, Math.max(0, endsAt - now)).then(reached =>
        this.#undone.done(number, reached),
      )
    }
  }

  /** A sign of life. */
  beat(): void {
    this.#link?.send(frames.alive, writeNumber(Math.floor(this.#parts.now())))
  }

  /** Ends the link when the keeper said nothing for too long. */
  leave(error?: Error): void {
    this.#link?.destroy(error)
  }

  /** What has been sent is on its way, then the keeper is told that no more comes. */
  close(): void {
    this.#closed = true
    this.#link?.end(frames.leave)
    this.#questions.close()
    this.#undone.close()
  }

  #greet(
    stream: Duplex,
    resolve: (welcome: Welcome) => void,
    reject: (error: Error) => void,
  ): Link {
    const { clock, key, ring } = this.#parts
    const nonce = randomBytes(nonceLength)
    let challenge: Buffer | undefined
    let isWelcome = false
    const link = new Link(stream, clock, {
      onFrame: (type, body) => {
        if (isWelcome) this.#onFrame(link, type, body)
        else if (challenge === undefined && type === frames.challenge) {
          if (body.length !== nonceLength) throw notAllowed(type)
          challenge = Buffer.from(body)
          const proof = prove(key, 'user', challenge, nonce)
          const hello = { pid: process.pid, ring: ring(), nonce, proof }
          link.send(frames.hello, writeHello(hello))
        } else if (challenge !== undefined && type === frames.welcome) {
          const welcome = readWelcome(body)
          const expected = prove(key, 'keeper', challenge, nonce)
          if (!isProof(welcome.proof, expected)) throw new Error('not the keeper')
          isWelcome = true
          this.#begin(link)
          resolve(welcome)
        } else if (challenge !== undefined && type === frames.refused) {
          throw new HandfastError('ERR_HANDFAST_JOIN', readRefusal(body))
        } else throw notAllowed(type)
      },
      onEnd: error => {
        reject(error ?? new Error('the keeper has closed the connection'))
        if (isWelcome) this.#onEnd(link, error)
      },
    })
    return link
  }

  #begin(link: Link): void {
    this.#link?.destroy()
    this.#link = link
    this.#hasLeft = false
    this.#keeper = {
      get(question) {
        link.send(frames.get, writeGet(question))
        return true
      },
    }
    const { clock } = this.#parts
    const now = clock.monotonic()
    for (const [number, { record, level, endsAt }] of this.#undone.renumber()) {
      const budget = Math.max(0, endsAt - now)
      link.send(frames.put, writePut({ number, level, budget, record }))
    }
    this.beat()
  }

  #onFrame(link: Link, type: number, body: Buffer): void {
    switch (type) {
      case frames.done:
        for (const { number, reached } of readDone(body)) {
          this.#undone.done(number, reached)
        }
        return
      case frames.answer:
        if (this.#keeper !== undefined) {
          this.#questions.answer(this.#keeper, readFound(body))
        }
        return
      case frames.records: {
        const { last, records } = readRecords(body)
        for (const record of records) this.#parts.apply(record)
        link.send(frames.applied, writeNumber(last))
        return
      }
      case frames.held:
        this.#held?.()
        return
      case frames.census:
        link.send(frames.figures, writeFigures(readNumber(body), this.#parts.figures()))
        return
      case frames.figures: {
        const { id, figures } = readFigures(body)
        this.#census.answer(id, link, figures)
        return
      }
      case frames.state:
        this.#state = readState(body)
        this.#parts.onState()
        return
      case frames.leave:
        this.#hasLeft = true
        return
      default:
        throw notAllowed(type)
    }
  }

  #onEnd(link: Link, error: Error | undefined): void {
    if (this.#link !== link) return
    this.#link = undefined
    this.#keeper = undefined
    this.#questions.close()
    this.#parts.onLost(error, this.#hasLeft)
  }
}
