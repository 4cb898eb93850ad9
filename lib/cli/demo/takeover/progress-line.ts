import type { Output } from '../../command.ts'

const width = 40
/** Without a terminal a line for each tenth. */
const steps = 10

/** A bar that is kept current on a terminal; elsewhere a line now and then. */
export class ProgressLine {
  readonly #output: Output
  readonly #total: number
  #shown = ''
  #step = 0

  constructor(output: Output, total: number) {
    this.#output = output
    this.#total = total
  }

  show(bytes: number): void {
    const share = bytes / this.#total
    const text = `${Math.floor(share * 100)} %, ${Math.floor(bytes / 1e6)} MB`
    if (this.#output.isTTY === true) {
      const done = Math.floor(share * width)
      const line = `[${'#'.repeat(done).padEnd(width, '.')}] ${text}`
      // A line that wraps can't be redrawn.
      const fitting = line.slice(0, (this.#output.columns ?? 80) - 1)
      if (fitting === this.#shown) return
      this.#shown = fitting
      this.#output.write(`\r\x1b[2K${fitting}`)
      return
    }
    const step = Math.floor(share * steps)
    if (step === this.#step) return
    this.#step = step
    this.#output.write(`  ${text}\n`)
  }

  /** A whole line above the bar. */
  say(text: string): void {
    this.#output.write(this.#shown === '' ? `${text}\n` : `\r\x1b[2K${text}\n`)
    if (this.#shown !== '') this.#output.write(this.#shown)
  }

  end(): void {
    if (this.#shown !== '') this.#output.write('\n')
  }
}
