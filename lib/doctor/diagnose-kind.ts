import type { Examination, Finding } from './examination.ts'
import { type Kind, type KindName, kinds } from './kind.ts'
import type { Cell, KindResult } from './matrix.ts'

/** What the matrix of one kind means. */
export function kindFindings(result: KindResult, seen: Examination): Finding[] {
  const kind = kinds.find(({ name }) => name === result.kind)
  const alive = seen.addresses.filter(({ failure }) => failure === undefined)
  if (kind === undefined || alive.length === 0) return []
  if (result.makers.length === 0) return [notMade(kind, result, alive.length)]
  const findings: Finding[] = []
  if (result.makers.length < alive.length) findings.push(madeBySome(kind, result))
  const offered = result.cells.filter(({ outcome }) => outcome !== 'not-made')
  const broken = offered.filter(({ outcome }) => outcome === 'failed')
  const home = offered.filter(({ from, to }) => from === to)
  const lostAtHome = home.filter(isFull)
  const across = offered.filter(({ from, to }) => from !== to)
  const lostAcross = across.filter(isFull)
  const level = kind.name === 'tls12-id' && ticketsDo(seen) ? 'note' : 'bad'
  if (broken.length > 0) {
    findings.push({
      level: 'bad',
      code: 'breaks',
      kind: kind.name,
      text: `Offering ${kind.title} breaks the connection: ${pairs(broken)}.`,
      advice: 'A session that is not accepted must lead to a full handshake.',
    })
  }
  if (lostAtHome.length > 0) {
    findings.push({
      level,
      code: 'not-at-home',
      kind: kind.name,
      text:
        `${kind.title} do not resume even on the address that made them ` +
        `(${lostAtHome.map(({ from }) => from).join(', ')}).`,
      advice: `${homeAdvice[kind.name]} Or it is a balancer before servers that share nothing.`,
    })
  }
  if (lostAcross.length > 0 && lostAtHome.length < home.length) {
    findings.push({
      level,
      code: 'not-across',
      kind: kind.name,
      text:
        `${kind.title} do not resume on another address in ${lostAcross.length} of ` +
        `${across.length} cases: ${pairs(lostAcross)}.`,
      advice: acrossAdvice[kind.name],
    })
  }
  if (broken.length + lostAtHome.length + lostAcross.length === 0) {
    const where = across.length > 0 ? 'on every address' : 'on the address that made them'
    const text = `${kind.title} resume ${where}.`
    findings.push({ level: 'good', code: 'resumes', kind: kind.name, text })
  }
  return findings
}

const homeAdvice: Readonly<Record<KindName, string>> = {
  'tls12-id': 'The server hands out IDs and keeps no sessions: stock Node does so.',
  'tls12-ticket': 'The server hands out tickets that it can not read later.',
  tls13: 'The server hands out tickets that it can not read later.',
}

const acrossAdvice: Readonly<Record<KindName, string>> = {
  'tls12-id':
    'Session IDs need a store that the servers share: handfast in stateful mode. Only ' +
    'clients that do not know tickets depend on it.',
  'tls12-ticket':
    'Give all servers the same ticket keys and rotate them together, or share sessions.',
  tls13:
    'Give all servers the same ticket keys and rotate them together, or share sessions.',
}

/** Then IDs are for the few clients of TLS 1.2 that know no tickets. */
function ticketsDo({ kinds }: Examination): boolean {
  const tickets = kinds.find(({ kind }) => kind === 'tls12-ticket')
  return tickets?.cells.every(({ outcome }) => outcome === 'resumed') ?? false
}

function notMade(kind: Kind, { unspoken }: KindResult, alive: number): Finding {
  const version = kind.version.replace('TLSv', 'TLS ')
  const text =
    unspoken.length === alive
      ? `No address speaks ${version}.`
      : `No address hands out ${kind.title}.`
  return { level: 'note', code: 'not-made', kind: kind.name, text }
}

function madeBySome(kind: Kind, { makers, cells }: KindResult): Finding {
  const others = new Set(
    cells.map(({ from }) => from).filter(address => !makers.includes(address)),
  )
  return {
    level: 'bad',
    code: 'made-by-some',
    kind: kind.name,
    text: `${makers.join(', ')} hand out ${kind.title}, ${[...others].join(', ')} do not.`,
    advice: 'Give all servers the same TLS versions and the same settings for tickets.',
  }
}

function isFull({ outcome }: Cell): boolean {
  return outcome === 'full'
}

const mostPairs = 4

function pairs(cells: readonly Cell[]): string {
  const named = cells
    .slice(0, mostPairs)
    .map(
      ({ from, to, code }) => `${from} -> ${to}${code === undefined ? '' : ` (${code})`}`,
    )
  const more = cells.length - named.length
  return named.join(', ') + (more > 0 ? ` and ${more} more` : '')
}
