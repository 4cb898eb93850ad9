import { counter, type Family } from '../../admin/section/family.ts'
import type { Section } from '../../admin/section/section.ts'
import { sum, sumBy } from '../../admin/section/sum.ts'
import { durationBounds, type RequestFigures, type Traffic } from '../traffic.ts'

export function requestsSection(traffic: Traffic): Section<RequestFigures> {
  return {
    name: 'requests',
    read: () => traffic.read(),
    merge: all => ({
      total: sum(all.map(({ total }) => ({ total }))).total ?? 0,
      counts: sumBy(
        all.map(({ counts }) => counts),
        ({ site, method, status }) => `${site} ${method} ${status}`,
      ),
      durations: sumBy(
        all.map(({ durations }) => durations),
        ({ site }) => site,
      ),
    }),
    wide: ({ total }) => ({ requests: total }),
    families: requestFamilies,
  }
}

function requestFamilies({ counts, durations }: RequestFigures): Family[] {
  return [
    counter(
      'handfast_requests_total',
      'Requests since start by site, method and status; class: the first digit of it',
      counts.map(({ site, method, status, count }) => ({
        labels: { site, method, class: classOf(status), status },
        value: count,
      })),
    ),
    {
      name: 'handfast_request_duration_seconds',
      help: 'From the end of the request head to the end of the answer, by site',
      type: 'histogram',
      samples: durations.map(({ site, counts, seconds }) => ({
        labels: { site },
        bounds: durationBounds,
        counts,
        sum: seconds,
      })),
    },
  ]
}

function classOf(status: string): string {
  return status === 'other' ? 'other' : `${status[0]}xx`
}
