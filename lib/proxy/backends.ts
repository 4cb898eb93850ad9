import { createHash } from 'node:crypto'
import { Backend } from '../backend/backend.ts'
import type { Log } from '../log.ts'
import type { Limits, Site } from './options.ts'

/** The backends in use. One stays the same over a reload when nothing about it changes. */
export class Backends {
  readonly #log: Log
  #byKey = new Map<string, Backend>()

  constructor(log: Log) {
    this.#log = log
  }

  /**
   * Runs `build`, which asks for backends, and lets go of those it did not ask for: their open
   * requests finish. When it throws nothing has changed.
   */
  rebuild<T>(
    limits: Limits,
    build: (of: (address: string, site: Site) => Backend) => T,
  ): T {
    const next = new Map<string, Backend>()
    const made: Backend[] = []
    const of = (address: string, site: Site): Backend => {
      const key = keyOf(address, site, limits)
      let backend = next.get(key) ?? this.#byKey.get(key)
      if (backend === undefined) {
        backend = new Backend(address, {
          ca: site.backendCa,
          connectTimeout: limits.connectTimeout,
          headersTimeout: limits.backendHeadersTimeout,
          bodyTimeout: limits.backendBodyTimeout,
          maxHeaderBytes: limits.maxHeaderBytes,
          maxRequests: limits.maxBackendRequests,
          maxTunnels: limits.maxTunnels,
          share: limits.clientShare / 100,
        })
        made.push(backend)
      }
      next.set(key, backend)
      return backend
    }
    let result: T
    try {
      result = build(of)
    } catch (error) {
      for (const backend of made) this.#letGo(backend.destroy())
      throw error
    }
    for (const [key, backend] of this.#byKey) {
      if (!next.has(key)) this.#letGo(backend.close())
    }
    this.#byKey = next
    return result
  }

  async destroy(): Promise<void> {
    await Promise.allSettled([...this.#byKey.values()].map(backend => backend.destroy()))
  }

  #letGo(closing: Promise<void>): void {
    closing.catch(error => this.#log.debug({ error: String(error) }, 'closing a backend'))
  }
}

function keyOf(address: string, site: Site, limits: Limits): string {
  const ca = createHash('sha256')
    .update(String(site.backendCa ?? ''))
    .digest('base64')
  const { connectTimeout, backendHeadersTimeout, backendBodyTimeout } = limits
  return JSON.stringify([
    address,
    ca,
    connectTimeout,
    backendHeadersTimeout,
    backendBodyTimeout,
    limits.maxHeaderBytes,
    limits.maxBackendRequests,
    limits.maxTunnels,
    limits.clientShare,
  ])
}
