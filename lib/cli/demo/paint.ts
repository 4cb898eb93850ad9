import type { Io, Output } from '../command.ts'

/** Colours of a terminal, or none. */
export interface Paint {
  good(text: string): string
  bad(text: string): string
  strong(text: string): string
  faint(text: string): string
}

const same = (text: string): string => text

export const noPaint: Paint = { good: same, bad: same, strong: same, faint: same }

export const ansiPaint: Paint = {
  good: text => `\x1b[32m${text}\x1b[39m`,
  bad: text => `\x1b[1;31m${text}\x1b[22;39m`,
  strong: text => `\x1b[1m${text}\x1b[22m`,
  faint: text => `\x1b[2m${text}\x1b[22m`,
}

/** Colours on a terminal only, and not where the user said so (no-color.org). */
export function paintFor(output: Output, env: Io['env']): Paint {
  const noColor = env['NO_COLOR']
  const wanted = output.isTTY === true && (noColor === undefined || noColor === '')
  return wanted && env['TERM'] !== 'dumb' ? ansiPaint : noPaint
}
