import { Breaker } from '../cache/breaker.ts'
import type { Clock } from '../clock.ts'
import { type ErrorCode, HandfastError } from '../errors.ts'
import {
  type Database,
  type EndMove,
  RefusedByDatabase,
  type ScanPage,
  type Stored,
} from './database.ts'

export interface GuardOptions {
  readonly clock: Clock
  /** Longest wait for an answer, ms. */
  readonly readBudget: number
  readonly writeBudget: number
  /** Calls under way, beyond which the next are refused. */
  readonly maxPending: number
}

/** Between two tries whether it is back, ms: nothing is stored meanwhile. */
const longestPause = 2_000

/** What a call rejects with when it is certain that nothing came of it. */
const certain: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_HANDFAST_DATABASE',
  'ERR_HANDFAST_DATABASE_FULL',
  'ERR_HANDFAST_SCHEMA',
  'ERR_HANDFAST_CLOSED',
])

/**
 * A database that is late, down or full, made bearable: every call ends within its budget with an
 * answer, or with an error that says whether something was changed. One that fails again and
 * again is left alone for a second or two at a time.
 */
export class GuardedDatabase {
  readonly #database: Database
  readonly #options: GuardOptions
  #pending = 0
  readonly #breaker: Breaker
  #last = ''

  constructor(database: Database, options: GuardOptions) {
    this.#database = database
    this.#options = options
    this.#breaker = new Breaker(options.clock, longestPause)
  }

  get(table: string, key: string): Promise<Stored | undefined> {
    return this.#read(() => this.#database.get(table, key))
  }

  scan(table: string, cursor: string | undefined, limit: number): Promise<ScanPage> {
    return this.#read(() => this.#database.scan(table, cursor, limit))
  }

  /** `late`: is told what came of it, where that is known only after the budget. */
  compareAndSet(
    table: string,
    key: string,
    expected: bigint | undefined,
    value: Buffer,
    expiresAt: number | undefined,
    late: (version: bigint | undefined) => void,
  ): Promise<bigint | undefined> {
    return this.#write(
      () => this.#database.compareAndSet(table, key, expected, value, expiresAt),
      late,
    )
  }

  delete(
    table: string,
    key: string,
    late: (version: bigint | undefined) => void,
  ): Promise<bigint | undefined> {
    return this.#write(() => this.#database.delete(table, key), late)
  }

  expire(
    table: string,
    key: string,
    expiresAt: number | undefined,
  ): Promise<EndMove | undefined> {
    return this.#write(
      () => this.#database.expire(table, key, expiresAt),
      () => {},
    )
  }

  #read<T>(call: () => Promise<T>): Promise<T> {
    return this.#run(call, this.#options.readBudget, {
      code: 'ERR_HANDFAST_DATABASE',
      isWrite: false,
      late: () => {},
    })
  }

  #write<T>(call: () => Promise<T>, late: (answer: T) => void): Promise<T> {
    return this.#run(call, this.#options.writeBudget, {
      code: 'ERR_HANDFAST_OUTCOME_UNKNOWN',
      isWrite: true,
      late,
    })
  }

  async #run<T>(
    call: () => Promise<T>,
    budget: number,
    { code, isWrite, late }: Course<T>,
  ): Promise<T> {
    const { clock, maxPending } = this.#options
    const { name } = this.#database
    if (this.#pending >= maxPending) {
      throw refused(`${name} is behind: ${maxPending} calls are under way already`)
    }
    if (!this.#breaker.admits()) {
      throw refused(`${name} does not answer: ${this.#last}`)
    }
    this.#pending += 1
    let over = false
    return await new Promise<T>((resolve, reject) => {
      const timer = clock.after(budget, () => {
        if (over) return
        over = true
        this.#failed(`no answer within ${budget} ms`)
        const what = isWrite ? '; the change may have been made' : ''
        reject(
          new HandfastError(code, `${name} did not answer within ${budget} ms${what}`),
        )
      })
      startCall(call).then(
        answer => {
          this.#pending -= 1
          timer.cancel()
          this.#breaker.succeeded()
          if (over) return late(answer)
          over = true
          resolve(answer)
        },
        (cause: unknown) => {
          this.#pending -= 1
          timer.cancel()
          if (over) return
          over = true
          reject(this.#faultOf(cause, code))
        },
      )
    })
  }

  #faultOf(cause: unknown, code: ErrorCode): HandfastError {
    const known = cause instanceof HandfastError && certain.has(cause.code)
    const isAnswer = cause instanceof RefusedByDatabase
    if (known && (isAnswer || cause.code !== 'ERR_HANDFAST_DATABASE')) {
      this.#breaker.succeeded()
      return cause
    }
    const why = cause instanceof Error ? cause.message : 'unknown fault'
    this.#failed(why)
    if (known) return cause
    const { name } = this.#database
    const what =
      code === 'ERR_HANDFAST_OUTCOME_UNKNOWN'
        ? `${name} failed, and the change may have been made: ${why}`
        : `${name} failed: ${why}`
    return new HandfastError(code, what, { cause })
  }

  #failed(why: string): void {
    this.#last = why
    this.#breaker.failed()
  }
}

interface Course<T> {
  readonly code: ErrorCode
  readonly isWrite: boolean
  readonly late: (answer: T) => void
}

/** What throws at once rejects, too. */
async function startCall<T>(call: () => Promise<T>): Promise<T> {
  return await call()
}

function refused(why: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_DATABASE', why)
}
