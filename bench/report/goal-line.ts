import type { Goal } from './report.ts'

const form = /^goal: (.*): ([\d.]+), limit ([\d.]+): (met|missed|too noisy to tell)$/

/** What a line says that a benchmark in a process of its own prints; undefined for another line. */
export function goalIn(line: string): Goal | undefined {
  const [, text, value, limit, word] = form.exec(line) ?? []
  if (text === undefined) return undefined
  const met = word?.startsWith('too') === true ? undefined : word === 'met'
  return { text, limit: Number(limit), value: Number(value), met }
}
