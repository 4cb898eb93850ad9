import { type ParseArgsConfig, parseArgs } from 'node:util'
import { HandfastError } from '../errors.ts'
import { shown } from '../shown.ts'

type FlagsConfig = NonNullable<ParseArgsConfig['options']>
type Flags<T extends FlagsConfig> = ReturnType<
  typeof parseArgs<{ options: T; strict: true; allowPositionals: false }>
>['values']

/** Flags of one command. Throws one clear line for what it does not know. */
export function parseFlags<T extends FlagsConfig>(
  command: string,
  args: readonly string[],
  options: T,
): Flags<T> {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false })
      .values
  } catch (error) {
    throw badFlag(`${sentenceOf(error)}; see handfast ${command} --help`)
  }
}

/** The values of a flag that may be repeated or hold a list with commas. */
export function listOf(values: readonly string[] | undefined): string[] {
  return (values ?? []).flatMap(value => value.split(',')).map(value => value.trim())
}

export function badFlag(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', message)
}

/** What stands before the advice that node:util adds to its messages. */
function sentenceOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  const first = message.split('. ')[0]?.replace(/\.$/, '') ?? message
  if (code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL') {
    const argument = /'(.*?)'/s.exec(message)?.[1] ?? ''
    return `unexpected argument ${shown(argument)} (repeat an option to give it more values)`
  }
  return first.charAt(0).toLowerCase() + first.slice(1)
}
