import type { Cache } from '../../cache/cache.ts'
import type { Clock } from '../../clock.ts'
import { tables } from '../../record/key.ts'
import { type RecordSealer, recordSealer } from '../../record/record-sealer.ts'
import { type LeftConnection, mostConnections } from './board.ts'
import { hashOf, memberLength } from './connection-table.ts'
import type { MovedConnection } from './holding.ts'
import { type MoveWord, readMoveWord } from './move-word.ts'

/**
 * Beside what the board has, in the same virtual table and sealed in the same way:
 *
 *      key    0        1                        17              33
 *             +--------+------------------------+---------------+---------------------+
 *             | kind   | SHA-256 of the member, | move          | id of a connection  |
 *             |        | first 16 B             | 16 B          | 16 B                |
 *             +--------+------------------------+---------------+---------------------+
 *      word         (without an id) a MoveWord as JSON
 *      connection   bytes that the client has acknowledged u64 | as checkpoint/codec.ts has it
 *
 * These are apart from the checkpoints: they are of no worth before they are given.
 */
const kind = { word: 4, connection: 5 } as const
const moveLength = 16
const positionLength = 8
/** Milliseconds for which a word stays. */
const shortly = 60_000

/** Where members tell each other of connections that move while both live. */
export class MoveBoard {
  readonly #cache: Cache
  readonly #sealer: RecordSealer
  readonly #clock: Clock
  readonly #self: string
  readonly #expected = new Map<string, Expected>()
  readonly #stop: () => void

  /** `key`: 32 bytes, as for the board. `onWord`: of what others say to this member. */
  constructor(
    cache: Cache,
    key: Buffer,
    self: string,
    clock: Clock,
    onWord: (word: MoveWord) => void,
  ) {
    this.#cache = cache
    this.#sealer = recordSealer(key)
    this.#clock = clock
    this.#self = self
    const own = hashOf(self)
    this.#stop = cache.watch(tables.connection, ({ key, value }) => {
      const member = key.subarray(1, 1 + memberLength)
      if (member.equals(own)) return
      if (key[0] === kind.word) {
        const word = readMoveWord(this.#open(key, value))
        if (word !== undefined && this.#isFrom(word, member)) onWord(word)
      } else if (key[0] === kind.connection) this.#onConnection(key, value)
    })
  }

  say(word: MoveWord): void {
    this.#write(kind.word, word.move, undefined, Buffer.from(JSON.stringify(word)))
  }

  tell(move: string, { id, acked, checkpoint }: MovedConnection): void {
    const position = Buffer.alloc(positionLength)
    position.writeBigUInt64BE(BigInt(acked))
    this.#write(kind.connection, move, id, Buffer.concat([position, checkpoint]))
  }

  /** From now on what comes of a move is kept; `onCame` is told how many connections there are. */
  expect(move: string, onCame: (connections: number) => void): void {
    this.#expected.set(move, { connections: new Map(), onCame })
  }

  count(move: string): number {
    return this.#expected.get(move)?.connections.size ?? 0
  }

  left(move: string): LeftConnection[] {
    const connections = this.#expected.get(move)?.connections ?? new Map<string, Came>()
    return [...connections.values()].flatMap(({ key, sealed, toldAt }) => {
      const value = this.#open(key, sealed)
      if (value === undefined || value.length < positionLength) return []
      const acked = Number(value.readBigUInt64BE(0))
      if (!Number.isSafeInteger(acked)) return []
      const checkpoint = value.subarray(positionLength)
      return [{ checkpoint, toldAt, acked, standing: 'exact' }]
    })
  }

  forget(move: string): void {
    this.#expected.delete(move)
  }

  close(): void {
    this.#stop()
    this.#expected.clear()
  }

  #onConnection(key: Buffer, value: Buffer): void {
    const move = key.toString('hex', 1 + memberLength, 1 + memberLength + moveLength)
    const expected = this.#expected.get(move)
    if (expected === undefined) return
    const { connections, onCame } = expected
    const id = key.toString('hex', 1 + memberLength + moveLength)
    if (connections.has(id) || connections.size >= mostConnections) return
    const toldAt = this.#clock.monotonic()
    connections.set(id, { key: Buffer.from(key), sealed: Buffer.from(value), toldAt })
    onCame(connections.size)
  }

  /** Whoever wrote it is who it is from, and it is for this member. */
  #isFrom({ step, from, to }: MoveWord, member: Buffer): boolean {
    const isReply = step === 'accepts' || step === 'refuses' || step === 'has'
    const [writer, reader] = isReply ? [to, from] : [from, to]
    return reader === this.#self && hashOf(writer).equals(member)
  }

  #write(which: number, move: string, id: Buffer | undefined, value: Buffer): void {
    const parts = [Buffer.of(which), hashOf(this.#self), Buffer.from(move, 'hex')]
    const key = Buffer.concat(id === undefined ? parts : [...parts, id])
    const version = { ms: 0, logical: 0, node: 0 }
    const record = { table: tables.connection, key, value, tombstone: false }
    const sealed = this.#sealer.seal({ ...record, version, expiresAt: 0 })
    const terms = { ttl: shortly, level: 'local' } as const
    void this.#cache.add(tables.connection, key, sealed, terms)
  }

  #open(key: Buffer, sealed: Buffer): Buffer | undefined {
    const name = this.#sealer.name(tables.connection, key)
    return this.#sealer.open(name, sealed)?.value
  }
}

interface Expected {
  readonly connections: Map<string, Came>
  readonly onCame: (connections: number) => void
}

interface Came {
  readonly key: Buffer
  readonly sealed: Buffer
  readonly toldAt: number
}
