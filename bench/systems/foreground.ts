import type { ChildProcess } from 'node:child_process'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { spawnChild, stopChild } from '../harness/child.ts'
import { treeCpu } from '../harness/process-cpu.ts'

const startTimeout = 60_000
const pollInterval = 20

/** A program that runs in the foreground and listens on a port of 127.0.0.1. */
export class Foreground {
  readonly #child: ChildProcess

  /** Resolves when it accepts connections; rejects with what it said when it does not. */
  static async start(
    command: string,
    args: readonly string[],
    port: number,
    options: { readonly stdout?: number } = {},
  ): Promise<Foreground> {
    const { child, output } = spawnChild(command, args, options)
    let ended: string | undefined
    child.on('exit', code => {
      ended = `ended with code ${code}`
    })
    child.on('error', error => {
      ended = error.message
    })
    const deadline = performance.now() + startTimeout
    while (!(await accepts(port))) {
      if (ended === undefined && performance.now() < deadline) {
        await sleep(pollInterval)
        continue
      }
      const why = ended ?? 'does not listen'
      await stopChild(child)
      throw new Error(`${command} ${why}: ${output().trim()}`)
    }
    return new Foreground(child)
  }

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  get pid(): number {
    return this.#child.pid as number
  }

  cpu(): number | undefined {
    return treeCpu(this.#child.pid as number)
  }

  close(): Promise<void> {
    return stopChild(this.#child)
  }
}

/** The processor time of all, undefined when one can't be told. */
export function cpuOfAll(programs: readonly Foreground[]): number | undefined {
  let sum = 0
  for (const program of programs) {
    const used = program.cpu()
    if (used === undefined) return undefined
    sum += used
  }
  return sum
}

function accepts(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
