import { BoundedMap } from '../bounded-map.ts'
import { HandfastError } from '../errors.ts'
import type { StateSealer } from './sealer.ts'

export const mostKeyBytes = 200
/** Names of keys that are remembered, for one costs a hash. */
const mostNames = 20_000

/** The names under which keys lie in a database; those that were new last are remembered. */
export class Names {
  readonly #table: string
  readonly #sealer: StateSealer | undefined
  readonly #known = new BoundedMap<string, string>(mostNames)

  constructor(table: string, sealer: StateSealer | undefined) {
    this.#table = table
    this.#sealer = sealer
  }

  of(key: string): string {
    const known = this.#known.get(key)
    if (known !== undefined) return known
    checkKey(key)
    const name = this.#sealer?.nameOf(this.#table, key) ?? key
    this.#known.set(key, name)
    return name
  }
}

/** Half of a character, of which UTF-8 makes something else. */
const loneSurrogate = /\p{Surrogate}/u

function checkKey(key: string): void {
  const isText = typeof key === 'string' && key !== '' && !key.includes('\0')
  if (isText && Buffer.byteLength(key) <= mostKeyBytes && !loneSurrogate.test(key)) return
  throw new HandfastError(
    'ERR_HANDFAST_USAGE',
    `a key is a text of 1 to ${mostKeyBytes} bytes without NUL`,
  )
}
