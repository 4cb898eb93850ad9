/** How far behind the newest number a datagram may come and still be new. */
export const replayWindowLength = 4_096

/**
 * Which sequence numbers of a sender have been taken, when gaps are never filled: the sliding
 * window of RFC 4303 section 3.4.3. `fresh` is asked before the datagram is opened and `mark`
 * called after, so that a forged number can't push the window.
 */
export class ReplayWindow {
  readonly #taken = new Uint32Array(replayWindowLength / 32)
  #highest = 0

  fresh(sequence: number): boolean {
    if (sequence > this.#highest) return true
    if (sequence <= this.#highest - replayWindowLength) return false
    return !this.#has(sequence)
  }

  mark(sequence: number): void {
    if (sequence > this.#highest) {
      this.#slide(sequence)
      this.#highest = sequence
    }
    const word = wordOf(sequence)
    this.#taken[word] = (this.#taken[word] ?? 0) | (1 << (sequence % 32))
  }

  #has(sequence: number): boolean {
    return ((this.#taken[wordOf(sequence)] ?? 0) & (1 << (sequence % 32))) !== 0
  }

  /** Forgets what the numbers between the old and the new highest meant one turn ago. */
  #slide(sequence: number): void {
    if (sequence - this.#highest >= replayWindowLength) {
      this.#taken.fill(0)
      return
    }
    for (let passed = this.#highest + 1; passed <= sequence; passed++) {
      const word = wordOf(passed)
      this.#taken[word] = (this.#taken[word] ?? 0) & ~(1 << (passed % 32))
    }
  }
}

function wordOf(sequence: number): number {
  return Math.floor((sequence % replayWindowLength) / 32)
}
