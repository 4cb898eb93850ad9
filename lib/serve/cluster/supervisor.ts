/**
 * Which worker runs, and when one that died is started again. Pure: events in, actions out.
 * While none is up one starts alone: what keeps it from coming up would keep all.
 */
export type SupervisorEvent =
  | { readonly type: 'begin' }
  | { readonly type: 'ready'; readonly slot: number }
  | { readonly type: 'exited'; readonly slot: number }
  /** The time of a `wake` action has come. */
  | { readonly type: 'wake' }
  | { readonly type: 'stop' }

export type SupervisorAction =
  | { readonly type: 'fork'; readonly slot: number }
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
      upSince: 0,
      failures: 0,
      retryAt: 0,
    }))
  }

  on(event: SupervisorEvent, now: number): SupervisorAction[] {
    if (event.type === 'stop') this.#stopping = true
    if (event.type === 'ready') this.#ready(event.slot, now)
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

  #ready(index: number, now: number): void {
    const slot = this.#slots[index]
    if (slot === undefined || slot.state !== 'starting') return
    slot.state = 'up'
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
      return { type: 'fork', slot: this.#slots.indexOf(slot) }
    })
    const waiting = down.filter(slot => slot.state === 'down' && slot.retryAt > now)
    if (waiting.length > 0) {
      const next = Math.min(...waiting.map(slot => slot.retryAt))
      actions.push({ type: 'wake', ms: next - now })
    }
    return actions
  }
}
