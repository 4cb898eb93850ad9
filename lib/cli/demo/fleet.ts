import type { ServerStats } from '../../serve/messages.ts'
import { ProxyProcess, type ProxyProcessOptions } from './proxy-process.ts'

export interface FleetOptions
  extends Omit<ProxyProcessOptions, 'port' | 'members' | 'onLost'> {
  readonly ports: readonly number[]
  readonly onLost: (proxy: number, reason: string) => void
}

/** The proxies of the demo, by their place: 0, 1, 2. */
export class Fleet {
  readonly #options: FleetOptions
  readonly #proxies: ProxyProcess[] = []
  /** Counters of processes that are no more. */
  readonly #past: ServerStats[] = []

  private constructor(options: FleetOptions) {
    this.#options = options
  }

  /** Starts the first one, then the others, which join it. */
  static async start(options: FleetOptions): Promise<Fleet> {
    const fleet = new Fleet(options)
    try {
      for (const index of options.ports.keys()) {
        fleet.#proxies.push(await fleet.#start(index))
      }
    } catch (error) {
      await fleet.stop()
      throw error
    }
    return fleet
  }

  get ports(): readonly number[] {
    return this.#options.ports
  }

  async kill(index: number): Promise<void> {
    const proxy = this.#proxies[index]
    await proxy?.kill()
  }

  /** A new process in place of one that was killed. It joins those that are left. */
  async restart(index: number): Promise<void> {
    const gone = this.#proxies[index]
    const fresh = await this.#start(index)
    if (gone !== undefined) this.#past.push(gone.stats)
    this.#proxies[index] = fresh
  }

  /** Sum over all proxies, with those that are gone. */
  stats(): ServerStats {
    const all = [...this.#past, ...this.#proxies.map(proxy => proxy.stats)]
    const sum = (name: keyof ServerStats) =>
      all.reduce((total, stats) => total + stats[name], 0)
    return {
      connections: sum('connections'),
      requests: sum('requests'),
      full: sum('full'),
      resumedLocal: sum('resumedLocal'),
      resumedPeer: sum('resumedPeer'),
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#proxies.map(proxy => proxy.stop()))
  }

  async #start(index: number): Promise<ProxyProcess> {
    const { ports, onLost, ...rest } = this.#options
    const others = this.#proxies.filter((_, other) => other !== index)
    return await ProxyProcess.start({
      ...rest,
      port: ports[index] ?? 0,
      members: others.map(proxy => proxy.farmAddress),
      onLost: reason => onLost(index, reason),
    })
  }
}
