/**
 * 64-bit BUZhash (seed 000, claims 16 and 25): per byte, turn the state left by one bit and
 * XOR a random word that stands for the byte.
 *
 * Two remedies to what plain BUZhash gets wrong. Bytes that lie 64 apart could be swapped
 * unnoticed, so the state is mixed after every 32 bytes; within 32 bytes any 33 neighbouring
 * bits are pairwise independent (Lemire and Kaser, "Recursive n-gram hashing is pairwise
 * independent, at best", 2010). And the table id and the length go in first, mixed, so that
 * they can't cancel against bytes of the key.
 *
 * Whoever does not know the random words can't aim keys at one bucket: draw them anew in every
 * process. The result is left in two fields, as signed halves: a small integer is never
 * allocated.
 */
export class BuzHash {
  low = 0
  high = 0
  readonly #lows = new Int32Array(wordCount)
  readonly #highs = new Int32Array(wordCount)

  /** `words`: {@link buzhashSeedLength} random bytes. */
  constructor(words: Buffer) {
    for (let i = 0; i < wordCount; i += 1) {
      this.#lows[i] = words.readInt32LE(i * 8)
      this.#highs[i] = words.readInt32LE(i * 8 + 4)
    }
  }

  /** Hashes `bytes` from `start` up to `end` under a table id. */
  update(table: number, bytes: Uint8Array, start: number, end: number): void {
    const lows = this.#lows
    const highs = this.#highs
    this.low = lows[256 + table] as number
    this.high = (highs[256 + table] as number) ^ (end - start)
    this.#mix()
    for (let from = start; from < end; from += blockLength) {
      const to = Math.min(end, from + blockLength)
      let low = this.low
      let high = this.high
      for (let i = from; i < to; i += 1) {
        const byte = bytes[i] as number
        const carry = low >>> 31
        low = ((low << 1) | (high >>> 31)) ^ (lows[byte] as number)
        high = ((high << 1) | carry) ^ (highs[byte] as number)
      }
      this.low = low
      this.high = high
      this.#mix()
    }
  }

  /** Every step can be undone, so no two states become one. */
  #mix(): void {
    const low = Math.imul(this.low ^ (this.high >>> 15), 0x85ebca6b)
    const high = Math.imul(this.high ^ (low >>> 13), 0xc2b2ae35)
    this.low = low ^ (high >>> 16)
    this.high = high ^ (this.low >>> 15)
  }
}

const blockLength = 32
/** One word per byte, one per table id. */
const wordCount = 512
export const buzhashSeedLength: number = wordCount * 8
