import type { Acks } from '../settings.ts'

export interface Candidate {
  readonly id: string
  readonly repository: boolean
}

/**
 * Which of the members acknowledge what `self` sends. Without repositories the next in the
 * circle of names do (`auto` of them), so that all carry as many acknowledgements of others.
 */
export function chooseAckers(
  acks: Acks,
  self: string,
  candidates: readonly Candidate[],
  auto: number,
): string[] {
  if (acks === 'none') return []
  if (acks === 'all') return candidates.map(({ id }) => id)
  if (typeof acks !== 'string')
    return candidates.filter(({ id }) => acks.includes(id)).map(({ id }) => id)
  const repositories = candidates.filter(({ repository }) => repository)
  if (acks === 'repositories' || repositories.length > 0)
    return repositories.map(({ id }) => id)
  const circle = candidates.map(({ id }) => id).sort()
  const start = circle.findIndex(id => id > self)
  const next = Math.max(start, 0)
  return [...circle.slice(next), ...circle.slice(0, next)].slice(0, auto)
}
