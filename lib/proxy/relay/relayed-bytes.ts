import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Bytes between two collections. With 16 MiB V8 is the first now and then; 4 cost more. */
const interval = 8 * 2 ** 20

/**
 * Frees the buffers of what was relayed, before V8 takes them for a reason to collect everything.
 *
 * What a socket has read is memory outside of V8's heap, with a small object in the heap for each
 * 64 KiB. These objects alone would fill the young generation once in some hundred megabytes. Long
 * before that all that memory counts as growth of the old generation, and V8 marks and sweeps the
 * whole heap, several times for each hundred megabytes: that was half of the processor time of a
 * download (`npm run bench -- proxy`, the megabytes). A collection of the young generation alone
 * takes about a millisecond.
 */
export class RelayedBytes {
  readonly #collect: (() => void) | undefined
  #bytes = 0

  constructor(collect: (() => void) | undefined) {
    this.#collect = collect
  }

  count(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes < interval) return
    this.#bytes = 0
    this.#collect?.()
  }
}

/** Of this process, as the heap is. */
export const relayed: RelayedBytes = new RelayedBytes(collectYoung)

let minor: (() => void) | undefined

function collectYoung(): void {
  minor ??= minorCollection()
  minor()
}

/** V8 gives its `gc` to contexts that are made while `--expose-gc` is set. Does nothing where it does not. */
function minorCollection(): () => void {
  try {
    setFlagsFromString('--expose-gc')
    const gc: unknown = runInNewContext('gc')
    if (globalThis.gc === undefined) setFlagsFromString('--no-expose-gc')
    if (typeof gc === 'function') return () => gc({ type: 'minor' })
  } catch {
    // All goes on as it would without this.
  }
  return () => {}
}
