import type { Clock, Timer } from '../../clock.ts'
import { TokenBucket } from '../../limit/token-bucket.ts'
import type { TableId } from '../../record/key.ts'
import type { CacheRecord } from '../../record/record.ts'
import { compareVersions, type Version } from '../../record/version.ts'
import type { AnswerFrame, GetFrame } from '../../wire/frame-query.ts'

const maxOpen = 1_024

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

/** Questions to other members for single records: all at once, the first live answer wins. */
export class Questions {
  readonly #parts: QuestionsParts
  readonly #bucket: TokenBucket
  readonly #open = new Map<number, Question>()
  #lastId = 0
  readonly counts: { asked: number; found: number; limited: number; late: number } = {
    asked: 0,
    found: 0,
    limited: 0,
    late: 0,
  }

  constructor(parts: QuestionsParts) {
    this.#parts = parts
    this.#bucket = new TokenBucket(parts.rate, parts.burst)
  }

  ask(
    members: Iterable<Askable>,
    table: TableId,
    key: Buffer,
    budget: number,
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
    const asked = new Set(all.filter(member => member.get({ id, table, key })))
    if (asked.size === 0) return Promise.resolve(undefined)
    return new Promise(resolve => {
      const timer = clock.after(budget, () => this.#settle(id, undefined))
      this.#open.set(id, { table, key, asked, deleted: undefined, resolve, timer })
    })
  }

  answer(member: Askable, { id, record }: AnswerFrame): void {
    // A delete is news even when nobody waits for the answer any longer.
    if (record?.tombstone === true) this.#parts.onTombstone(record)
    const question = this.#open.get(id)
    if (question === undefined || !question.asked.delete(member)) {
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
    if (question.asked.size === 0) this.#settle(id, undefined)
  }

  /** The member will not answer any more. */
  lost(member: Askable): void {
    for (const [id, question] of this.#open) {
      if (question.asked.delete(member) && question.asked.size === 0) {
        this.#settle(id, undefined)
      }
    }
  }

  close(): void {
    for (const id of this.#open.keys()) this.#settle(id, undefined)
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
    question.timer.cancel()
    question.resolve(record)
  }
}

interface Question {
  readonly table: TableId
  readonly key: Buffer
  readonly asked: Set<Askable>
  /** Version of the newest tombstone among the answers. */
  deleted: Version | undefined
  readonly resolve: (record: CacheRecord | undefined) => void
  readonly timer: Timer
}

function answers(record: CacheRecord, { table, key }: Question): boolean {
  return record.table === table && record.key.equals(key)
}
