import { once } from 'node:events'
import { forkChild, stopChild } from '../harness/child.ts'

export interface Relay {
  /** One for each port relayed to, in their order. */
  readonly ports: readonly number[]
  close(): Promise<void>
}

/** A process of its own that relays to these ports and adds a round-trip time. */
export async function startRelay(ports: readonly number[], rtt: number): Promise<Relay> {
  const child = forkChild(new URL('./relay-process.ts', import.meta.url))
  child.send({ ports, rtt })
  const [answer] = (await once(child, 'message')) as [
    { ports: number[] } | { error: string },
  ]
  if ('error' in answer) {
    await stopChild(child)
    throw new Error(`the relay did not start: ${answer.error}`)
  }
  return { ports: answer.ports, close: () => stopChild(child) }
}
