import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Clock, Timer } from '../clock.ts'
import type { BcryptResult, BcryptTask } from './bcrypt-worker.ts'

/** Comparisons that may wait: with cost 10 about 10 s of work for one thread. */
const maxWaiting = 128

interface Waiting {
  readonly done: (equal: boolean | undefined) => void
  readonly timer: Timer
}

/**
 * Compares passwords with bcrypt hashes in a thread of its own: a comparison takes 50 ms and
 * more by design, and the thread that serves everybody else must not stand still for it.
 */
export class Bcrypt {
  readonly #clock: Clock
  readonly #timeout: number
  readonly #waiting = new Map<number, Waiting>()
  #worker: Worker | undefined
  #nextId = 0
  #closed = false

  constructor(clock: Clock, timeout = 10_000) {
    this.#clock = clock
    this.#timeout = timeout
  }

  /** Undefined when it can't be told: too many are waiting, or it took too long. */
  compare(password: string, hash: string): Promise<boolean | undefined> {
    if (this.#closed || this.#waiting.size >= maxWaiting) {
      return Promise.resolve(undefined)
    }
    return new Promise(done => {
      const id = this.#nextId++
      const timer = this.#clock.after(this.#timeout, () => this.#settle(id, undefined))
      this.#waiting.set(id, { done, timer })
      const worker = this.#running()
      // Only a comparison under way may keep the process alive.
      worker.ref()
      worker.postMessage({ id, password, hash } satisfies BcryptTask)
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#giveUp()
    await this.#worker?.terminate()
  }

  #running(): Worker {
    if (this.#worker !== undefined) return this.#worker
    const file = `./bcrypt-worker${extname(import.meta.url)}`
    const worker = new Worker(new URL(file, import.meta.url))
    worker.on('message', ({ id, equal }: BcryptResult) => this.#settle(id, equal))
    const lost = () => {
      if (this.#worker !== worker) return
      this.#worker = undefined
      this.#giveUp()
    }
    worker.on('error', lost)
    worker.on('exit', lost)
    this.#worker = worker
    return worker
  }

  #settle(id: number, equal: boolean | undefined): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    this.#waiting.delete(id)
    waiting.timer.cancel()
    if (this.#waiting.size === 0) this.#worker?.unref()
    waiting.done(equal)
  }

  #giveUp(): void {
    for (const id of [...this.#waiting.keys()]) this.#settle(id, undefined)
  }
}
