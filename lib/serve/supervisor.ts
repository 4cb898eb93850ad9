/**
 * Which worker runs, and when one that died is started again. Pure: events in, actions out.
 *
 * A worker joins the farm through the others (its seeds). Two that start at once and know
 * nobody would found two farms, so at first one starts alone. Later a worker comes back to
 * the farm port it had: seeds that are down just now will be right again.
 */
export type SupervisorEvent =
  | { readonly type: 'begin' }
  | {
      readonly type: 'ready'
      readonly slot: number
      readonly address: string | undefined
    }
  | { readonly type: 'exited'; readonly slot: number }
  /** The time of a `wake` action has come. */
  | { readonly type: 'wake' }
  | { readonly type: 'stop' }

export type SupervisorAction =
  | {
      readonly type: 'fork'
      readonly slot: number
      readonly seeds: readonly string[]
      /** Where the worker before it listened for the farm. */
      readonly address: string | undefined
    }
  /** Send a `wake` event in `ms`. */
  | { readonly type: 'wake'; readonly ms: number }
  /** All workers are up for the first time. */
  | { readonly type: 'complete' }
  /** No worker ever came up: starting more would change nothing. */
  | { readonly type: 'give-up' }
  /** Asked to stop, and the last worker is gone. */
  | { readonly type: 'stopped' }

const firstDelay = 100
const longestDelay = 10_000
/** A worker that was up for this long starts again at once when it dies. */
const settledAfter = 30_000

interface Slot {
  state: 'down' | 'starting' | 'up'
  address: string | undefined
  upSince: number
  failures: number
  retryAt: number
}

export class Supervisor {
  readonly #slots: Slot[]
  #stopping = false
  #everUp = false
  #complete = false

  constructor(workers: number) {
    this.#slots = Array.from({ length: workers }, () => ({
      state: 'down',
      address: undefined,
      upSince: 0,
      failures: 0,
      retryAt: 0,
    }))
  }

  on(event: SupervisorEvent, now: number): SupervisorAction[] {
    if (event.type === 'stop') this.#stopping = true
    if (event.type === 'ready') this.#ready(event.slot, event.address, now)
    if (event.type === 'exited') this.#exited(event.slot, now)
    if (this.#slots.every(slot => slot.state === 'down')) {
      if (this.#stopping) return [{ type: 'stopped' }]
      if (event.type === 'exited' && !this.#everUp) return [{ type: 'give-up' }]
    }
    const actions = this.#stopping ? [] : this.#start(now)
    if (!this.#complete && this.#slots.every(slot => slot.state === 'up')) {
      this.#complete = true
      actions.push({ type: 'complete' })
    }
    return actions
  }

  #ready(index: number, address: string | undefined, now: number): void {
    const slot = this.#slots[index]
    if (slot === undefined || slot.state !== 'starting') return
    slot.state = 'up'
    slot.address = address
    slot.upSince = now
    this.#everUp = true
  }

  #exited(index: number, now: number): void {
    const slot = this.#slots[index]
    if (slot === undefined) return
    const settled = slot.state === 'up' && now - slot.upSince >= settledAfter
    slot.failures = settled ? 0 : slot.failures + 1
    const delay = slot.failures === 0 ? 0 : firstDelay * 2 ** (slot.failures - 1)
    slot.retryAt = now + Math.min(delay, longestDelay)
    // It may not have come up because its port is someone else's by now.
    if (slot.state === 'starting') slot.address = undefined
    slot.state = 'down'
  }

  #start(now: number): SupervisorAction[] {
    const down = this.#slots.filter(slot => slot.state === 'down')
    const someUp = this.#slots.some(slot => slot.state === 'up')
    const someStarting = this.#slots.some(slot => slot.state === 'starting')
    if (!someUp && someStarting) return []
    const due = down.filter(slot => slot.retryAt <= now)
    const chosen = someUp ? due : due.slice(0, 1)
    const actions: SupervisorAction[] = chosen.map(slot => {
      slot.state = 'starting'
      const others = this.#slots.filter(other => other !== slot)
      const seeds = others.flatMap(other => other.address ?? [])
      return {
        type: 'fork',
        slot: this.#slots.indexOf(slot),
        seeds,
        address: slot.address,
      }
    })
    const waiting = down.filter(slot => slot.state === 'down' && slot.retryAt > now)
    if (waiting.length > 0) {
      const next = Math.min(...waiting.map(slot => slot.retryAt))
      actions.push({ type: 'wake', ms: next - now })
    }
    return actions
  }
}
