import type { Diagnosis, Examination, Finding } from './examination.ts'
import { kinds } from './kind.ts'
import type { KindResult } from './matrix.ts'

/** The examination and its meaning for people: tables, then sentences. */
export function report(seen: Examination, { findings, verdict }: Diagnosis): string {
  const name =
    seen.serverName === '' ? 'no server name' : `server name ${seen.serverName}`
  const lines = [`handfast doctor: ${name}, ${seen.handshakes} handshakes`, '']
  for (const [i, { address, protocol, http, failure }] of seen.addresses.entries()) {
    const state = failure ?? [protocol, http ?? 'no HTTP answer'].join(', ')
    lines.push(`  ${letter(i)}  ${address}  ${state}`)
  }
  lines.push('')
  const labels = seen.addresses
    .filter(({ failure }) => failure === undefined)
    .map(({ address }) => address)
  for (const result of seen.kinds) {
    if (result.makers.length > 0) lines.push(...table(result, seen, labels), '')
  }
  for (const finding of findings) lines.push(...sentences(finding))
  lines.push('', verdictText[verdict])
  return `${lines.join('\n')}\n`
}

const verdictText = {
  ok: 'All that should resume does.',
  broken: 'Something is wrong: see the lines with an x.',
  unreachable: 'Not every address could be examined.',
} as const

const marks = { good: 'ok', note: ' -', bad: ' x' } as const
const outcomes = {
  resumed: 'yes',
  full: 'no',
  failed: 'BREAKS',
  'not-made': '-',
} as const

/** Made on the row's address, offered on the column's. */
function table(
  { kind, cells }: KindResult,
  seen: Examination,
  labels: readonly string[],
): string[] {
  const title = kinds.find(({ name }) => name === kind)?.title ?? kind
  const letterOf = (label: string) =>
    letter(seen.addresses.findIndex(({ address }) => address === label))
  const row = (first: string, rest: readonly string[]) =>
    `  ${first.padEnd(10)}${rest.map(text => text.padEnd(8)).join('')}`.trimEnd()
  return [
    `${title} (made on the row, offered on the column)`,
    row('', labels.map(letterOf)),
    ...labels.map(from =>
      row(
        letterOf(from),
        labels.map(to => {
          const cell = cells.find(cell => cell.from === from && cell.to === to)
          return outcomes[cell?.outcome ?? 'not-made']
        }),
      ),
    ),
  ]
}

function sentences({ level, text, advice }: Finding): string[] {
  const first = `${marks[level]}  ${text}`
  return advice === undefined ? [first] : [first, `      ${advice}`]
}

function letter(index: number): string {
  return String.fromCharCode('A'.charCodeAt(0) + index)
}
