import { counter, type Family, gauge } from '../../admin/section/family.ts'
import type { Section } from '../../admin/section/section.ts'
import { sumBy } from '../../admin/section/sum.ts'
import type { Backend } from '../../backend/backend.ts'
import type { BackendHandshakes } from '../../backend/tls-sessions.ts'

/** A backend, as the processes of a host together see it. */
export interface BackendFigures {
  /** `http://host:port`. */
  readonly origin: string
  /** Processes that send it requests; of them, how many have not just seen it fail. */
  readonly processes: number
  readonly ready: number
  /** Of them, how many let it run dry. */
  readonly draining: number
  /** Now. */
  readonly requests: number
  /** For room there; one that waits for several counts at each. */
  readonly waiting: number
  readonly webSockets: number
  /** Since start. */
  readonly sent: number
  /** What went wrong with it since start, by kind. */
  readonly errors: { readonly [kind: string]: number }
  /** Of TLS with it, since start. */
  readonly handshakes: BackendHandshakes
  /** How many of the processes pass it over now, by reason; see docs/health.md. */
  readonly passedOver: { readonly [reason: string]: number }
}

export function backendsSection(
  backends: () => Iterable<Backend>,
): Section<readonly BackendFigures[]> {
  return {
    name: 'backends',
    read: () => {
      // The same address may stand in two sites with other settings.
      return sumBy([[...backends()].map(figuresOf)], ({ origin }) => origin).map(all => ({
        ...all,
        processes: 1,
        ready: Math.min(1, all.ready),
        draining: Math.min(1, all.draining),
      }))
    },
    merge: all => sumBy(all, ({ origin }) => origin),
    wide: all => ({
      backendErrors: all
        .flatMap(({ errors }) => Object.values(errors))
        .reduce((total, count) => total + count, 0),
    }),
    families: backendFamilies,
  }
}

function figuresOf(backend: Backend): BackendFigures {
  const { origin, ready, draining, slots, sent, errors, handshakes, passedOver } = backend
  const { request, tunnel } = slots.used
  return {
    origin,
    processes: 1,
    ready: ready ? 1 : 0,
    draining: draining ? 1 : 0,
    requests: request,
    waiting: slots.waiting,
    webSockets: tunnel,
    sent,
    errors: { ...errors },
    handshakes,
    passedOver: passedOver === undefined ? {} : { [passedOver]: 1 },
  }
}

function backendFamilies(all: readonly BackendFigures[]): Family[] {
  const of = (value: (backend: BackendFigures) => number) =>
    all.map(backend => ({ labels: { backend: backend.origin }, value: value(backend) }))
  return [
    gauge(
      'handfast_backend_up',
      '1 unless a process of this host has just seen it fail',
      of(({ ready, processes }) => (ready === processes ? 1 : 0)),
    ),
    gauge(
      'handfast_backend_draining',
      '1 while it gets no new clients because an operator drains it',
      of(({ draining }) => (draining > 0 ? 1 : 0)),
    ),
    gauge(
      'handfast_backend_passed_over',
      'Processes of this host that pass it over now, by reason',
      all.flatMap(({ origin, passedOver }) =>
        Object.entries(passedOver).map(([reason, value]) => ({
          labels: { backend: origin, reason },
          value,
        })),
      ),
    ),
    gauge(
      'handfast_backend_open_requests',
      'Requests under way',
      of(({ requests }) => requests),
    ),
    gauge(
      'handfast_backend_waiting_requests',
      'Requests that wait for room; one that waits for several backends counts at each',
      of(({ waiting }) => waiting),
    ),
    gauge(
      'handfast_backend_websockets',
      'Open WebSockets',
      of(({ webSockets }) => webSockets),
    ),
    counter(
      'handfast_backend_requests_total',
      'Requests that were sent since start, those that were sent again too',
      of(({ sent }) => sent),
    ),
    counter(
      'handfast_backend_errors_total',
      'What went wrong with a backend since start, by kind',
      all.flatMap(({ origin, errors }) =>
        Object.entries(errors).map(([kind, value]) => ({
          labels: { backend: origin, kind },
          value,
        })),
      ),
    ),
    counter(
      'handfast_backend_handshakes_total',
      'TLS handshakes with a backend since start, full or resumed',
      all.flatMap(({ origin, handshakes }) =>
        (['full', 'resumed'] as const).map(outcome => ({
          labels: { backend: origin, outcome },
          value: handshakes[outcome],
        })),
      ),
    ),
  ]
}
