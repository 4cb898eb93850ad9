import { createHash } from 'node:crypto'
import { BoundedMap } from '../../../bounded-map.ts'
import type { Cache } from '../../../cache/cache.ts'
import { tables } from '../../../record/key.ts'
import { type RecordSealer, recordSealer } from '../../../record/record-sealer.ts'

/**
 * The virtual table `connection` of the farm's cache, sealed with a key of its own: what is in
 * checkpoints must be in clear in no table, tier or log.
 *
 *      key    0        1                        17                    33
 *             +--------+------------------------+---------------------+
 *             | kind   | SHA-256 of the member, | what it is about,   |
 *             |        | first 16 B             | where it is not one |
 *             +--------+------------------------+---------------------+
 *      beat         the Beat as JSON
 *      checkpoint   of a connection or bundle, by its id, as checkpoint/told-checkpoint.ts has it;
 *                   empty: all of it is over
 *      progress     for each connection: id 16 B | bytes that the client has acknowledged u64
 *      sharedBeat   the same of a member whose address all have, behind a switch
 *      request      of a connection of a dead member, by its id, a GrantRequest as JSON
 *      reply        for a member, by its hash, and a connection, by its id, a GrantReply as JSON
 *      word         of a connection or bundle, by its id, as commit/commit-word.ts has it
 *      receipt      for a member, by its hash; the same
 *      presence     the CommitPresence as JSON
 *
 * Kinds 4 and 5 are those of MoveBoard, which says what they are about.
 */
export const kind = {
  beat: 1,
  checkpoint: 2,
  progress: 3,
  sharedBeat: 6,
  request: 7,
  reply: 8,
  word: 16,
  receipt: 17,
  presence: 18,
} as const

const memberLength = 16
/** Milliseconds for which a word stays that is repeated. */
export const shortly = 60_000

/** A word of another member. Its bytes are to be copied when they are to be kept. */
export interface TableWord {
  readonly kind: number | undefined
  readonly key: Buffer
  /** Hash of the member whose it is, hexadecimal. */
  readonly owner: string
  /** What it is about. */
  readonly about: Buffer
  readonly sealed: Buffer
  /** Wall time in milliseconds. */
  readonly expiresAt: number
}

export class ConnectionTable {
  readonly #cache: Cache
  readonly #sealer: RecordSealer
  readonly #self: Buffer
  readonly #stops: (() => void)[] = []
  #closed = false

  /** `key`: 32 bytes for this alone. */
  constructor(cache: Cache, key: Buffer, self: string) {
    this.#cache = cache
    this.#sealer = recordSealer(key)
    this.#self = hashOf(self)
  }

  get self(): Buffer {
    return this.#self
  }

  /** Tells of all that other members write. */
  watch(watcher: (word: TableWord) => void): void {
    const stop = this.#cache.watch(tables.connection, ({ key, value, expiresAt }) => {
      const member = key.subarray(1, 1 + memberLength)
      if (member.equals(this.#self)) return
      const about = key.subarray(1 + memberLength)
      const owner = member.toString('hex')
      watcher({ kind: key[0], key, owner, about, sealed: value, expiresAt })
    })
    this.#stops.push(stop)
  }

  /** `ttl` in milliseconds. An empty value stays so. */
  write(which: number, about: Buffer | undefined, value: Buffer, ttl: number): void {
    if (this.#closed) return
    const key = keyOf(which, this.#self, about)
    const sealed = value.length === 0 ? value : this.#seal(key, value)
    void this.#cache.add(tables.connection, key, sealed, { ttl, level: 'local' })
  }

  /** Undefined for what is not sealed by a member, or for another key. */
  open(key: Buffer, sealed: Buffer): Buffer | undefined {
    const name = this.#sealer.name(tables.connection, key)
    return this.#sealer.open(name, sealed)?.value
  }

  close(): void {
    this.#closed = true
    for (const stop of this.#stops) stop()
  }

  #seal(key: Buffer, value: Buffer): Buffer {
    const record = { table: tables.connection, key, value, tombstone: false }
    const version = { ms: 0, logical: 0, node: 0 }
    return this.#sealer.seal({ ...record, version, expiresAt: 0 })
  }
}

export function keyOf(which: number, member: Buffer, about: Buffer | undefined): Buffer {
  return Buffer.concat([Buffer.of(which), member, about ?? Buffer.alloc(0)])
}

/** How the table names a member. */
export function hashOf(member: string): Buffer {
  return createHash('sha256').update(member).digest().subarray(0, memberLength)
}

/** The same in hex, as a word says who has written it. */
export function ownerOf(member: string): string {
  const known = owners.get(member)
  if (known !== undefined) return known
  const owner = hashOf(member).toString('hex')
  owners.set(member, owner)
  return owner
}

/** Asked for every segment that comes for a connection of another member. */
const owners = new BoundedMap<string, string>(1_000)
