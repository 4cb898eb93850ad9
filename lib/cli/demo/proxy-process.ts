import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FromServer, ServerStats } from '../../serve/messages.ts'

const startLimit = 60_000
const stopLimit = 3_000
const keptOutput = 4_096

export interface ProxyProcessOptions {
  readonly port: number
  readonly backend: string
  readonly certFile: string
  readonly keyFile: string
  readonly secret: string
  /** Farm ports of the proxies to join. */
  readonly members: readonly string[]
  readonly cwd: string
  /** Called when the process ends and nobody here asked it to. */
  readonly onLost: (reason: string) => void
}

const noStats: ServerStats = {
  connections: 0,
  requests: 0,
  full: 0,
  resumedLocal: 0,
  resumedPeer: 0,
}

/** `handfast proxy` in a process of its own, which dies with this one. */
export class ProxyProcess {
  readonly port: number
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>
  #farmAddress = ''
  #stats = noStats
  #output = ''
  #wanted = true

  private constructor(options: ProxyProcessOptions) {
    const { port, backend, certFile, keyFile, members, cwd, secret } = options
    this.port = port
    const flags = [
      ...['--listen', `127.0.0.1:${port}`, '--backend', backend],
      ...['--cert', certFile, '--key', keyFile],
      ...['--farm-listen', '127.0.0.1:0', '--farm-name', 'demo'],
      ...members.flatMap(member => ['--member', member]),
      ...['--workers', '1', '--log-level', 'warn'],
    ]
    const main = new URL(`../main${extname(import.meta.url)}`, import.meta.url)
    this.#child = fork(fileURLToPath(main), ['proxy', ...flags], {
      cwd,
      env: { ...process.env, HANDFAST_SECRET: secret },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    const keep = (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString()).slice(-keptOutput)
    }
    this.#child.stdout?.on('data', keep)
    this.#child.stderr?.on('data', keep)
    this.#child.on('message', (message: FromServer) => {
      if (message.type === 'stats') this.#stats = message.stats
      if (message.type === 'listening') this.#farmAddress = message.farmAddress ?? ''
    })
    this.#exited = once(this.#child, 'exit').catch(() => {})
    this.#child.once('exit', (code, signal) => {
      const reason = `${signal ?? `exit code ${code}`}: ${this.#output.trim()}`
      if (this.#wanted && code !== 0) options.onLost(reason)
    })
  }

  /** Resolves when the proxy serves. */
  static async start(options: ProxyProcessOptions): Promise<ProxyProcess> {
    let lost: (error: Error) => void = () => {}
    const started = new ProxyProcess({
      ...options,
      onLost: reason => {
        lost(new Error(`proxy on port ${options.port} ended, ${reason}`))
        options.onLost(reason)
      },
    })
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        lost = reject
        const late = () =>
          reject(new Error(`proxy on port ${options.port} did not start`))
        timer = setTimeout(late, startLimit)
        started.#child.on('message', (message: FromServer) => {
          if (message.type === 'listening') resolve()
        })
        started.#child.on('error', reject)
      })
    } catch (error) {
      await started.kill()
      throw error
    } finally {
      clearTimeout(timer)
    }
    return started
  }

  /** `host:port` at which other members join this one. */
  get farmAddress(): string {
    return this.#farmAddress
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** As last heard, also after the end. */
  get stats(): ServerStats {
    return this.#stats
  }

  /** SIGKILL: no good-bye to clients or farm. */
  async kill(): Promise<void> {
    this.#wanted = false
    this.#child.kill('SIGKILL')
    if (this.#child.pid !== undefined) await this.#exited
  }

  /** SIGTERM, and SIGKILL when that takes too long. */
  async stop(): Promise<void> {
    this.#wanted = false
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopLimit)
    await this.#exited
    clearTimeout(timer)
  }
}
