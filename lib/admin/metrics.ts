import { Counter, Gauge, Registry } from 'prom-client'
import type { Farm, FarmStats } from '../member/farm.ts'

/** The figures of a host in the text format of Prometheus. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #farm: Farm
  #stats: FarmStats

  constructor(farm: Farm) {
    this.#farm = farm
    this.#stats = farm.stats()
    const stats = () => this.#stats
    const registers = [this.#registry]
    new Counter({
      name: 'handfast_handshakes_total',
      help: 'TLS handshakes since start, by outcome; full ones with their cause',
      labelNames: ['outcome', 'detail'],
      registers,
      collect() {
        this.reset()
        const { causes, failed } = stats().handshakes
        for (const [name, count] of Object.entries(causes)) {
          const [outcome = name, detail = ''] = name.split(':')
          if (outcome !== 'failed') this.inc({ outcome, detail }, count)
        }
        this.inc({ outcome: 'failed', detail: '' }, failed)
      },
    })
    new Counter({
      name: 'handfast_unstored_total',
      help: 'TLS handshakes since start of which no session was kept, by cause',
      labelNames: ['cause'],
      registers,
      collect() {
        this.reset()
        const { unstored } = stats().handshakes
        for (const [cause, count] of Object.entries(unstored)) this.inc({ cause }, count)
      },
    })
    new Counter({
      name: 'handfast_limits_total',
      help: 'How often a limit was met since start, by the name of its option',
      labelNames: ['limit'],
      registers,
      collect() {
        this.reset()
        const { limits } = stats()
        for (const [limit, count] of Object.entries(limits)) this.inc({ limit }, count)
      },
    })
    new Counter({
      name: 'handfast_logins_total',
      help: 'Log-ins since start, by method and outcome',
      labelNames: ['method', 'outcome'],
      registers,
      collect() {
        this.reset()
        for (const { method, outcome, count } of stats().auth.logins) {
          this.inc({ method, outcome }, count)
        }
      },
    })
    new Counter({
      name: 'handfast_logouts_total',
      help: 'Log-outs since start',
      registers,
      collect() {
        this.reset()
        this.inc(stats().auth.logouts)
      },
    })
    new Counter({
      name: 'handfast_login_lookups_total',
      help: 'Requests since start: hit where the user was known without being asked',
      labelNames: ['found'],
      registers,
      collect() {
        this.reset()
        const { hit, miss } = stats().auth.lookups
        this.inc({ found: 'hit' }, hit)
        this.inc({ found: 'miss' }, miss)
      },
    })
    new Counter({
      name: 'handfast_log_dropped_total',
      help: 'Log lines since start that were lost because nobody read them in time',
      registers,
      collect() {
        this.reset()
        this.inc(stats().served['logLinesDropped'] ?? 0)
      },
    })
    new Gauge({
      name: 'handfast_members',
      help: 'Members of the farm that this one knows of, by state, itself included',
      labelNames: ['state'],
      registers,
      collect() {
        this.reset()
        for (const { state } of farm.members()) this.inc({ state })
      },
    })
    new Gauge({
      name: 'handfast_table',
      help: 'The record table: records, bytes, maxBytes now; evicted, expired, corrupt since start',
      labelNames: ['figure'],
      registers,
      collect() {
        for (const [figure, value] of Object.entries(stats().table)) {
          this.set({ figure }, value)
        }
      },
    })
    new Gauge({
      name: 'handfast_transport',
      help: 'What this member exchanged with the others; docs/metrics.md tells each figure',
      labelNames: ['figure'],
      registers,
      collect() {
        for (const [figure, value] of Object.entries(stats().transport)) {
          this.set({ figure }, value)
        }
      },
    })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  async text(): Promise<string> {
    this.#stats = await this.#farm.hostStats()
    return await this.#registry.metrics()
  }
}
