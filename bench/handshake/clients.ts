import type { ChildProcess } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { forkChild, stopChild } from '../harness/child.ts'
import type { Job, JobResult } from './job.ts'

/** A job that takes longer has hung. */
const jobTimeout = 120_000

/** The processes in which the clients run, apart from every server. */
export class Clients {
  readonly #children: ChildProcess[]
  #jobs = 0

  /** Half of the cores by default: the other half is the servers'. */
  constructor(count: number = Math.max(1, Math.floor(availableParallelism() / 2))) {
    const entry = new URL('./client-process.ts', import.meta.url)
    this.#children = Array.from({ length: count }, () => forkChild(entry))
  }

  get count(): number {
    return this.#children.length
  }

  /** Splits the job over all client processes and puts their results together. */
  async run(job: Omit<Job, 'id'>): Promise<JobResult> {
    const share = Math.ceil(job.count / this.#children.length)
    const concurrency = Math.max(1, Math.floor(job.concurrency / this.#children.length))
    const results = await Promise.all(
      this.#children.map((child, index) =>
        ask(child, {
          ...job,
          id: ++this.#jobs,
          count: share,
          concurrency,
          seed: job.seed + index,
        }),
      ),
    )
    return merge(results)
  }

  async close(): Promise<void> {
    await Promise.all(this.#children.map(stopChild))
  }
}

function ask(child: ChildProcess, job: Job): Promise<JobResult> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(timer)
      child.off('message', onMessage)
      child.off('exit', onExit)
    }
    const onMessage = (answer: JobResult | { id: number; error: string }): void => {
      if (answer.id !== job.id) return
      settle()
      if ('error' in answer) reject(new Error(`client: ${answer.error}`))
      else resolve(answer)
    }
    const onExit = (code: number | null): void => {
      settle()
      reject(new Error(`a client process ended with code ${code}`))
    }
    const timer = setTimeout(() => {
      settle()
      reject(new Error(`a ${job.kind} job did not end within ${jobTimeout} ms`))
    }, jobTimeout)
    child.on('message', onMessage)
    child.on('exit', onExit)
    child.send(job)
  })
}

function merge(results: readonly JobResult[]): JobResult {
  const sum = (of: (result: JobResult) => number): number =>
    results.reduce((total, result) => total + of(result), 0)
  const says = results.every(({ serverResumed }) => serverResumed !== undefined)
  return {
    id: 0,
    handshakes: results.flatMap(({ handshakes }) => handshakes),
    firstBytes: results.flatMap(({ firstBytes }) => firstBytes),
    resumed: sum(({ resumed }) => resumed),
    serverResumed: says ? sum(({ serverResumed }) => serverResumed ?? 0) : undefined,
    bytesSent: sum(({ bytesSent }) => bytesSent),
    bytesReceived: sum(({ bytesReceived }) => bytesReceived),
    failed: sum(({ failed }) => failed),
    firstFailure: results.find(({ firstFailure }) => firstFailure !== undefined)
      ?.firstFailure,
    wall: Math.max(...results.map(({ wall }) => wall)),
    cpu: sum(({ cpu }) => cpu),
  }
}
