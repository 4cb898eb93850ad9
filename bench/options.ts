import { parseArgs } from 'node:util'
import { HandfastError } from '../lib/errors.ts'

export interface BenchOptions {
  /** Names of benchmarks or scenarios, as they were given. */
  readonly names: readonly string[]
  readonly quick: boolean
  readonly json: string | undefined
  readonly html: string | undefined
  readonly svg: string | undefined
  readonly rtts: readonly number[]
  readonly members: number
  readonly seed: number
  readonly showConfig: boolean
  readonly help: boolean
}

/** Throws ERR_HANDFAST_CONFIG with a line for people. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values, positionals } = parse(args)
  return {
    names: positionals,
    quick: values.quick === true,
    json: values.json,
    html: values.html,
    svg: values.svg,
    rtts: (values.rtt ?? '')
      .split(',')
      .filter(text => text !== '')
      .map(text => whole('--rtt', text, 0, 2000)),
    members: whole('--members', values.members ?? '3', 1, 32),
    seed: whole('--seed', values.seed ?? String(Date.now() % 1e6), 0, 0xffff_ffff),
    showConfig: values['show-config'] === true,
    help: values.help === true,
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        quick: { type: 'boolean' },
        json: { type: 'string' },
        html: { type: 'string' },
        svg: { type: 'string' },
        rtt: { type: 'string' },
        members: { type: 'string' },
        seed: { type: 'string' },
        'show-config': { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    const [sentence] = (error as Error).message.split(/\.\s|\n/)
    throw new HandfastError('ERR_HANDFAST_CONFIG', sentence ?? 'bad arguments')
  }
}

function whole(name: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= least && value <= most) return value
  throw new HandfastError(
    'ERR_HANDFAST_CONFIG',
    `${name} takes a whole number from ${least} to ${most}, got ${text}`,
  )
}
