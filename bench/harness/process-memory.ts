import { readFileSync } from 'node:fs'
import { childrenOf } from './process-cpu.ts'

/** Resident memory in bytes of a process and its descendants; undefined without a /proc. */
export function treeMemory(pid: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    const own = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
    return childrenOf(pid).reduce((sum, child) => sum + (treeMemory(child) ?? 0), own)
  } catch {
    return undefined
  }
}
