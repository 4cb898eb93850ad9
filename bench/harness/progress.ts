/** Where a benchmark prints. Standard output and standard error of a process fit. */
export interface Terminal {
  write(text: string): unknown
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

/** A bar that is redrawn in place on a terminal, and nothing at all elsewhere. */
export class Progress {
  readonly #terminal: Terminal
  #done = 0
  #total = 0
  #drawn = false

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  /** More work has become known. */
  expect(steps: number): void {
    this.#total += steps
  }

  step(doing: string): void {
    this.#done++
    this.#draw(doing)
  }

  show(doing: string): void {
    this.#draw(doing)
  }

  /** Takes the bar away, so that a line can be printed. */
  clear(): void {
    if (this.#drawn) this.#terminal.write('\r\x1b[2K')
    this.#drawn = false
  }

  #draw(doing: string): void {
    if (this.#terminal.isTTY !== true) return
    const columns = this.#terminal.columns ?? 80
    const width = Math.max(10, Math.min(40, columns - 50))
    const share = this.#total === 0 ? 0 : Math.min(1, this.#done / this.#total)
    const full = Math.round(share * width)
    const percent = String(Math.floor(share * 100)).padStart(3)
    const line = `${'█'.repeat(full)}${'░'.repeat(width - full)} ${percent} %  ${doing}`
    this.#terminal.write(`\r\x1b[2K${line.slice(0, columns - 1)}`)
    this.#drawn = true
  }
}
