import { readdirSync, readFileSync } from 'node:fs'

/**
 * Processor time in milliseconds that a process and its descendants have used, as the Linux
 * scheduler counts it (nanoseconds; /proc/PID/stat has the same sum in steps of 10 ms).
 * Undefined where there is no /proc.
 */
export function treeCpu(pid: number): number | undefined {
  const own = processCpu(pid)
  if (own === undefined) return undefined
  return childrenOf(pid).reduce((sum, child) => sum + (treeCpu(child) ?? 0), own)
}

function processCpu(pid: number): number | undefined {
  try {
    let nanoseconds = 0
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const text = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1')
      nanoseconds += Number(text.split(' ', 1)[0])
    }
    return nanoseconds / 1e6
  } catch {
    return undefined
  }
}

export function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap(thread =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1')
        .split(' ')
        .filter(text => text !== '')
        .map(Number),
    )
  } catch {
    return []
  }
}
