import { createHash } from 'node:crypto'
import type { Cache } from '../../cache/cache.ts'
import type { Clock } from '../../clock.ts'
import { tables } from '../../record/key.ts'
import { type RecordSealer, recordSealer } from '../../record/record-sealer.ts'
import type { Beat, Vote } from './heartbeats.ts'

/**
 * In the virtual table `connection` of the farm's cache, sealed with a key of its own: what is in
 * checkpoints must be in clear in no table, tier or log.
 *
 *      key    0        1                        17                    33
 *             +--------+------------------------+---------------------+
 *             | kind   | SHA-256 of the member, | id of a connection  |
 *             |        | first 16 B             | (checkpoints)       |
 *             +--------+------------------------+---------------------+
 *      beat         the Beat as JSON
 *      checkpoint   bytes that the client has acknowledged u64 | as checkpoint/codec.ts has it;
 *                   empty: the connection is over
 *      progress     for each connection: id 16 B | bytes that the client has acknowledged u64
 */
const kind = { beat: 1, checkpoint: 2, progress: 3 } as const
export const memberLength = 16
const idLength = 16
const positionLength = 8
const progressLength = idLength + positionLength
/** Milliseconds for which a word stays: those that are repeated, and those that are said once. */
const shortly = 60_000
const long = 24 * 3_600_000
/** Of one member; and entries of one progress. */
export const mostConnections = 25_000
const mostProgress = 2_000

/** What another member has told of one of its connections. */
export interface LeftConnection {
  readonly checkpoint: Buffer
  /** By our own steady clock. */
  readonly toldAt: number
  readonly acked: number
}

export class TakeoverBoard {
  readonly #cache: Cache
  readonly #sealer: RecordSealer
  readonly #clock: Clock
  readonly #self: Buffer
  readonly #left = new Map<string, Map<string, Left>>()
  readonly #stop: () => void

  /** `key`: 32 bytes for this alone. `onBeat`: of every member but this one. */
  constructor(
    cache: Cache,
    key: Buffer,
    self: string,
    clock: Clock,
    onBeat: (beat: Beat) => void,
  ) {
    this.#cache = cache
    this.#sealer = recordSealer(key)
    this.#clock = clock
    this.#self = hashOf(self)
    this.#stop = cache.watch(tables.connection, ({ key, value }) => {
      const member = key.subarray(1, 1 + memberLength)
      if (member.equals(this.#self)) return
      const owner = member.toString('hex')
      if (key[0] === kind.checkpoint) this.#onCheckpoint(owner, key, value)
      else if (key[0] === kind.progress) this.#onProgress(owner, this.#open(key, value))
      else if (key[0] === kind.beat) {
        const beat = readBeat(this.#open(key, value))
        if (beat !== undefined && hashOf(beat.member).equals(member)) onBeat(beat)
      }
    })
  }

  beat(beat: Beat): void {
    this.#write(kind.beat, undefined, Buffer.from(JSON.stringify(beat)), shortly)
  }

  write(id: Buffer, acked: number, checkpoint: Buffer): void {
    const position = Buffer.alloc(positionLength)
    position.writeBigUInt64BE(BigInt(acked))
    this.#write(kind.checkpoint, id, Buffer.concat([position, checkpoint]), long)
  }

  /** A tombstone would stay for an hour: it is written over, and soon gone. */
  retire(id: Buffer): void {
    this.#write(kind.checkpoint, id, Buffer.alloc(0), shortly)
  }

  /** Of all connections that are on their way, each time: one word may be lost. */
  progress(acked: ReadonlyMap<string, number>): void {
    const newest = [...acked].slice(-mostProgress)
    const bytes = Buffer.alloc(newest.length * progressLength)
    for (const [index, [id, position]] of newest.entries()) {
      bytes.write(id, index * progressLength, 'hex')
      bytes.writeBigUInt64BE(BigInt(position), index * progressLength + idLength)
    }
    this.#write(kind.progress, undefined, bytes, shortly)
  }

  /** What is known of the connections of a member. */
  of(member: string): LeftConnection[] {
    const left = this.#left.get(hashOf(member).toString('hex')) ?? new Map<string, Left>()
    return [...left].flatMap(([id, { sealed, toldAt, acked }]) => {
      const key = Buffer.concat([
        Buffer.of(kind.checkpoint),
        hashOf(member),
        Buffer.from(id, 'hex'),
      ])
      const value = this.#open(key, sealed)
      if (value === undefined || value.length < positionLength) return []
      const then = Number(value.readBigUInt64BE(0))
      if (!Number.isSafeInteger(then)) return []
      const checkpoint = value.subarray(positionLength)
      return [{ checkpoint, toldAt, acked: Math.max(acked, then) }]
    })
  }

  /** They are somebody else's now, or nobody's. */
  forget(member: string): void {
    this.#left.delete(hashOf(member).toString('hex'))
  }

  close(): void {
    this.#stop()
    this.#left.clear()
  }

  #onCheckpoint(owner: string, key: Buffer, value: Buffer): void {
    const id = key.subarray(1 + memberLength).toString('hex')
    const left = this.#left.get(owner) ?? new Map<string, Left>()
    this.#left.set(owner, left)
    const acked = left.get(id)?.acked ?? 0
    if (value.length === 0) left.delete(id)
    else if (left.has(id) || left.size < mostConnections) {
      left.set(id, { sealed: Buffer.from(value), toldAt: this.#clock.monotonic(), acked })
    }
  }

  #onProgress(owner: string, bytes: Buffer | undefined): void {
    const left = this.#left.get(owner)
    if (bytes === undefined || left === undefined) return
    for (let at = 0; at + progressLength <= bytes.length; at += progressLength) {
      const one = left.get(bytes.toString('hex', at, at + idLength))
      const acked = Number(bytes.readBigUInt64BE(at + idLength))
      if (one !== undefined && Number.isSafeInteger(acked)) one.acked = acked
    }
  }

  #write(which: number, id: Buffer | undefined, value: Buffer, ttl: number): void {
    const key = Buffer.concat([Buffer.of(which), this.#self, id ?? Buffer.alloc(0)])
    const sealed = value.length === 0 ? value : this.#seal(key, value)
    void this.#cache.add(tables.connection, key, sealed, { ttl, level: 'local' })
  }

  #seal(key: Buffer, value: Buffer): Buffer {
    const record = { table: tables.connection, key, value, tombstone: false }
    const version = { ms: 0, logical: 0, node: 0 }
    return this.#sealer.seal({ ...record, version, expiresAt: 0 })
  }

  #open(key: Buffer, sealed: Buffer): Buffer | undefined {
    const name = this.#sealer.name(tables.connection, key)
    return this.#sealer.open(name, sealed)?.value
  }
}

interface Left {
  readonly sealed: Buffer
  readonly toldAt: number
  acked: number
}

export function hashOf(member: string): Buffer {
  return createHash('sha256').update(member).digest().subarray(0, memberLength)
}

/** Written by a member that has the farm's secret, but perhaps of another release. */
function readBeat(bytes: Buffer | undefined): Beat | undefined {
  if (bytes === undefined) return undefined
  try {
    const { member, holds, takes, votes = [], home } = JSON.parse(bytes.toString())
    const areTexts = [member, home ?? ''].every(text => typeof text === 'string')
    const isForm = areTexts && [holds, takes, votes].every(areAddresses)
    if (!isForm || !votes.every((vote: Vote) => typeof vote.member === 'string')) {
      return undefined
    }
    const said = { member, holds, takes, votes }
    return home === undefined ? said : { ...said, home }
  } catch {
    return undefined
  }
}

function areAddresses(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length <= mostAddresses &&
    value.every(
      each => typeof each?.address === 'string' && Number.isSafeInteger(each?.epoch),
    )
  )
}

/** In each list of a beat. */
const mostAddresses = 1_000
