import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hkdfSync,
  type KeyObject,
} from 'node:crypto'
import { BoundedMap } from '../../bounded-map.ts'

/**
 * What a server tells the others through their database: which entries it has changed.
 *
 *      0          16         24     25                     end - 16
 *      +----------+----------+------+----------------------+-----+
 *      | sender   | sequence | kind | changes ...          | tag |
 *      +----------+----------+------+----------------------+-----+
 *                             '------- AES-256-GCM -------'
 *
 *      a change:  | length 2 | table | length 2 | key | floor 8 |
 *
 * Whoever has an account at the database may listen in, and talk: keys of entries can be secrets.
 * Hence the key of the feed, which lies beside the entries. Each sender draws its name when it
 * starts and has a key of its own, so that its sequence numbers are nonces that are never used
 * twice.
 */
export const feedKeyLength = 32
export const feedSenderLength = 16
const headerLength = feedSenderLength + 8
const tagLength = 16
/** Bytes of a message without changes. */
export const feedOverhead: number = headerLength + 1 + tagLength
const changeOverhead = 12
const mostOfName = 0xffff
/** Servers that are remembered: anybody may make up more. */
const mostKeys = 1_000
const cipher = 'aes-256-gcm'

export interface Change {
  readonly table: string
  readonly key: string
  /** Versions below it are not the newest; 0: only the end is another. See ChangeWatcher. */
  readonly floor: bigint
}

/** `everything`: the sender can't tell what. `leaving`: nothing comes after it. */
export type FeedKind = 'changes' | 'everything' | 'leaving'
const kinds: readonly FeedKind[] = ['changes', 'everything', 'leaving']

export interface FeedMessage {
  /** Hex. */
  readonly sender: string
  /** 1 for the first of a sender, then one more each time. */
  readonly sequence: bigint
  readonly kind: FeedKind
  readonly changes: readonly Change[]
}

/** The keys of senders, drawn from that of the feed; those of the last few are remembered. */
export class FeedKeys {
  readonly #feedKey: Buffer
  readonly #keys = new BoundedMap<string, KeyObject>(mostKeys)

  constructor(feedKey: Buffer) {
    this.#feedKey = feedKey
  }

  /** `header`: begins with the sender. */
  of(header: Buffer): KeyObject {
    const sender = header.subarray(0, feedSenderLength)
    const name = sender.toString('latin1')
    const known = this.#keys.get(name)
    if (known !== undefined) return known
    const info = Buffer.concat([Buffer.from('handfast change feed 1 '), sender])
    const bytes = Buffer.from(hkdfSync('sha256', this.#feedKey, '', info, 32))
    const key = createSecretKey(bytes)
    this.#keys.set(name, key)
    return key
  }
}

/** Bytes of a change in a message; undefined when its names are too long for any. */
export function changeLength({ table, key }: Change): number | undefined {
  const names = [Buffer.byteLength(table), Buffer.byteLength(key)]
  if (names.some(length => length > mostOfName)) return undefined
  return names.reduce((sum, length) => sum + length, changeOverhead)
}

export function sealFeedMessage(keys: FeedKeys, message: FeedMessage): Buffer {
  const header = Buffer.alloc(headerLength)
  header.write(message.sender, 0, feedSenderLength, 'hex')
  header.writeBigUInt64BE(message.sequence, feedSenderLength)
  const parts: Buffer[] = [Buffer.from([kinds.indexOf(message.kind)])]
  for (const { table, key, floor } of message.changes) {
    parts.push(named(table), named(key), uint64(floor))
  }
  const sealing = createCipheriv(cipher, keys.of(header), nonceOf(header))
  sealing.setAAD(header)
  const sealed = [sealing.update(Buffer.concat(parts)), sealing.final()]
  return Buffer.concat([header, ...sealed, sealing.getAuthTag()])
}

/** Undefined for what no sender with this key has sealed. Never throws. */
export function openFeedMessage(keys: FeedKeys, bytes: Buffer): FeedMessage | undefined {
  if (bytes.length < feedOverhead) return undefined
  const header = bytes.subarray(0, headerLength)
  const opening = createDecipheriv(cipher, keys.of(header), nonceOf(header), {
    authTagLength: tagLength,
  })
  opening.setAAD(header)
  opening.setAuthTag(bytes.subarray(bytes.length - tagLength))
  const body = opening.update(bytes.subarray(headerLength, bytes.length - tagLength))
  try {
    opening.final()
  } catch {
    return undefined
  }
  const kind = kinds[body[0] as number]
  const changes = readChanges(body)
  if (kind === undefined || changes === undefined) return undefined
  return {
    sender: header.toString('hex', 0, feedSenderLength),
    sequence: header.readBigUInt64BE(feedSenderLength),
    kind,
    changes,
  }
}

function readChanges(body: Buffer): Change[] | undefined {
  const changes: Change[] = []
  let at = 1
  const read = (): string | undefined => {
    if (at + 2 > body.length) return undefined
    const end = at + 2 + body.readUInt16BE(at)
    if (end > body.length) return undefined
    const text = body.toString('utf8', at + 2, end)
    at = end
    return text
  }
  while (at < body.length) {
    const [table, key] = [read(), read()]
    if (table === undefined || key === undefined || at + 8 > body.length) return undefined
    changes.push({ table, key, floor: body.readBigUInt64BE(at) })
    at += 8
  }
  return changes
}

function nonceOf(header: Buffer): Buffer {
  const nonce = Buffer.alloc(12)
  header.copy(nonce, 4, feedSenderLength)
  return nonce
}

function named(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])
}

function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}
