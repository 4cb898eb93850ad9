import type { Written } from './acknowledged-writes.ts'
import { firstOfVersion, lastOfVersion } from './scripts.ts'

/** Writes of one part that were not heard back; beyond, all is written again. */
const most = 4_096

interface OwnWrite {
  readonly name: string
  readonly version: Buffer
  /** What was looked at when Redis said that it has it; undefined before. */
  doneIn: number | undefined
}

/**
 * What this host has written to a part and not heard back from its log. A server that forgets
 * what it has just taken (a restart, a replica that takes over and had not got it) says nothing of
 * it, and where nobody had heard of that entry the log goes on as if it had never been.
 */
export class OwnWrites {
  readonly #writes = new Map<string, OwnWrite>()
  #look = 0
  #isOverfull = false

  /**
   * `written`: what Redis says of it. It may be heard before that. What Redis did not take, or did
   * not say, whoever writes knows of.
   */
  async note(name: Buffer, sealed: Buffer, written: Promise<Written>): Promise<Written> {
    const write = this.#begin(name, sealed)
    let isTaken = false
    try {
      const result = await written
      isTaken = !Buffer.isBuffer(result.reply)
      return result
    } finally {
      write.doneIn = this.#look
      if (!isTaken && this.#writes.get(write.name) === write)
        this.#writes.delete(write.name)
    }
  }

  /** A record, or its beginning, as Redis has it. */
  heard(name: Buffer, sealed: Buffer): void {
    const own = this.#writes.get(name.toString('latin1'))
    if (own !== undefined && versionOf(sealed).compare(own.version) >= 0)
      this.#writes.delete(own.name)
  }

  /** What is read from now on shows all that Redis had said to have. Answers a number for `misses`. */
  look(): number {
    this.#look += 1
    return this.#look
  }

  /** All that could be read since that look was heard: whether some is not there. Forgets that. */
  misses(look: number): boolean {
    let isMissing = this.#isOverfull
    this.#isOverfull = false
    for (const { name, doneIn } of this.#writes.values()) {
      if (doneIn === undefined || doneIn >= look) continue
      this.#writes.delete(name)
      isMissing = true
    }
    return isMissing
  }

  #begin(name: Buffer, sealed: Buffer): OwnWrite {
    const version = versionOf(sealed)
    const write = { name: name.toString('latin1'), version, doneIn: undefined }
    if (this.#writes.size < most) this.#writes.set(write.name, write)
    else this.#isOverfull = true
    return write
  }
}

/** With the flag that says deleted: of two, the larger stands. */
function versionOf(sealed: Buffer): Buffer {
  return Buffer.concat([
    sealed.subarray(firstOfVersion - 1, lastOfVersion),
    sealed.subarray(1, 2),
  ])
}
