import { Agent, request } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { serverName } from '../certificates/identity.ts'
import type { PacedJob, PacedOutcome } from './load.ts'

/** A request that has no answer after so long, in milliseconds, has failed. */
const patience = 20_000

/**
 * An open loop: who comes does not wait until those before have been served. A request that could
 * not be made in time, because this process was late, is made then.
 */
export async function runPaced(job: PacedJob, ca: string): Promise<PacedOutcome> {
  const { pace, seconds, methods } = job
  const agent = new Agent({
    keepAlive: true,
    ca,
    servername: serverName,
    maxSockets: 500,
  })
  const latencies: number[] = []
  const failures: string[] = []
  const open = new Set<Promise<void>>()
  const began = performance.now()
  const all = pace * seconds
  for (let made = 0; made < all; ) {
    const due = Math.min(all, ((performance.now() - began) * pace) / 1000)
    for (; made < due; made++) {
      const method = methods[made % methods.length] as string
      const at = performance.now()
      const one = ask(agent, job, method).then(outcome => {
        open.delete(one)
        if (outcome === '200') latencies.push(performance.now() - at)
        else failures.push(`${method} ${outcome}`)
      })
      open.add(one)
    }
    await sleep(1)
  }
  await Promise.all(open)
  agent.destroy()
  return { latencies: latencies.sort((a, b) => a - b), failures }
}

/** The status of an answer that was whole, or the code of the error. */
function ask(agent: Agent, { port, path }: PacedJob, method: string): Promise<string> {
  return new Promise(resolve => {
    const asked = request(
      { host: '127.0.0.1', port, path, method, agent, timeout: patience },
      response => {
        response.resume()
        response.on('end', () => resolve(`${response.statusCode}`))
        response.on('error', error => resolve(codeOf(error)))
      },
    )
    asked.setHeader('Host', serverName)
    asked.on('timeout', () => asked.destroy(new Error('no answer')))
    asked.on('error', error => resolve(codeOf(error)))
    // Node frames no body of a DELETE.
    asked.end(method === 'PUT' || method === 'POST' ? 'some' : undefined)
  })
}

function codeOf(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? error.message
}
