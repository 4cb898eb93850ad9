import { closeSync, openSync, readSync } from 'node:fs'

/** What Node's `--trace-gc` prints among other lines, as long as it stands in a file. */
const pause =
  /\d ms: (?:Scavenge|Mark-Compact|Minor Mark-Sweep).*? MB, (?:pooled: [^,]*, )?([\d.]+) \//g

/** Adds up the pauses of a process that was started with `--trace-gc`. */
export class GcTime {
  readonly #file: string
  #read = 0
  #total = 0

  /** `file`: where its standard output goes. */
  constructor(file: string) {
    this.#file = file
  }

  /** Milliseconds so far. */
  total(): number {
    const file = openSync(this.#file, 'r')
    try {
      const chunk = Buffer.alloc(4 * 1024 * 1024)
      for (;;) {
        const length = readSync(file, chunk, 0, chunk.length, this.#read)
        const end = chunk.subarray(0, length).lastIndexOf(10) + 1
        if (end === 0) return this.#total
        this.#read += end
        const text = chunk.toString('latin1', 0, end)
        for (const [, ms] of text.matchAll(pause)) this.#total += Number(ms)
      }
    } finally {
      closeSync(file)
    }
  }
}
