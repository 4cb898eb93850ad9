import { mostBundled } from '../checkpoint/bundles.ts'
import { ByteReader, malformed } from '../checkpoint/byte-reader.ts'
import { ByteWriter } from '../checkpoint/byte-writer.ts'
import { longestCheckpoint } from '../checkpoint/checkpoint.ts'
import { readId } from '../checkpoint/id.ts'
import type { ToldCheckpoint } from '../checkpoint/told-checkpoint.ts'

/**
 * What may be said on a connection of which no more is known than its checkpoint:
 *
 * - `exact`: whatever its host has said since is in the checkpoint: a planned response, or nothing.
 *   So all that follows may be said.
 * - `suspended`: its host is about to say what nobody else could say again.
 * - `loose`: its host waits for nobody, and may have said more. Under TLS nothing may be said but
 *   the rest of a planned response.
 */
export type Standing = 'exact' | 'suspended' | 'loose'

/** One start of a member, hexadecimal: what it knew before it was started again is not counted on. */
export type Life = string

/** What a member tells of one of its connections, or of those of one bundle, all at once. */
export interface CommitWord {
  /** Whose word it is. */
  readonly life: Life
  /** A member's words are numbered, from 1. */
  readonly number: number
  /** Who may count on it, and is waited for. */
  readonly names: readonly Life[]
  /** Of what is open; none: all is over. */
  readonly entries: readonly CommitEntry[]
}

export interface CommitEntry extends ToldCheckpoint {
  readonly standing: Exclude<Standing, 'loose'>
}

export const lifeLength = 8
/** Members that are named at most: a farm that is larger than that names some of them. */
export const mostNames = 64
const version = 1

/**
 *      | version | life | number | names: count, 8 B each | entries: count, then for each:       |
 *      | u8 = 1  | 8 B  | count  | u8                     | id, suspended u8, acked, checkpoint   |
 */
export function encodeWord({ life, number, names, entries }: CommitWord): Buffer {
  const to = new ByteWriter()
  to.u8(version)
  to.bytes(Buffer.from(life, 'hex'))
  to.count(number)
  to.u8(names.length)
  for (const name of names) to.bytes(Buffer.from(name, 'hex'))
  to.u8(entries.length)
  for (const { id, standing, acked, checkpoint } of entries) {
    to.bytes(id)
    to.u8(standing === 'suspended' ? 1 : 0)
    to.count(acked)
    to.bytes(checkpoint)
  }
  return to.end()
}

/** Undefined for anything else. */
export function decodeWord(bytes: Buffer | undefined): CommitWord | undefined {
  if (bytes === undefined) return undefined
  const from = new ByteReader(bytes)
  try {
    if (from.u8() !== version) return undefined
    const life = readLife(from)
    const number = from.count()
    const names = list(from, mostNames, () => readLife(from))
    const entries = list(from, mostBundled, () => readEntry(from))
    from.end()
    return { life, number, names, entries }
  } catch {
    return undefined
  }
}

function readEntry(from: ByteReader): CommitEntry {
  return {
    id: readId(from),
    standing: from.flag() ? 'suspended' : 'exact',
    acked: from.count(),
    checkpoint: from.bytes(longestCheckpoint),
  }
}

/** Which words of one member have come to another, and are kept there. */
export interface CommitReceipt {
  /** Who has them. */
  readonly by: Life
  /** Whose they are. */
  readonly of: Life
  readonly numbers: readonly number[]
}

export const mostReceived = 4_000

/** | 8 B by | 8 B of | count each number | */
export function encodeReceipt({ by, of, numbers }: CommitReceipt): Buffer {
  const bytes = Buffer.allocUnsafe(2 * lifeLength + 8 * numbers.length)
  bytes.write(by, 0, 'hex')
  bytes.write(of, lifeLength, 'hex')
  for (const [index, number] of numbers.entries()) {
    bytes.writeBigUInt64BE(BigInt(number), 2 * lifeLength + 8 * index)
  }
  return bytes
}

/** Undefined for anything else. */
export function decodeReceipt(bytes: Buffer | undefined): CommitReceipt | undefined {
  if (bytes === undefined) return undefined
  const count = (bytes.length - 2 * lifeLength) / 8
  if (!Number.isInteger(count) || count < 0 || count > mostReceived) return undefined
  const numbers = Array.from({ length: count }, (_, index) =>
    Number(bytes.readBigUInt64BE(2 * lifeLength + 8 * index)),
  )
  return {
    by: bytes.toString('hex', 0, lifeLength),
    of: bytes.toString('hex', lifeLength, 2 * lifeLength),
    numbers,
  }
}

/** How it is with a member that could take over. */
export interface CommitPresence {
  readonly member: string
  readonly life: Life
  /** Lives of others that it has had fenced. */
  readonly fenced: readonly Life[]
  /** It takes its leave, and takes nothing over any more. */
  readonly isLeaving: boolean
}

/** Undefined for what is not one: of a member that has the secret, but perhaps of another release. */
export function readPresence(bytes: Buffer | undefined): CommitPresence | undefined {
  if (bytes === undefined) return undefined
  try {
    const { member, life, fenced, isLeaving } = JSON.parse(bytes.toString())
    const areLives = Array.isArray(fenced) && [life, ...fenced].every(isLife)
    if (typeof member !== 'string' || typeof isLeaving !== 'boolean' || !areLives) {
      return undefined
    }
    return { member, life, fenced, isLeaving }
  } catch {
    return undefined
  }
}

function isLife(value: unknown): boolean {
  return typeof value === 'string' && /^[0-9a-f]{16}$/.test(value)
}

function readLife(from: ByteReader): Life {
  const life = from.bytes(lifeLength)
  if (life.length !== lifeLength) throw malformed('a life has 8 bytes')
  return life.toString('hex')
}

function list<T>(from: ByteReader, most: number, read: () => T): T[] {
  const length = from.u8()
  if (length > most) throw malformed('a list in it is too long')
  return Array.from({ length }, read)
}
