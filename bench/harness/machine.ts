import { arch, cpus, loadavg, type as osType, release, totalmem } from 'node:os'

/** What the figures were measured on. No host name and no path: reports are sent around. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly system: string
  readonly node: string
  readonly openssl: string
  /** One-minute load average before the run: 0 on a quiet machine. */
  readonly loadBefore: number
}

export function describeMachine(): Machine {
  const cores = cpus()
  return {
    cpu: cores[0]?.model.trim() ?? 'unknown',
    cores: cores.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${osType()} ${release()} ${arch()}`,
    node: process.version,
    openssl: process.versions['openssl'] ?? 'unknown',
    loadBefore: Number((loadavg()[0] ?? 0).toFixed(2)),
  }
}

export function machineLine(machine: Machine): string {
  return (
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ` +
    `${machine.system}, Node ${machine.node}, OpenSSL ${machine.openssl}, ` +
    `load ${machine.loadBefore} before the run`
  )
}
