import { parseArgs } from 'node:util'
import { HandfastError } from '../errors.ts'
import { nearestName } from '../options/unknown-name.ts'
import { shown } from '../shown.ts'
import { expectedFor, type Kind } from './schema/kinds.ts'

/** One flag of a command: how it is read, what `--help` says of it, how a shell completes it. */
export interface Flag {
  /** What stands for its value in the help: `FILE`. A flag without one is a switch. */
  readonly value?: string
  /** Given more than once, or with commas. */
  readonly several?: true
  /** What its value must be. Default: any text. */
  readonly kind?: Kind<unknown>
  readonly about: string
  /** Words that it may be; a shell offers them. */
  readonly words?: readonly string[]
}

export type FlagTable = Readonly<Record<string, Flag>>

type ValueOf<F extends Flag> = F extends { readonly value: string }
  ? F extends { readonly kind: Kind<infer T> }
    ? Several<F, T>
    : Several<F, string>
  : boolean
type Several<F, T> = F extends { readonly several: true } ? readonly T[] : T

export type FlagValues<T extends FlagTable> = {
  readonly [name in keyof T]?: ValueOf<T[name]>
}

/** Flags of one command, each value read. Throws one clear line for what it does not take. */
export function parseFlags<const T extends FlagTable>(
  command: string,
  args: readonly string[],
  table: T,
): FlagValues<T> {
  return parseLine(command, args, table, false).flags
}

/** The same of a command that has arguments beside its flags. */
export function parseFlagsAndArguments<const T extends FlagTable>(
  command: string,
  args: readonly string[],
  table: T,
): { readonly flags: FlagValues<T>; readonly positionals: readonly string[] } {
  return parseLine(command, args, table, true)
}

function parseLine<const T extends FlagTable>(
  command: string,
  args: readonly string[],
  table: T,
  allowPositionals: boolean,
): { readonly flags: FlagValues<T>; readonly positionals: readonly string[] } {
  const options = Object.fromEntries(
    Object.entries(table).map(([name, { value, several = false }]) => [
      name,
      value === undefined
        ? ({ type: 'boolean' } as const)
        : ({ type: 'string', multiple: several } as const),
    ]),
  )
  const split = () => parseArgs({ args: [...args], options, allowPositionals })
  const { values, positionals } = attempt(split, error => {
    const sentence = sentenceOf(error, Object.keys(table))
    return badFlag(`${sentence}; see handfast ${command} --help`)
  })
  const flags = Object.entries(values).map(([name, given]) => {
    const kind = table[name]?.kind
    const texts = Array.isArray(given) ? splitAtCommas(given as string[]) : given
    if (kind === undefined || typeof texts === 'boolean') return [name, texts]
    const read = (text: unknown) => readValue(name, text, kind)
    return [name, Array.isArray(texts) ? texts.map(read) : read(texts)]
  })
  return { flags: Object.fromEntries(flags) as FlagValues<T>, positionals }
}

function attempt<T>(does: () => T, fault: (error: unknown) => Error): T {
  try {
    return does()
  } catch (error) {
    throw fault(error)
  }
}

function readValue(name: string, text: unknown, kind: Kind<unknown>): unknown {
  const value = kind.read(text)
  if (value !== undefined) return value
  throw badFlag(`--${name}: expected ${expectedFor(kind, text)}, got ${shown(text)}`)
}

/** A URL may have commas of its own: what follows one and is none belongs to it. */
function splitAtCommas(values: readonly string[]): string[] {
  return values
    .flatMap(value => value.split(/(?<!:\/\/.*),|,(?=[^,]*:\/\/)/))
    .map(value => value.trim())
}

export function badFlag(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', message)
}

const column = 29
const width = 96

/** The lines of the flags in `--help`. */
export function flagLines(table: FlagTable): string {
  return Object.entries(table)
    .map(([name, { value, about }]) => {
      const flag = `  --${name}${value === undefined ? '' : ` ${value}`}`
      const [first = '', ...more] = wrapped(about, width - column)
      const head =
        flag.length < column - 1
          ? flag.padEnd(column) + first
          : `${flag}\n${' '.repeat(column)}${first}`
      return [head, ...more.map(line => ' '.repeat(column) + line)].join('\n')
    })
    .join('\n')
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

/** What stands before the advice that node:util adds to its messages. */
function sentenceOf(error: unknown, known: readonly string[]): string {
  const { code, message } = error as NodeJS.ErrnoException
  const first = message.split('. ')[0]?.replace(/\.$/, '') ?? message
  const [, quoted = ''] = /'(.*?)'/s.exec(message) ?? []
  if (code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL') {
    return `unexpected argument ${shown(quoted)} (repeat an option to give it more values)`
  }
  if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
    const near = nearestName(quoted, known)
    return `unknown option '${quoted}'${near === undefined ? '' : `, did you mean --${near}?`}`
  }
  return first.charAt(0).toLowerCase() + first.slice(1)
}
