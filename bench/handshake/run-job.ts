import { createSecureContext, type SecureContext } from 'node:tls'
import { seededRandom } from '../harness/random.ts'
import type { Job, JobKind, JobResult } from './job.ts'
import { type JarEntry, SessionJar } from './session-jar.ts'
import { type Visit, visit } from './visit.ts'

/**
 * Every server is offered the same suites and groups, so that nobody wins by a cheaper cipher.
 * P-256 is there because in TLS 1.2 a certificate's curve must be among the groups; keys are
 * exchanged over X25519.
 */
const suites =
  'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256'
const groups = 'X25519:P-256'

/** What one client process keeps between jobs. */
export class JobRunner {
  readonly #contexts = new Map<string, SecureContext>()
  /** Minted and not yet offered. */
  #minted: JarEntry[] = []

  async run(job: Job): Promise<JobResult> {
    const context = this.#context(job)
    const tally = new Tally()
    const cpu = process.cpuUsage()
    const began = performance.now()
    if (job.kind === 'chain') await this.#runChains(job, context, tally)
    else await this.#runEach(job, context, tally)
    const wall = performance.now() - began
    const used = process.cpuUsage(cpu)
    return tally.result(job.id, wall, (used.user + used.system) / 1000)
  }

  async #runEach(job: Job, context: SecureContext, tally: Tally): Promise<void> {
    if (job.kind === 'mint') this.#minted = []
    let started = 0
    const isDone = (): boolean =>
      job.kind === 'mint' && tally.failed === 0
        ? this.#minted.length >= job.count || started >= job.count * 2
        : started >= job.count
    await lanes(job.concurrency, async () => {
      while (!isDone()) {
        const turn = started++
        const entry =
          job.kind === 'same' || job.kind === 'cross' ? this.#minted.shift() : undefined
        const member = memberFor(job.kind, turn, entry, job.ports.length)
        const seen = await tally.visit(job.ports[member] as number, context, entry)
        if (job.kind === 'mint' && seen !== undefined) this.#keep(job, seen, member)
      }
    })
  }

  /** A TLS 1.3 server gives two tickets at once; a TLS 1.2 session stands for two as well. */
  #keep(job: Job, { sessions }: Visit, member: number): void {
    const usable = job.version === '1.3' ? sessions : sessions.flatMap(one => [one, one])
    for (const session of usable) this.#minted.push({ session, member })
  }

  async #runChains(job: Job, context: SecureContext, tally: Tally): Promise<void> {
    const random = seededRandom(job.seed)
    const steps = Math.ceil(job.count / job.concurrency)
    await lanes(job.concurrency, async () => {
      const jar = new SessionJar(job.version === '1.3')
      const pick = (): number => Math.floor(random() * job.ports.length)
      const first = pick()
      const minted = await visit({ port: job.ports[first] as number, context })
      jar.put(minted.sessions, first)
      for (let step = 0; step < steps; step++) {
        const member = pick()
        const port = job.ports[member] as number
        const seen = await tally.visit(port, context, jar.take())
        if (seen !== undefined) jar.put(seen.sessions, member)
      }
    })
  }

  #context({ version, trust }: Job): SecureContext {
    const name = `${version} ${trust.ca} ${trust.cert ?? ''}`
    let context = this.#contexts.get(name)
    if (context === undefined) {
      context = createSecureContext({
        ...trust,
        minVersion: `TLSv${version}`,
        maxVersion: `TLSv${version}`,
        ciphers: suites,
        ecdhCurve: groups,
      })
      this.#contexts.set(name, context)
    }
    return context
  }
}

function memberFor(
  kind: JobKind,
  turn: number,
  entry: JarEntry | undefined,
  members: number,
): number {
  if (entry === undefined || members === 1) return turn % members
  if (kind === 'same') return entry.member
  return (entry.member + 1 + (turn % (members - 1))) % members
}

/** Runs the same loop several times side by side. */
async function lanes(count: number, loop: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, loop))
}

class Tally {
  readonly #visits: Visit[] = []
  #failed = 0
  #firstFailure: string | undefined

  get failed(): number {
    return this.#failed
  }

  /** A visit that fails is counted, and the work goes on. */
  async visit(
    port: number,
    context: SecureContext,
    entry: JarEntry | undefined,
  ): Promise<Visit | undefined> {
    try {
      const seen = await visit({ port, context, session: entry?.session })
      this.#visits.push(seen)
      return seen
    } catch (error) {
      this.#failed++
      this.#firstFailure ??= (error as Error).message
      return undefined
    }
  }

  result(id: number, wall: number, cpu: number): JobResult {
    const visits = this.#visits
    const sum = (of: (seen: Visit) => number): number =>
      visits.reduce((total, seen) => total + of(seen), 0)
    const says = visits.every(({ serverResumed }) => serverResumed !== undefined)
    return {
      id,
      handshakes: visits.map(({ handshake }) => handshake),
      firstBytes: visits.map(({ firstByte }) => firstByte),
      resumed: sum(({ resumed }) => Number(resumed)),
      serverResumed: says
        ? sum(({ serverResumed }) => Number(serverResumed === true))
        : undefined,
      bytesSent: sum(({ bytesSent }) => bytesSent),
      bytesReceived: sum(({ bytesReceived }) => bytesReceived),
      failed: this.#failed,
      firstFailure: this.#firstFailure,
      wall,
      cpu,
    }
  }
}
