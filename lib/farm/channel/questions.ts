import type { Clock, Timer } from '../../clock.ts'
import { TokenBucket } from '../../limit/token-bucket.ts'
import type { TableId } from '../../record/key.ts'
import type { CacheRecord } from '../../record/record.ts'
import { compareVersions, type Version } from '../../record/version.ts'
import type { AnswerFrame, GetFrame } from '../../wire/frame-query.ts'

const maxOpen = 4_096

/** What is asked: an outbound link, or a stand-in. */
export interface Askable {
  /** False when it can't be asked now. */
  get(question: GetFrame): boolean
}

export interface QuestionsParts {
  readonly clock: Clock
  readonly rate: number
  readonly burst: number
  /** Takes a tombstone that an answer brought. */
  onTombstone(record: CacheRecord): void
}

/** How members are asked: all at once, or the next when one has said that it has nothing. */
export type Order = 'parallel' | 'sequence'

/**
 * Questions to other members for single records; the first live answer wins. One who is asked in
 * sequence and does not answer is waited for as long as leaves as much time for the others.
 */
export class Questions {
  readonly #parts: QuestionsParts
  readonly #bucket: TokenBucket
  readonly #open = new Map<number, Question>()
  #lastId = 0
  readonly counts = { asked: 0, found: 0, limited: 0, late: 0, members: 0, foundFirst: 0 }

  constructor(parts: QuestionsParts) {
    this.#parts = parts
    this.#bucket = new TokenBucket(parts.rate, parts.burst)
  }

  ask(
    members: Iterable<Askable>,
    table: TableId,
    key: Buffer,
    budget: number,
    order: Order = 'parallel',
  ): Promise<CacheRecord | undefined> {
    const { clock } = this.#parts
    const all = [...members]
    if (budget <= 0 || all.length === 0) return Promise.resolve(undefined)
    if (this.#open.size >= maxOpen || !this.#bucket.take(clock.monotonic())) {
      this.counts.limited += 1
      return Promise.resolve(undefined)
    }
    this.counts.asked += 1
    this.#lastId = (this.#lastId + 1) >>> 0
    const id = this.#lastId
    return new Promise(resolve => {
      const question: Question = {
        id,
        table,
        key,
        first: all[0],
        rest: all,
        atOnce: order === 'parallel' ? all.length : 1,
        endsAt: clock.monotonic() + budget,
        asked: new Set(),
        deleted: undefined,
        resolve,
        timer: undefined,
      }
      this.#open.set(id, question)
      this.#askOn(question)
    })
  }

  answer(member: Askable, { id, record }: AnswerFrame): void {
    // A delete is news even when nobody waits for the answer any longer.
    if (record?.tombstone === true) this.#parts.onTombstone(record)
    const question = this.#open.get(id)
    if (question?.asked.has(member) !== true) {
      this.counts.late += 1
      return
    }
    if (record !== undefined && answers(record, question)) {
      if (record.tombstone) {
        const { deleted } = question
        if (deleted === undefined || compareVersions(record.version, deleted) > 0) {
          question.deleted = record.version
        }
      } else if (this.#isLive(record, question)) {
        this.counts.found += 1
        if (member === question.first) this.counts.foundFirst += 1
        // The answer is a view of all that came in with it; only the record is to be kept.
        const { key, value } = record
        this.#settle(id, {
          ...record,
          key: Buffer.from(key),
          value: Buffer.from(value),
        })
        return
      }
    }
    this.#answered(member, question)
  }

  /** The member will not answer any more. */
  lost(member: Askable): void {
    for (const question of this.#open.values())
      if (question.asked.has(member)) this.#answered(member, question)
  }

  close(): void {
    for (const id of this.#open.keys()) this.#settle(id, undefined)
  }

  /** Asks those whose turn it is; when there is nobody left, nobody has it. */
  #askOn(question: Question): void {
    const { id, table, key, rest, asked, atOnce, endsAt } = question
    const { clock } = this.#parts
    question.timer?.cancel()
    let turn = 0
    while (turn < atOnce && rest.length > 0) {
      const member = rest.shift()
      if (member?.get({ id, table, key }) !== true) continue
      this.counts.members += 1
      asked.add(member)
      turn += 1
    }
    if (turn === 0) {
      this.#settle(id, undefined)
      return
    }
    const patience = (endsAt - clock.monotonic()) / (1 + rest.length)
    question.timer = clock.after(patience, () => this.#askOn(question))
  }

  /** This one does not have it. One that is late may, so it stays among those that were asked. */
  #answered(member: Askable, question: Question): void {
    const { asked, rest } = question
    asked.delete(member)
    if (rest.length > 0) this.#askOn(question)
    else if (asked.size === 0) this.#settle(question.id, undefined)
  }

  /** One member may still hold what another has seen deleted. */
  #isLive(record: CacheRecord, { deleted }: Question): boolean {
    if (record.expiresAt <= this.#parts.clock.now()) return false
    return deleted === undefined || compareVersions(record.version, deleted) > 0
  }

  #settle(id: number, record: CacheRecord | undefined): void {
    const question = this.#open.get(id)
    if (question === undefined) return
    this.#open.delete(id)
    question.timer?.cancel()
    question.resolve(record)
  }
}

interface Question {
  readonly id: number
  readonly table: TableId
  readonly key: Buffer
  /** The likeliest to have it. */
  readonly first: Askable | undefined
  /** Not asked yet. */
  readonly rest: Askable[]
  readonly atOnce: number
  /** Monotonic time. */
  readonly endsAt: number
  /** Asked, and not heard. */
  readonly asked: Set<Askable>
  /** Version of the newest tombstone among the answers. */
  deleted: Version | undefined
  readonly resolve: (record: CacheRecord | undefined) => void
  timer: Timer | undefined
}

function answers(record: CacheRecord, { table, key }: Question): boolean {
  return record.table === table && record.key.equals(key)
}
