import type { Benchmark } from './benchmark.ts'
import { judgeProxies } from './proxying/goals.ts'
import { measureProxies, type ProxyJob } from './proxying/measure.ts'
import { proxySystems } from './proxying/proxies.ts'
import { measurementOf, proxyTable } from './proxying/rows.ts'

/** What is asked of every proxy that can do it, per round. */
const jobs: readonly ProxyJob[] = [
  { name: 'small-h1', kind: 'h1', body: 'small', concurrency: 50, requests: 6_000 },
  { name: 'small-h2', kind: 'h2', body: 'small', concurrency: 50, requests: 4_000 },
  { name: 'mib-h1', kind: 'h1', body: 'mib', concurrency: 8, requests: 120 },
  { name: 'new-connection', kind: 'new', body: 'small', concurrency: 8, requests: 400 },
]

/**
 * HTTP requests through handfast, beside what else people put there.
 *
 * Beside thirty lines on undici, nine rounds, on a machine that others were at work on: small requests
 * cost 1.3 to 1.45 times as much (missed: 1.1), by HTTP/2 0.93, bodies of 1 MiB 0.75 to 0.81; 2.5 % of
 * the CPU is the garbage collector's.
 *
 * Where the CPU of a small request goes (`--cpu-prof` of the worker, kept-alive HTTP/1.1): a third in one
 * write to the client, which is TLS and TCP, an eighth in the one to the backend, an eighth in Node's own
 * JavaScript, 8 % in undici's, 6 % in the garbage collector, 10 % in code of handfast, of which no function
 * is 1 %. The write to the log was another tenth, until the lines of one turn went out together: with that
 * a request costs 0.88 of what it did (three interleaved rounds of wrk, 50 connections, others at work).
 *
 * Of a new connection with one request half is Node's own JavaScript and OpenSSL under it (a sixth
 * of all in the one call that reads the hello and signs), a tenth the garbage collector, 5 % the
 * write to the backend; 15 % is code of handfast, of which a third reads the hello, finds out what
 * may resume and seals the tickets, and no function is 1 %.
 */
export const proxy: Benchmark = {
  name: 'proxy',
  about:
    'CPU and latency of a proxied request: http-proxy, undici, nginx, HAProxy beside',
  async run(context) {
    const rounds = context.quick ? 3 : 9
    const measured = await measureProxies(proxySystems, jobs, rounds, context)
    const { goals, comparisons } = judgeProxies(measured.rows)
    return {
      result: {
        name: 'proxy',
        measurements: measured.rows.map(measurementOf),
        comparisons,
        goals,
        skipped: measured.skipped,
        notes: [],
        failures: measured.failures,
      },
      tables: [proxyTable(`Requests through a proxy, ${rounds} rounds`, measured.rows)],
    }
  },
}
