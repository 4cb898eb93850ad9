import type { FoundRecord } from '../cache/tier.ts'
import type { WriteLevel } from '../farm/transport.ts'
import type { CacheRecord } from '../record/record.ts'
import { encodeRecord, recordHeaderLength } from '../record/record.ts'
import type { ShelfPlace } from '../table/shelf/shelf-files.ts'
import { ByteReader, ByteWriter, malformed } from '../wire/frame-bytes.ts'
import { readAnswer, writeAnswer } from '../wire/frame-query.ts'

/**
 * What a keeper of records (the hub of a host; a repository) and those who use it say to each
 * other, as frames of lib/wire/frame.ts. First:
 *
 *      keeper   challenge   nonce 32
 *      user     hello       version u8 | pid u32 | ring u8 | nonce 32 | proof 32
 *      keeper   welcome     proof 32 | ring u8 | member str8 | pid u32 | id 8 B | count u8 |
 *                           as many descriptors, u32 each
 *      keeper   refused     reason u8, in place of the welcome; then it ends the link
 *
 * ring: of the shelf; 255 is none. pid, id and descriptors: where the keeper has the shelf open;
 * count 0 where there is none. Then, in any order:
 *
 *      user     put         number u48 | level u8 | budget u32 ms | record
 *      keeper   done        number u48 | reached u8, as often as there are any
 *      user     have        record: it had this before it came, and the keeper may lack it
 *      user     get         see lib/wire/frame-query.ts
 *      keeper   answer      source str8: where it was found, empty: here | see there
 *      keeper   records     number u48 of the last | count u32 | records
 *      user     applied     number u48: all up to this one
 *      keeper   held        nothing: all that there was when the user came has been sent
 *      keeper   state       JSON, see KeeperState
 *      user     alive       the farm's time there, ms u48; nothing from older releases
 *      user     census      id u48: what do all processes say of themselves?
 *      keeper   census      id u48: what do you say of yourself?
 *      user     figures     id u48 | JSON
 *      keeper   figures     id u48 | JSON of a list
 *      user     leave       nothing: it serves no more
 *      keeper   leave       nothing: another will be the keeper
 *
 * Numbers start at 1 on each link.
 */
export const frames = {
  challenge: 1,
  hello: 2,
  welcome: 3,
  put: 4,
  done: 5,
  get: 6,
  answer: 7,
  records: 8,
  applied: 9,
  held: 10,
  state: 11,
  alive: 12,
  leave: 13,
  census: 14,
  figures: 15,
  have: 16,
  refused: 17,
} as const

export type RepositoryFrame = (typeof frames)[keyof typeof frames]

export const protocolVersion = 2
export const nonceLength = 32
export const proofLength = 32
export const noRing = 255

export interface Hello {
  readonly pid: number
  readonly ring: number | undefined
  readonly nonce: Buffer
  readonly proof: Buffer
}

export interface Welcome {
  readonly proof: Buffer
  readonly ring: number | undefined
  /** Name of the host as a member of the farm. */
  readonly member: string
  readonly place: ShelfPlace | undefined
}

export interface Put {
  readonly number: number
  readonly level: WriteLevel
  readonly budget: number
  readonly record: CacheRecord
}

export interface Found {
  readonly id: number
  readonly record: FoundRecord | undefined
}

export interface Done {
  readonly number: number
  readonly reached: boolean
}

export interface Records {
  readonly last: number
  readonly records: readonly CacheRecord[]
}

/** Why a keeper lets a process in no further than its hello. */
export const refusals = { version: 1, key: 2 } as const
export type Refusal = keyof typeof refusals

const levels: readonly WriteLevel[] = ['local', 'one', 'all', 'repositories']
const sourceForm = /^[a-z0-9-]{0,32}$/
const memberForm = /^[\x21-\x7e]{0,255}$/

export function writeHello({ pid, ring = noRing, nonce, proof }: Hello): Buffer {
  const out = new ByteWriter().uint8(protocolVersion).uint32(pid).uint8(ring)
  return out.bytes(nonce).bytes(proof).done()
}

/** Undefined for that of another version. */
export function readHello(body: Buffer): Hello | undefined {
  const read = new ByteReader(body)
  if (read.uint8() !== protocolVersion) return undefined
  const pid = read.uint32()
  const ring = read.uint8()
  const nonce = read.bytes(nonceLength)
  const proof = read.bytes(proofLength)
  read.end()
  return { pid, ring: ring === noRing ? undefined : ring, nonce, proof }
}

export function writeRefusal(refusal: Refusal): Buffer {
  return Buffer.from([refusals[refusal]])
}

/** In words, for those who run the process. */
export function readRefusal(body: Buffer): string {
  switch (body[0]) {
    case refusals.version:
      return 'it is of another release, and speaks another version'
    case refusals.key:
      return 'it has another secret or another farm name (options secret and name)'
    default:
      return 'for a reason that is not known here'
  }
}

export function writeWelcome({ proof, ring = noRing, member, place }: Welcome): Buffer {
  const { pid, id, descriptors } = place ?? {
    pid: 0,
    id: '00'.repeat(8),
    descriptors: [],
  }
  const out = new ByteWriter().bytes(proof).uint8(ring).text8(member)
  out.uint32(pid).bytes(Buffer.from(id, 'hex')).uint8(descriptors.length)
  for (const descriptor of descriptors) out.uint32(descriptor)
  return out.done()
}

export function readWelcome(body: Buffer): Welcome {
  const read = new ByteReader(body)
  const proof = read.bytes(proofLength)
  const ring = read.uint8()
  const member = read.text8(memberForm)
  const pid = read.uint32()
  const id = read.bytes(8).toString('hex')
  const descriptors: number[] = []
  for (let left = read.uint8(); left > 0; left -= 1) descriptors.push(read.uint32())
  read.end()
  const place = descriptors.length === 0 ? undefined : { pid, id, descriptors }
  return { proof, ring: ring === noRing ? undefined : ring, member, place }
}

export function writePut({ number, level, budget, record }: Put): Buffer {
  const out = new ByteWriter().uint48(number).uint8(levels.indexOf(level))
  return out
    .uint32(Math.min(0xffffffff, Math.ceil(budget)))
    .bytes(encodeRecord(record))
    .done()
}

/** The record's bytes are views of the body. */
export function readPut(body: Buffer): Put {
  const read = new ByteReader(body)
  const number = read.uint48()
  const level = levels[read.uint8()]
  const budget = read.uint32()
  const record = read.record()
  read.end()
  if (level === undefined) throw malformed('level')
  return { number, level, budget, record }
}

export function readHave(body: Buffer): CacheRecord {
  const read = new ByteReader(body)
  const record = read.record()
  read.end()
  return record
}

/** An answer, and where its record was found. */
export function writeFound({ id, record }: Found): Buffer {
  const answer = writeAnswer({ id, record })
  return new ByteWriter()
    .text8(record?.source ?? '')
    .bytes(answer)
    .done()
}

/** The record's bytes are views of the body. */
export function readFound(body: Buffer): Found {
  const read = new ByteReader(body)
  const source = read.text8(sourceForm)
  const { id, record } = readAnswer(read.bytes(read.left))
  if (record === undefined || source === '') return { id, record }
  return { id, record: { ...record, source } }
}

export function writeDone(done: readonly Done[]): Buffer {
  const out = new ByteWriter()
  for (const { number, reached } of done) out.uint48(number).uint8(reached ? 1 : 0)
  return out.done()
}

export function readDone(body: Buffer): Done[] {
  const read = new ByteReader(body)
  const done: Done[] = []
  while (read.left > 0) done.push({ number: read.uint48(), reached: read.uint8() === 1 })
  return done
}

export function writeRecords({ last, records }: Records): Buffer {
  const out = new ByteWriter().uint48(last).uint32(records.length)
  for (const record of records) out.bytes(encodeRecord(record))
  return out.done()
}

export function readRecords(body: Buffer): Records {
  const read = new ByteReader(body)
  const last = read.uint48()
  const count = read.uint32()
  if (count * recordHeaderLength > read.left) throw malformed('records')
  const records: CacheRecord[] = []
  for (let left = count; left > 0; left -= 1) records.push(read.record())
  read.end()
  return { last, records }
}

export function writeNumber(number: number): Buffer {
  return new ByteWriter().uint48(number).done()
}

export function readNumber(body: Buffer): number {
  const read = new ByteReader(body)
  const number = read.uint48()
  read.end()
  return number
}

export function writeFigures(id: number, figures: object): Buffer {
  const text = Buffer.from(JSON.stringify(figures))
  return new ByteWriter().uint48(id).bytes(text).done()
}

export function readFigures(body: Buffer): {
  readonly id: number
  readonly figures: object
} {
  const read = new ByteReader(body)
  const id = read.uint48()
  const figures: unknown = JSON.parse(read.bytes(read.left).toString())
  if (typeof figures !== 'object' || figures === null) throw malformed('figures')
  return { id, figures }
}
