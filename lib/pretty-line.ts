/**
 * A line of the log for a person: ISO time, name of the level, the sentence, and what belongs to
 * it as `name=value`. What somebody else wrote can't move the cursor or begin a line of its own.
 */
export function prettyLine(line: string, colours: boolean): string {
  let fields: Fields
  try {
    fields = JSON.parse(line) as Fields
  } catch {
    return line
  }
  const { level = 30, time = 0, msg = '', pid: _pid, hostname: _host, ...rest } = fields
  const [name, colour] = levels[level] ?? ['INFO ', green]
  const paint = (code: string, text: string) =>
    colours ? `\x1b[${code}m${text}\x1b[0m` : text
  const parts = [
    paint(dim, new Date(time).toISOString()),
    paint(colour, name),
    harmless(msg),
    ...Object.entries(rest).map(
      ([key, value]) => paint(dim, `${harmless(key)}=`) + shownValue(value),
    ),
  ]
  return `${parts.join(' ')}\n`
}

interface Fields {
  readonly level?: number
  readonly time?: number
  readonly msg?: string
  readonly [name: string]: unknown
}

const dim = '2'
const green = '32'

/** As pino numbers them. */
const levels: Readonly<Record<number, readonly [name: string, colour: string]>> = {
  20: ['DEBUG', '36'],
  30: ['INFO ', green],
  40: ['WARN ', '33'],
  50: ['ERROR', '31'],
}

function shownValue(value: unknown): string {
  if (typeof value === 'string' && /^[\x21\x23-\x3c\x3e-\x7e]+$/.test(value)) return value
  return harmless(JSON.stringify(value) ?? '')
}

/** Control characters, and those that turn the direction of text around. */
function harmless(text: string): string {
  return text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g,
    char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
