import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Answer, Task } from './task.ts'

/** Before a thread that does not end by itself is ended, ms. */
const patience = 10_000

interface Waiting {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: Error) => void
}

/** What LMDB or the system said no with. */
export interface DiskError extends Error {
  /** A number of errno or of LMDB, or a name. */
  readonly code?: string | number | undefined
}

/** A thread that does one task after the other. */
export class Thread {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #ended: Promise<void>
  #lost: Error | undefined
  #nextId = 0

  constructor() {
    const file = `./environment-thread${extname(import.meta.url)}`
    this.#worker = new Worker(new URL(file, import.meta.url))
    this.#worker.on('message', ({ id, result, error }: Answer) => {
      const waiting = this.#waiting.get(id)
      this.#settled(id)
      if (error === undefined) waiting?.resolve(result)
      else waiting?.reject(Object.assign(new Error(error.message), { code: error.code }))
    })
    this.#worker.on('error', error => this.#fail(error as Error))
    this.#ended = new Promise(resolve => {
      this.#worker.on('exit', () => {
        this.#fail(new Error('the thread of the disk has ended'))
        resolve()
      })
    })
    this.#worker.unref()
  }

  /** Rejects with what went wrong, a {@link DiskError}. */
  do<Result>(task: Task, moved: readonly ArrayBuffer[] = []): Promise<Result> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost)
    const id = this.#nextId++
    // A process must not end between a write and its answer.
    this.#worker.ref()
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.set(id, { resolve: result => resolve(result as Result), reject })
      this.#worker.postMessage({ ...task, id }, [...moved])
    })
  }

  /** When what it was asked for is done. */
  async end(): Promise<void> {
    const late = setTimeout(() => void this.#worker.terminate(), patience)
    try {
      await this.do({ op: 'close' })
    } catch {
      // It ends all the same.
    }
    clearTimeout(late)
    await this.#worker.terminate()
    await this.#ended
  }

  #settled(id: number): void {
    this.#waiting.delete(id)
    if (this.#waiting.size === 0) this.#worker.unref()
  }

  #fail(error: Error): void {
    this.#lost ??= error
    for (const { reject } of this.#waiting.values()) reject(this.#lost)
    this.#waiting.clear()
  }
}
