import { keyFindings } from './diagnose-keys.ts'
import { kindFindings } from './diagnose-kind.ts'
import type { Diagnosis, Examination, Finding } from './examination.ts'
import { kinds } from './kind.ts'
import { list } from './sentence-list.ts'

/** What an examination means, in sentences. `before`: an earlier one of the same addresses. */
export function diagnose(seen: Examination, before?: Examination): Diagnosis {
  const findings = [
    ...addressFindings(seen),
    ...seen.kinds.flatMap(result => kindFindings(result, seen)),
    ...chainFindings(seen),
    ...otherNameFindings(seen),
    ...keyFindings(seen, before),
  ]
  const has = (test: (finding: Finding) => boolean) => findings.some(test)
  return {
    verdict: has(({ code }) => code === 'unreachable')
      ? 'unreachable'
      : has(({ level }) => level === 'bad')
        ? 'broken'
        : 'ok',
    findings,
  }
}

function addressFindings({ addresses, serverName }: Examination): Finding[] {
  const findings: Finding[] = []
  for (const { address, failure, code } of addresses) {
    if (failure === undefined) continue
    const text = `${address} ${failureText[failure]}${code === '' ? '' : ` (${code})`}.`
    findings.push({ level: 'bad', code: 'unreachable', text })
  }
  const alive = addresses.filter(({ failure }) => failure === undefined)
  if (alive.length === 1) {
    const text = 'Only one address was examined: nothing is said about resuming across.'
    findings.push({ level: 'note', code: 'one-address', text })
  }
  const silent = alive.filter(({ http }) => http === undefined)
  if (silent.length > 0) {
    const text = `${list(silent.map(({ address }) => address))} did not answer HTTP.`
    findings.push({ level: 'note', code: 'no-http', text })
  }
  for (const { address, untrusted } of alive) {
    if (untrusted === undefined) continue
    const name = serverName === '' ? '' : ` for ${serverName}`
    const text = `The certificate of ${address}${name} is not trusted: ${untrusted}.`
    findings.push({ level: 'note', code: 'untrusted', text })
  }
  return findings
}

const failureText = {
  timeout: 'did not answer in time',
  unreachable: 'can not be reached',
  'not-tls': 'does not speak TLS',
  version: 'speaks neither TLS 1.2 nor 1.3',
  handshake: 'broke off the TLS handshake',
  'given-up': 'did not answer in time',
} as const

function chainFindings({ chain }: Examination): Finding[] {
  if (chain === undefined) return []
  const { steps, resumed, renewed, without } = chain
  const text =
    `A client that uses each TLS 1.3 ticket once, as browsers do, resumed ` +
    `${resumed} of ${steps} times.`
  if (resumed === steps) return [{ level: 'good', code: 'chain', text }]
  const findings: Finding[] = [{ level: 'bad', code: 'chain', kind: 'tls13', text }]
  if (resumed > 0 && renewed < resumed) {
    findings.push({
      level: 'bad',
      code: 'renewal',
      kind: 'tls13',
      text:
        `${resumed - renewed} of ${resumed} resumed connections brought no new ticket, ` +
        `so that ${without} later ones had none to offer.`,
      advice:
        'Servers must renew tickets on resumption. Stock Node does not; handfast does in ' +
        'both modes.',
    })
  }
  return findings
}

function otherNameFindings({ otherName, serverName }: Examination): Finding[] {
  if (otherName === undefined || otherName.cells.length === 0) return []
  const resumed = otherName.cells.filter(({ outcome }) => outcome === 'resumed')
  const from = serverName === '' ? 'no name' : serverName
  if (resumed.length === 0) {
    const text = `Sessions made under ${from} do not resume under ${otherName.name}.`
    return [{ level: 'good', code: 'other-name', text }]
  }
  const titles = kinds
    .filter(({ name }) => resumed.some(({ kind }) => kind === name))
    .map(({ title }) => title)
  const places = new Set(resumed.map(({ to }) => to))
  return [
    {
      level: 'bad',
      code: 'other-name',
      text:
        `Sessions made under ${from} resume under ${otherName.name} ` +
        `(${list(titles)}, at ${list([...places])}).`,
      advice:
        'If the names ask for different client certificates, this lets clients past the ' +
        'stricter one (CVE-2025-23419 and its kin). Bind sessions to the server name.',
    },
  ]
}
