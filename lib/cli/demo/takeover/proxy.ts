import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** Until a proxy says what it is waited for, ms. */
const patience = 60_000

const extension = extname(import.meta.url)

/** This program itself, as it runs now, for Node; from the sources with what loads them. */
export const handfast: readonly string[] = [
  ...(extension === '.js' ? [] : process.execArgv),
  fileURLToPath(new URL(`../../main${extension}`, import.meta.url)),
]

interface Status {
  readonly takeover: { readonly protected: { readonly answers: number } }
}

/** `handfast proxy` in a process of its own, which ends with this one; its log is read. */
export class DemoProxy {
  readonly process: ChildProcess
  #log = ''
  #onLog: () => void = () => {}

  /** `before`: a command and its arguments that starts it. */
  constructor(
    before: readonly string[],
    flags: readonly string[],
    options: { readonly cwd: string; readonly secret: string },
  ) {
    const proxy = ['proxy', ...flags, '--log-format', 'json', '--access-log', 'off']
    const [command = '', ...args] = [...before, process.execPath, ...handfast, ...proxy]
    this.process = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, HANDFAST_SECRET: options.secret },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    const keep = (chunk: Buffer) => {
      this.#log += chunk
      this.#onLog()
    }
    this.process.stdout?.on('data', keep)
    this.process.stderr?.on('data', keep)
    this.process.once('exit', () => this.#onLog())
    this.process.on('error', error => keep(Buffer.from(error.message)))
  }

  /** Rejects when it ends before, or says it too late. */
  async until(text: string): Promise<void> {
    const late = AbortSignal.timeout(patience)
    late.addEventListener('abort', () => this.#onLog())
    while (!this.#log.includes(text)) {
      const { exitCode, signalCode } = this.process
      if (exitCode !== null || signalCode !== null || late.aborted) {
        throw new Error(`the proxy does not serve: ${this.#log.trim().slice(-1_000)}`)
      }
      await new Promise<void>(resolve => {
        this.#onLog = resolve
      })
    }
  }

  /** Its admin port, `HOST:PORT`, says that others could go on with its download. */
  async protects(admin: string): Promise<void> {
    const late = AbortSignal.timeout(patience)
    for (;;) {
      try {
        const response = await fetch(`http://${admin}/status`, { signal: late })
        const { takeover } = (await response.json()) as Status
        if (takeover.protected.answers > 0) return
      } catch (error) {
        if (late.aborted) throw error
      }
      await sleep(20)
    }
  }

  async kill(): Promise<void> {
    const { exitCode, signalCode, pid } = this.process
    if (exitCode !== null || signalCode !== null || pid === undefined) return
    this.process.kill('SIGKILL')
    await once(this.process, 'exit')
  }
}
