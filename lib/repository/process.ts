import { readFileSync } from 'node:fs'

/** Whether the process can still do anything. One that has ended and was not waited for can't. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    // Without leave to signal it: it is there.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !/^ [ZX]/.test(stat.slice(stat.lastIndexOf(')') + 1))
  } catch {
    return process.platform !== 'linux'
  }
}
