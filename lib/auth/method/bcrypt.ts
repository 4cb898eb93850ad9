import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Clock, Timer } from '../../clock.ts'
import { FairQueue, type QueuePlace } from '../../limit/fair-queue.ts'
import type { Asker } from '../request/asker.ts'
import type { BcryptResult, BcryptTask } from './bcrypt-worker.ts'

export interface BcryptOptions {
  /** Longest wait for an answer, in milliseconds. Default 10 000. */
  readonly timeout?: number
  /** Comparisons at a time, waiting ones included. Default 128. */
  readonly most?: number
}

interface Comparison {
  readonly task: BcryptTask
  readonly place: QueuePlace
  readonly done: (equal: boolean | undefined) => void
  readonly timer: Timer
  readonly stopListening: (() => void) | undefined
}

/**
 * Compares passwords with bcrypt hashes in a thread of its own: a comparison takes 50 ms and
 * more by design, and the thread that serves everybody else must not stand still for it.
 *
 * One is compared at a time, and the others wait here, not in the thread: so each network has
 * its turn however many another one brings, and what nobody waits for any more costs nothing.
 */
export class Bcrypt {
  readonly #clock: Clock
  readonly #timeout: number
  readonly #most: number
  readonly #open = new Map<number, Comparison>()
  readonly #queue = new FairQueue<Comparison>()
  /** In the thread; its answer may be waited for or not. */
  #compared: Comparison | undefined
  #worker: Worker | undefined
  #nextId = 0
  #closed = false

  constructor(clock: Clock, { timeout = 10_000, most = 128 }: BcryptOptions = {}) {
    this.#clock = clock
    this.#timeout = timeout
    this.#most = most
  }

  /** Waiting or being compared. */
  get open(): number {
    return this.#open.size
  }

  /**
   * Undefined when it can't be told: too many are waiting, it took too long, or whoever asks
   * left before it was their turn. What is being compared is brought to its end even then, and
   * told: else who leaves in time would guess for nothing.
   */
  compare(password: string, hash: string, asker?: Asker): Promise<boolean | undefined> {
    if (this.#closed || this.#open.size >= this.#most) return Promise.resolve(undefined)
    return new Promise(done => {
      const id = this.#nextId++
      const comparison: Comparison = {
        task: { id, password, hash },
        place: asker ?? { network: '', connection: this },
        done,
        timer: this.#clock.after(this.#timeout, () => this.#giveUp(comparison)),
        stopListening: asker?.onGone(() => {
          if (comparison !== this.#compared) this.#giveUp(comparison)
        }),
      }
      this.#open.set(id, comparison)
      this.#queue.add(comparison.place, comparison)
      this.#compareNext()
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#giveUpAll()
    await this.#worker?.terminate()
  }

  #compareNext(): void {
    if (this.#compared !== undefined) return
    this.#compared = this.#queue.next()
    if (this.#compared === undefined) {
      this.#worker?.unref()
      return
    }
    const worker = this.#running()
    // Only a comparison under way may keep the process alive.
    worker.ref()
    worker.postMessage(this.#compared.task)
  }

  #running(): Worker {
    if (this.#worker !== undefined) return this.#worker
    const file = `./bcrypt-worker${extname(import.meta.url)}`
    const worker = new Worker(new URL(file, import.meta.url))
    worker.on('message', ({ id, equal }: BcryptResult) => {
      this.#compared = undefined
      const comparison = this.#open.get(id)
      if (comparison !== undefined) this.#settle(comparison, equal)
      this.#compareNext()
    })
    const lost = () => {
      if (this.#worker !== worker) return
      this.#worker = undefined
      this.#giveUpAll()
      this.#compared = undefined
    }
    worker.on('error', lost)
    worker.on('exit', lost)
    this.#worker = worker
    return worker
  }

  #settle({ task, timer, stopListening, done }: Comparison, equal?: boolean): void {
    this.#open.delete(task.id)
    timer.cancel()
    stopListening?.()
    done(equal)
  }

  #giveUp(comparison: Comparison): void {
    this.#queue.remove(comparison.place, comparison)
    this.#settle(comparison)
  }

  #giveUpAll(): void {
    for (const comparison of [...this.#open.values()]) this.#giveUp(comparison)
  }
}
