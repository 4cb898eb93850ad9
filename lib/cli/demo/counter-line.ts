import type { Clock, Timer } from '../../clock.ts'
import type { ServerStats } from '../../serve/messages.ts'
import type { Output } from '../command.ts'

const redrawEvery = 250
/** Without a terminal a line is only written when something changed, and not often. */
const plainEvery = 5_000

export function renderCounters(stats: ServerStats): string {
  const { full, resumedLocal, resumedPeer } = stats
  const total = full + resumedLocal + resumedPeer
  return (
    `connections ${total}   full ${full}   resumed ${resumedLocal + resumedPeer} ` +
    `(${resumedLocal} known here, ${resumedPeer} asked of a peer)`
  )
}

/** One line that is kept current: redrawn on a terminal, repeated when changed elsewhere. */
export class CounterLine {
  readonly #output: Output
  readonly #clock: Clock
  readonly #read: () => ServerStats
  #timer: Timer | undefined
  #last = ''

  constructor(output: Output, clock: Clock, read: () => ServerStats) {
    this.#output = output
    this.#clock = clock
    this.#read = read
    this.#tick()
  }

  /** Writes a whole line above the counter. */
  say(text: string): void {
    this.#output.write(this.#onTerminal ? `\r\x1b[2K${text}\n` : `${text}\n`)
    this.#last = ''
  }

  close(): void {
    this.#timer?.cancel()
    if (this.#onTerminal) this.#output.write('\n')
  }

  get #onTerminal(): boolean {
    return this.#output.isTTY === true
  }

  #tick(): void {
    const text = renderCounters(this.#read())
    if (this.#onTerminal) {
      // A line that wraps can't be redrawn.
      const room = (this.#output.columns ?? 80) - 1
      if (text !== this.#last) this.#output.write(`\r\x1b[2K${text.slice(0, room)}`)
    } else if (text !== this.#last) {
      this.#output.write(`${text}\n`)
    }
    this.#last = text
    const pause = this.#onTerminal ? redrawEvery : plainEvery
    this.#timer = this.#clock.after(pause, () => this.#tick())
  }
}
