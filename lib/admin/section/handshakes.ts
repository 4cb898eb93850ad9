import type { HandshakeCounts } from '../../resumption/counters.ts'
import { counter, gauge, samplesOf } from './family.ts'
import type { Section } from './section.ts'
import { sum } from './sum.ts'

export function handshakesSection(read: () => HandshakeCounts): Section<HandshakeCounts> {
  return {
    name: 'handshakes',
    read,
    merge(all) {
      const cpu = {
        full: typical(all.map(({ cpu }) => cpu.full)),
        resumed: typical(all.map(({ cpu }) => cpu.resumed)),
      }
      return { ...sum(all), cpu }
    },
    wide: ({ causes }) => ({ causes }),
    families: ({ causes, failed, unstored, cpu }) => [
      counter(
        'handfast_handshakes_total',
        'TLS handshakes since start, by outcome; full ones with their cause',
        [
          ...Object.entries(causes).flatMap(([name, value]) => {
            const [outcome = name, detail = ''] = name.split(':')
            return outcome === 'failed' ? [] : { labels: { outcome, detail }, value }
          }),
          { labels: { outcome: 'failed', detail: '' }, value: failed },
        ],
      ),
      counter(
        'handfast_unstored_total',
        'TLS handshakes since start of which no session was kept, by cause',
        samplesOf('cause', { ...unstored }),
      ),
      gauge(
        'handfast_handshake_cpu_seconds',
        'CPU time that TLS takes to answer a ClientHello, as last measured',
        Object.entries(cpu).flatMap(([outcome, { samples, seconds }]) =>
          samples === 0 ? [] : { labels: { outcome }, value: seconds },
        ),
      ),
    ],
  }
}

type Cost = HandshakeCounts['cpu']['full']

/** Of several processes, each by how much it has measured. */
function typical(costs: readonly Cost[]): Cost {
  const samples = costs.reduce((total, cost) => total + cost.samples, 0)
  const seconds = costs.reduce((total, cost) => total + cost.samples * cost.seconds, 0)
  return { samples, seconds: samples === 0 ? 0 : seconds / samples }
}
