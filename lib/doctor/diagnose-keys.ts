import type { Examination, Finding } from './examination.ts'
import { list } from './sentence-list.ts'
import type { KeySighting } from './ticket-keys.ts'

/** What a client can know of the keys that seal tickets, and how long these are kept. */
export function keyFindings(seen: Examination, before?: Examination): Finding[] {
  const { keys, stateful, lifetime } = seen.ticketKeys
  const findings: Finding[] = []
  if (stateful.length > 0) {
    const text = `${list(stateful)} keep TLS 1.3 sessions and hand out references to them.`
    findings.push({ level: 'note', code: 'stateful', text })
  }
  findings.push(...sharing(keys, seen))
  if (before !== undefined) findings.push(...ages(keys, seen, before))
  if (lifetime !== undefined) {
    const { least, most } = lifetime
    const span = least === most ? `${least} s` : `${least} to ${most} s`
    const text = `Servers tell clients to keep tickets for ${span}.`
    findings.push({ level: 'note', code: 'lifetime', text })
    if (most > longestLifetime) {
      const limit = 'RFC 8446 allows 7 days at most.'
      findings.push({ level: 'note', code: 'lifetime', text: limit })
    }
  }
  return findings
}

const longestLifetime = 7 * 86_400
const day = 86_400_000

function sharing(keys: readonly KeySighting[], { kinds }: Examination): Finding[] {
  const sealers = new Set(keys.flatMap(({ addresses }) => addresses))
  const makers = new Set(
    kinds.filter(({ kind }) => kind !== 'tls12-id').flatMap(({ makers }) => makers),
  )
  if (makers.size === 0) return []
  if (keys.length === 0) {
    const text = 'Tickets do not tell by what key they were sealed.'
    return [{ level: 'note', code: 'keys-unknown', text }]
  }
  if (sealers.size < 2) return []
  const names = keys.map(({ name }) => name.slice(0, 8)).join(', ')
  const common = keys.some(({ addresses }) => addresses.length === sealers.size)
  return common
    ? [
        {
          level: 'good',
          code: 'keys-shared',
          text: `${list([...sealers])} seal tickets with the same key (${names}).`,
        },
      ]
    : [
        {
          level: 'note',
          code: 'keys-differ',
          text: `${list([...sealers])} seal tickets with different keys (${names}).`,
        },
      ]
}

/** A name that an earlier examination saw has been in use ever since, at the least. */
function ages(
  keys: readonly KeySighting[],
  seen: Examination,
  before: Examination,
): Finding[] {
  const elapsed = Date.parse(seen.at) - Date.parse(before.at)
  const known = new Set(before.ticketKeys.keys.map(({ name }) => name))
  return keys
    .filter(({ name }) => known.has(name))
    .map(({ name }) => {
      const old = elapsed > day
      const hours = (elapsed / 3_600_000).toFixed(1)
      return {
        level: old ? 'bad' : 'note',
        code: 'keys-old',
        text: `Ticket key ${name.slice(0, 8)} has been sealing for at least ${hours} h.`,
        ...(old
          ? {
              advice:
                'Who steals it can read all that time: rotate keys every day or less.',
            }
          : {}),
      }
    })
}
