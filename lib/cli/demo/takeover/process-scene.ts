import { readFileSync } from 'node:fs'
import { generateSecret } from '../../../farm/secret.ts'
import type { Io } from '../../command.ts'
import type { DemoCertificate } from '../certificate.ts'
import { freePorts } from '../free-ports.ts'
import { download } from './download.ts'
import { sha256Of, startObjectBackend } from './object.ts'
import { ProgressLine } from './progress-line.ts'
import { DemoProxy } from './proxy.ts'

export interface SceneSize {
  readonly bytes: number
  /** Bytes per second. */
  readonly rate: number
  /** Of a host that is silent, ms. */
  readonly timeout: number
}

/** Of the download, when a worker is killed. */
const kills = [0.3, 0.6]

/** A download through a proxy with a guardian, both workers of which are killed. True: it is right. */
export async function showProcess(
  { bytes, rate }: SceneSize,
  firstPort: number,
  { certFile, keyFile, cert }: DemoCertificate,
  io: Io,
): Promise<boolean> {
  const [port, adminPort] = await freePorts(firstPort, 2)
  const admin = `127.0.0.1:${adminPort}`
  const backend = await startObjectBackend('127.0.0.1', bytes)
  const flags = ['--listen', `127.0.0.1:${port}`, '--cert', certFile, '--key', keyFile]
  flags.push(
    '--backend',
    `http://127.0.0.1:${backend.port}`,
    '--workers',
    '2',
    '--guardian',
  )
  flags.push('--admin', admin)
  const proxy = new DemoProxy([], flags, { cwd: io.cwd, secret: generateSecret() })
  const line = new ProgressLine(io.stdout, bytes)
  try {
    await proxy.until('all workers are up')
    const workers = childrenOf(proxy.process.pid ?? 0)
    line.say(
      `one download over https://localhost:${port}, served by one of two processes`,
    )
    const due = workers.map((pid, index) => ({ at: (kills[index] ?? 1) * bytes, pid }))
    const sha256 = await download({
      host: '127.0.0.1',
      port: port ?? 0,
      ca: cert,
      rate,
      onProgress: async came => {
        line.show(came)
        const [next] = due
        if (next === undefined || came < next.at) return
        due.shift()
        await proxy.protects(admin)
        process.kill(next.pid, 'SIGKILL')
        line.say(`killed process ${next.pid} with SIGKILL`)
      },
    })
    line.end()
    return sha256 === sha256Of(bytes) && due.length === 0
  } finally {
    await proxy.kill()
    await backend.close()
  }
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.trim().split(' ').map(Number)
}
