import type { Clock, Timer } from '../../clock.ts'
import type { CheckOptions } from './check-options.ts'
import type { HealthBoard, HealthReport } from './health-board.ts'

/** So many hosts check each backend; the others listen to them. */
const checkingHosts = 2
/** A report is news for so many intervals. */
const freshFor = 2
/** Where what was thought may be wrong, the next check comes within, ms. */
const soon = 1_000

export interface CheckerContext {
  readonly options: CheckOptions
  /** Names backend and check, the same on each proxy of the farm. */
  readonly name: string
  /** Asks once; see Probe. */
  readonly ask: (done: (fault: string | undefined) => void) => void
  readonly board: HealthBoard
  readonly clock: Clock
  /** From 0 to below 1. */
  readonly random: () => number
  /** It is found well, or not: why. Called at each change, and at the first time. */
  readonly onVerdict: (up: boolean, fault: string | undefined) => void
}

interface Heard extends HealthReport {
  /** Monotonic. */
  readonly at: number
}

/**
 * Checks one backend again and again, as long as nobody does it in its place: of each host one
 * process, and of the farm two hosts (those whose names hash lowest) check, and all hear of it.
 *
 * What another host says is a reason to look, not a verdict: a proxy that can't reach a backend
 * must not take it from those that can. So each looks for itself when it hears what it did not
 * know, once, and believes what it sees. What another process of the same host says is believed.
 */
export class Checker {
  readonly #context: CheckerContext
  /** Undefined until the first check. */
  #up: boolean | undefined
  /** Results in a row that speak against what is thought. */
  #against = 0
  #asking = false
  /** What another host says, to be seen with own eyes. */
  #rumour: boolean | undefined
  /** A request has found otherwise than what is thought. */
  #doubted = false
  readonly #heard = new Map<string, Heard>()
  #timer: Timer | undefined
  #unwatch: () => void = () => {}
  #closed = false

  constructor(context: CheckerContext) {
    this.#context = context
  }

  start(): void {
    const { board, name, options, random } = this.#context
    this.#unwatch = board.watch(name, report => this.#hear(report))
    this.#later(Math.min(soon, options.interval) * random())
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#unwatch()
  }

  /**
   * A request could not reach the backend, and it may be passed over for longer than it is down: it
   * is asked soon, and the first check that begins from now on and finds it well is a verdict, even
   * where it was never found down.
   */
  doubt(): void {
    if (this.#closed || this.#doubted || this.#up === false) return
    this.#doubted = true
    // With a check under way the next one follows upon it.
    if (!this.#asking) this.#soon()
  }

  /** Not all of a farm at the same moment. */
  #soon(): void {
    this.#later(Math.min(soon, this.#context.options.interval) * this.#context.random())
  }

  #later(ms: number): void {
    this.#timer?.cancel()
    if (this.#closed) return
    this.#timer = this.#context.clock.after(ms, () => {
      if (this.#isSeenTo()) this.#next()
      else this.#ask()
    })
  }

  #next(): void {
    const { options, random } = this.#context
    const { interval, jitter } = options
    const part = 1 + ((2 * random() - 1) * jitter) / 100
    const doubtful = this.#against > 0 || this.#up === undefined || this.#doubted
    this.#later((doubtful ? Math.min(soon, interval) : interval) * part)
  }

  #ask(): void {
    if (this.#asking || this.#closed) return
    this.#asking = true
    const doubted = this.#doubted
    this.#context.ask(fault => {
      this.#asking = false
      if (this.#closed) return
      this.#result(fault, doubted)
      this.#next()
    })
  }

  /** `doubted`: when the check began. */
  #result(fault: string | undefined, doubted: boolean): void {
    const { options, board, name } = this.#context
    const well = fault === undefined
    if (doubted && well) {
      this.#doubted = false
      this.#judge(true, undefined)
    }
    const confirmed = this.#rumour === well
    this.#rumour = undefined
    if (well === this.#up) this.#against = 0
    else {
      this.#against += 1
      const needed = well ? (this.#up === undefined ? 1 : options.rise) : options.fall
      if (confirmed || this.#against >= needed) this.#judge(well, fault)
    }
    if (this.#up === undefined) return
    board.publish(name, this.#up, freshFor * options.interval + options.timeout)
  }

  #judge(up: boolean, fault: string | undefined): void {
    this.#up = up
    this.#against = 0
    if (!up) this.#doubted = false
    this.#context.onVerdict(up, fault)
  }

  #hear(report: HealthReport): void {
    if (this.#closed) return
    const { board, clock } = this.#context
    const at = clock.monotonic()
    this.#forget(at)
    this.#heard.set(report.host, { ...report, at })
    if (report.up === this.#up) return
    if (report.host === board.self.host) {
      this.#judge(report.up, report.up ? undefined : 'told')
    } else if (this.#rumour === undefined) {
      this.#rumour = report.up
      this.#soon()
    }
  }

  /** Whether others are checking, so that this one need not. */
  #isSeenTo(): boolean {
    const { board, clock, name } = this.#context
    if (this.#up === undefined || this.#against > 0 || this.#doubted) return false
    if (this.#rumour !== undefined) return false
    this.#forget(clock.monotonic())
    const { host, process } = board.self
    let before = 0
    for (const heard of this.#heard.values()) {
      if (heard.host === host) {
        if (heard.process < process) return true
      } else if (rank(name, heard.host) < rank(name, host)) before += 1
    }
    return before >= checkingHosts
  }

  #forget(now: number): void {
    const { interval, timeout } = this.#context.options
    for (const [host, { at }] of this.#heard) {
      if (now - at > freshFor * interval + timeout) this.#heard.delete(host)
    }
  }
}

/** A number for a host that is another one for each backend (FNV-1a). */
function rank(name: string, host: string): number {
  let hash = 0x811c9dc5
  for (const char of `${host}\0${name}`) {
    hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0
  }
  return hash
}
