import { type Change, packedLength } from './entry.ts'
import type { Outcome } from './task.ts'

/** Changes of one commit, and their bytes. Some take a millisecond, and are one wait for the disk. */
const mostChanges = 512
const mostBatchBytes = 1024 * 1024
/** Bytes that wait for their commit. */
const mostWaiting = 32 * 1024 * 1024

interface Call {
  readonly changes: readonly Change[]
  readonly bytes: number
  readonly done: (outcomes: Outcome[]) => void
  readonly failed: (error: Error) => void
}

/** Calls that are one commit. */
export interface Batch {
  readonly changes: readonly Change[]
  done(outcomes: readonly Outcome[]): void
  failed(error: Error): void
}

/** Changes that wait for their commit: what comes while another one is made is the next. */
export class ChangeQueue {
  readonly #calls: Call[] = []
  #bytes = 0

  /** Of all that have no answer. */
  get bytes(): number {
    return this.#bytes
  }

  /** Rejects when too much is waiting. The changes of one call are never parted. */
  add(changes: readonly Change[]): Promise<Outcome[]> {
    const bytes = changes.reduce((sum, change) => sum + packedLength(change), 0)
    if (bytes === 0) return Promise.resolve([])
    if (this.#bytes > 0 && this.#bytes + bytes > mostWaiting) {
      return Promise.reject(new Error('more is written than the disk takes'))
    }
    this.#bytes += bytes
    return new Promise((done, failed) => {
      this.#calls.push({ changes, bytes, done, failed })
    })
  }

  /** What is to be made now. */
  next(): Batch {
    const calls: Call[] = []
    let [count, bytes] = [0, 0]
    for (const call of this.#calls) {
      count += call.changes.length
      bytes += call.bytes
      if (calls.length > 0 && (count > mostChanges || bytes > mostBatchBytes)) break
      calls.push(call)
    }
    this.#calls.splice(0, calls.length)
    return {
      changes: calls.flatMap(({ changes }) => changes),
      done: outcomes => {
        let next = 0
        for (const { changes, done } of calls) {
          done(outcomes.slice(next, next + changes.length))
          next += changes.length
        }
        this.#answered(calls)
      },
      failed: error => {
        for (const { failed } of calls) failed(error)
        this.#answered(calls)
      },
    }
  }

  /** All that have not begun. */
  fail(error: Error): void {
    const calls = this.#calls.splice(0)
    for (const { failed } of calls) failed(error)
    this.#answered(calls)
  }

  #answered(calls: readonly Call[]): void {
    for (const { bytes } of calls) this.#bytes -= bytes
  }
}
