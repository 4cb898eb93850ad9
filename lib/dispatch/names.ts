import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import { type Lookup, type Resolve, ResolvedName } from './resolved-name.ts'

export interface NamesOptions {
  readonly clock: Clock
  readonly log: Log
  readonly lookup: Lookup
  readonly onChange: () => void
}

/** The names of backends that are asked again and again, each once. */
export class Names {
  readonly #options: NamesOptions
  #names = new Map<string, ResolvedName>()
  /** Those that were asked for since `begin`. */
  #used = new Set<string>()

  constructor(options: NamesOptions) {
    this.#options = options
  }

  begin(): void {
    this.#used = new Set()
  }

  of(url: URL, how: Resolve): ResolvedName {
    const key = `${how} ${url.host} ${url.protocol}`
    this.#used.add(key)
    let name = this.#names.get(key)
    if (name === undefined) {
      const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
      name = new ResolvedName({ hostname: url.hostname, port, how, ...this.#options })
      this.#names.set(key, name)
    }
    return name
  }

  /** Lets go of those that nobody has asked for since `begin`. */
  sweep(): void {
    for (const [key, name] of this.#names) {
      if (this.#used.has(key)) continue
      name.close()
      this.#names.delete(key)
    }
  }

  close(): void {
    for (const name of this.#names.values()) name.close()
  }
}
