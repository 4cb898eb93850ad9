import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { detectNative } from '../../lib/takeover/native/detect.ts'
import type { BenchmarkContext } from '../benchmark.ts'
import { makeIdentities } from '../certificates/identity.ts'
import { forkChild, freePorts, stopChild } from '../harness/child.ts'
import { childrenOf, treeCpu } from '../harness/process-cpu.ts'
import { median } from '../harness/statistics.ts'
import { Foreground } from '../systems/foreground.ts'
import { keyFiles } from '../systems/tls-files.ts'
import { type Part, ratioGoal } from './part.ts'

/** What the client says. */
export interface ClientWord {
  readonly flows?: true
  /** Milliseconds. */
  readonly stall?: number
  readonly failure?: string | undefined
}

/** Of a death, until the next worker must be there. */
const longestStart = 30_000
/** Milliseconds in which it shows who serves the client. */
const glance = 300

/** The pause in a download whose worker is killed. */
export async function guardianStall(context: BenchmarkContext): Promise<Part> {
  const { sockets, missing } = await detectNative()
  if (sockets === undefined) {
    return { goals: [], tables: [], skipped: [`guardian: ${missing?.text}`] }
  }
  const rounds = context.quick ? 5 : 15
  context.progress.expect(2 * rounds)
  const measured = []
  for (const workers of [1, 2]) {
    measured.push({ workers, ...(await deaths(workers, rounds, context)) })
  }
  return {
    goals: measured.map(({ workers, stalls }) =>
      ratioGoal(
        `ms that a download stands still when its worker is killed, ${workers} wished`,
        200,
        stalls,
      ),
    ),
    tables: [
      {
        title: `${rounds} deaths of a worker during a download, ms of silence`,
        columns: ['workers wished', 'median', 'longest'],
        rows: measured.map(({ workers, stalls }) => [
          String(workers),
          median(stalls).toFixed(0),
          Math.max(...stalls).toFixed(0),
        ]),
      },
    ],
    failures: measured.flatMap(({ failures }) => failures),
  }
}

async function deaths(
  workers: number,
  rounds: number,
  { folder, progress }: BenchmarkContext,
): Promise<{ stalls: number[]; failures: string[] }> {
  const place = join(folder, `guardian-${workers}`)
  await mkdir(place)
  const { keyFile, certFile } = await keyFiles(makeIdentities('p256'), place)
  const backend = forkChild(new URL('./object-backend-process.ts', import.meta.url))
  const [{ port: backendPort }] = (await once(backend, 'message')) as [{ port: number }]
  const [port, admin] = (await freePorts(2)) as [number, number]
  const config = join(place, 'handfast.yaml')
  await writeFile(
    config,
    `listen: 127.0.0.1:${port}
workers: ${workers}
admin: { listen: '127.0.0.1:${admin}' }
accessLog: off
logFormat: json
guardian: { enabled: true }
sites:
  - cert: ${certFile}
    key: ${keyFile}
    backends: ['http://127.0.0.1:${backendPort}']
`,
  )
  const extension = extname(import.meta.url)
  const main = new URL(`../../lib/cli/main${extension}`, import.meta.url)
  const log = join(place, 'log')
  const proxy = await Foreground.start(
    process.execPath,
    [...process.execArgv, fileURLToPath(main), 'proxy', '--config', config],
    port,
    { stdout: openSync(log, 'w') },
  )
  const client = forkChild(new URL('./guarded-client-process.ts', import.meta.url))
  const hear = listen(client)
  const [stalls, failures]: [number[], string[]] = [[], []]
  try {
    // Another one is there in the place of each that was killed.
    const up = () => {
      const lines = readFileSync(log, 'utf8').split('\n')
      return lines.filter(line => line.includes('"admin listens"')).length
    }
    for (let round = 0; round < rounds; round++) {
      progress.step(`death ${round + 1} of one of ${workers}`)
      await until(() => up() >= Math.max(2, workers) + round)
      client.send({ port })
      const { flows, failure: early } = await hear()
      if (flows !== true) throw new Error(`no download: ${early}`)
      const server = await busiest(childrenOf(proxy.pid))
      await until(async () => await isProtected(admin))
      client.send({ look: true })
      process.kill(server, 'SIGKILL')
      const { stall = 0, failure } = await hear()
      if (failure === undefined) stalls.push(stall)
      else failures.push(`the download of death ${round + 1}: ${failure}`)
    }
  } finally {
    await proxy.close()
    await Promise.all([stopChild(client), stopChild(backend)])
  }
  return { stalls, failures }
}

/** What it says, one word after the other. */
function listen(child: ChildProcess): () => Promise<ClientWord> {
  const words: ClientWord[] = []
  child.on('message', word => words.push(word as ClientWord))
  return async () => {
    while (words.length === 0) await once(child, 'message')
    return words.shift() as ClientWord
  }
}

/** Which of the processes works most just now. */
async function busiest(pids: readonly number[]): Promise<number> {
  const before = pids.map(pid => treeCpu(pid) ?? 0)
  await sleep(glance)
  const used = pids.map((pid, at) => (treeCpu(pid) ?? 0) - (before[at] as number))
  return pids[used.indexOf(Math.max(...used))] as number
}

async function isProtected(admin: number): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${admin}/status`)
  const { takeover } = (await answer.json()) as {
    takeover: { protected: { answers: number } }
  }
  return takeover.protected.answers > 0
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + longestStart
  while (!(await holds())) {
    if (performance.now() > end) throw new Error('a worker did not come up')
    await sleep(20)
  }
}
