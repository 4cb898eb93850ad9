import type { DescribedOption } from '../../lib/cli/schema/option.ts'
import { describeConfig } from '../../lib/cli/schema/schema.ts'
import { row } from './table.ts'

/** Flags of `handfast proxy` that say the same as an option of the file. */
export const flags: Readonly<Record<string, string>> = Object.fromEntries(
  describeConfig().flatMap(({ path, flag }) =>
    flag === undefined ? [] : [[path, flag]],
  ),
)

/**
 * The options of the config file as Markdown, a line each, in the order of the schema. What a
 * mapping has is listed once, however many places it may stand in.
 */
export function configTable(): string {
  const options = describeConfig()
  const first = new Map<string, string>()
  const repeated: string[] = []
  const lines = options.flatMap(option => {
    const { path } = option
    if (repeated.some(mapping => path.startsWith(`${mapping}.`))) return []
    if (!isMapping(option)) return [lineOf(option)]
    const inside = inMapping(option)
    const content = JSON.stringify(
      options
        .filter(({ path }) => path.startsWith(`${inside}.`))
        .map(({ path, about }) => [path.slice(inside.length), about]),
    )
    const before = first.get(content)
    first.set(content, before ?? path)
    if (before === undefined) return [lineOf(option)]
    repeated.push(inside)
    return [lineOf({ ...option, about: `as \`${before}\`` })]
  })
  return [row('option', 'default', 'value', 'what it is'), '|---|---|---|---|', ...lines]
    .join('\n')
    .concat('\n')
}

function lineOf(option: DescribedOption): string {
  const { path, about, usual, otherwise = '', needed, form, expected = '' } = option
  const flag = flags[path]
  const name = `\`${path}\`${flag === undefined ? '' : ` \`${flag}\``}`
  if (isMapping(option)) {
    const value = form === 'mappings' ? 'list of mappings' : 'mapping'
    return row(`**${name}**`, otherwise, value, about)
  }
  const standing = usual === undefined ? otherwise : `\`${usual}\``
  const short = expected
    .replace('milliseconds or a time such as 500ms, 30s, 1h', 'time')
    .replace('bytes or a size such as 16KiB, 256MiB', 'size')
  const value = form === 'list' ? `list: ${short}` : short
  return row(name, needed ? '(needed)' : standing, value, about)
}

function isMapping({ form }: DescribedOption): boolean {
  return form === 'mapping' || form === 'mappings'
}

/** The path of what is in it, without the key. */
function inMapping({ path, form }: DescribedOption): string {
  return form === 'mappings' ? `${path}[]` : path
}
