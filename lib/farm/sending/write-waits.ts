import type { WriteLevel } from '../transport.ts'

/** A write whose caller wants to know when it has reached its level. */
export interface WriteWait {
  readonly token: number
  readonly level: WriteLevel
  /** When the caller stops waiting. */
  readonly expires: number
  /** The datagram that completes it; 0 until it is sent. */
  sequence: number
}

export interface Settlement {
  readonly token: number
  readonly reached: boolean
}

/** Every write that is waited for, by level, oldest first. */
export class WriteWaits {
  readonly #queues = new Map<WriteLevel, WriteWait[]>()
  /** No wait expires before. */
  #deadline = Infinity

  get size(): number {
    let size = 0
    for (const queue of this.#queues.values()) size += queue.length
    return size
  }

  /** May be early by what was settled since. */
  get deadline(): number {
    return this.#deadline
  }

  add(wait: WriteWait): void {
    const queue = this.#queues.get(wait.level)
    if (queue === undefined) this.#queues.set(wait.level, [wait])
    else queue.push(wait)
    this.#deadline = Math.min(this.#deadline, wait.expires)
  }

  /** True when something sent is still waited for: worth asking for acknowledgements again. */
  get unanswered(): boolean {
    for (const queue of this.#queues.values())
      if (queue[0] !== undefined && queue[0].sequence > 0) return true
    return false
  }

  /** The last datagram that writes of a level wait for, and whether some have yet to be sent. */
  awaited(level: WriteLevel): { last: number; isUnsent: boolean } {
    let last = 0
    let isUnsent = false
    for (const { sequence } of this.#queues.get(level) ?? []) {
      last = Math.max(last, sequence)
      isUnsent ||= sequence === 0
    }
    return { last, isUnsent }
  }

  /** `reached`: up to which datagram a level is reached. */
  settle(reached: (level: WriteLevel) => number): Settlement[] {
    const settled: Settlement[] = []
    for (const [level, queue] of this.#queues) {
      if (queue.length === 0) continue
      const upTo = reached(level)
      let done = 0
      for (const wait of queue) {
        if (wait.sequence === 0 || wait.sequence > upTo) break
        settled.push({ token: wait.token, reached: true })
        done += 1
      }
      if (done > 0) queue.splice(0, done)
    }
    return settled
  }

  /** Writes whose time is up, reached or not. */
  expire(now: number): Settlement[] {
    if (now < this.#deadline) return []
    const expired: Settlement[] = []
    this.#deadline = Infinity
    for (const [level, queue] of this.#queues) {
      const rest: WriteWait[] = []
      for (const wait of queue) {
        if (wait.expires <= now) expired.push({ token: wait.token, reached: false })
        else {
          rest.push(wait)
          this.#deadline = Math.min(this.#deadline, wait.expires)
        }
      }
      this.#queues.set(level, rest)
    }
    return expired
  }

  /** These will not be sent any more. */
  drop(waits: readonly WriteWait[]): Settlement[] {
    const dropped = new Set(waits)
    for (const [level, queue] of this.#queues)
      this.#queues.set(
        level,
        queue.filter(wait => !dropped.has(wait)),
      )
    return waits.map(wait => ({ token: wait.token, reached: false }))
  }

  clear(): Settlement[] {
    const all = [...this.#queues.values()].flat()
    this.#queues.clear()
    return all.map(wait => ({ token: wait.token, reached: false }))
  }
}
