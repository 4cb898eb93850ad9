import type { TierFigures } from '../../admin/section/tiers.ts'
import type { AuthCounts } from '../../auth/auth-counters.ts'
import type { AbsentMember, Member } from '../../farm/transport.ts'
import type { FarmStats } from '../../member/farm.ts'
import { durationText } from '../../options/duration.ts'
import type { BackendFigures } from '../../proxy/section/backends.ts'
import { adminAddress, adminFlag, callAdmin } from '../admin-client.ts'
import type { Command } from '../command.ts'
import { flagLines, parseFlags } from '../flags.ts'

const flags = {
  admin: adminFlag,
  json: { about: 'the same for programs' },
} as const

export const statusCommand: Command = {
  flags,
  help: `Usage: handfast status [options]

What one member of a farm knows: the members, its handshakes by cause, its log-ins, limits that
were met, its tiers and its table. It asks the admin port of a proxy (handfast proxy --admin PORT), whose
workers are one member.

${flagLines(flags)}

Exits with 0, 2 for a bad option, 3 when nobody answers.
`,
  async run(args, io) {
    const { admin, json = false } = parseFlags('status', args, flags)
    const at = adminAddress(admin)
    let status: Status
    try {
      const { body } = await callAdmin(at, { path: '/status' })
      status = body as Status
    } catch (error) {
      io.stderr.write(`handfast status: ${(error as Error).message}\n`)
      return 3
    }
    io.stdout.write(json ? `${JSON.stringify(status, null, 2)}\n` : report(status))
    return 0
  },
}

interface Status extends FarmStats {
  readonly farm: string
  readonly members: readonly Member[]
  readonly absent: readonly AbsentMember[]
  /** Not of a plugin. */
  readonly backends?: readonly BackendFigures[] | undefined
}

/** A member that can't be reached, in one line: `b  10.0.0.2:7443  away for 6 s`. */
export function absentLine({ id, address, away }: AbsentMember): string {
  const name = id ?? 'never met'
  return `  ${name}  ${address ?? 'no address'}  away for ${durationText(away)}`
}

function report(status: Status): string {
  const { farm, members, absent, handshakes, auth, limits, table, transport } = status
  const { backends = [], tiers = {} } = status
  const { resumed, full, failed, causes, unstored } = handshakes
  // Told in the line before.
  const { failed: _failed, ...whole } = causes
  return [
    `farm ${farm}: ${members.length === 0 ? 'a farm of one' : counted(members.length)}`,
    ...members.map(
      ({ id, address = 'not reachable from outside', state, self, reason }) => {
        const more = self ? '  (answers this)' : reason === undefined ? '' : `: ${reason}`
        return `  ${id}  ${address}  ${state}${more}`
      },
    ),
    ...shelfLines(transport),
    ...topologyLines(transport),
    ...(absent.length === 0 ? [] : ['not reached, may go on with what is revoked:']),
    ...absent.map(absentLine),
    `handshakes: ${resumed} resumed, ${full} full, ${failed} failed`,
    ...rows(whole),
    ...rows(unstored, 'not stored:'),
    ...rows(loginsOf(auth), 'log-ins:'),
    ...rows(limits, 'limits met:'),
    ...rows(backendsOf(backends), 'backends:'),
    ...rows(tiersOf(tiers), 'tiers:'),
    'table:',
    ...rows({ ...table }),
    '',
  ].join('\n')
}

/** What is dearer than it need be; nothing for a process that is a member by itself. */
function shelfLines({ shelf }: FarmStats['transport']): string[] {
  if (shelf !== 0) return []
  return [
    'nothing is shared in memory: the processes of this host ask each other for sessions',
  ]
}

/** Where the sessions are; nothing for a farm of one. */
function topologyLines({ partitioned, ...stats }: FarmStats['transport']): string[] {
  if (partitioned === undefined) return []
  const isTiered = stats['tiered'] === 1
  if (partitioned === 0 && !isTiered)
    return ['topology: replicated, every session on every host']
  return [
    isTiered
      ? 'topology: tiered, sessions lie with the repositories and where they were made'
      : 'topology: partitioned, sessions lie with their owners',
    ...rows({
      owned: stats['recordsOwned'] ?? 0,
      asked: stats['fetches'] ?? 0,
      found: stats['fetchHits'] ?? 0,
      'found at the first': stats['fetchHitsFirst'] ?? 0,
      'copied to new owners': stats['recordsMoved'] ?? 0,
      'not yet acknowledged': stats['copiesUnderWay'] ?? 0,
    }),
  ]
}

function counted(members: number): string {
  return members === 1 ? '1 member' : `${members} members`
}

function loginsOf({ logins }: AuthCounts): { [name: string]: number } {
  const named = logins.map(({ method, outcome, count }) => [
    `${method} ${outcome}`,
    count,
  ])
  return Object.fromEntries(named) as { [name: string]: number }
}

/** `ready`, or why how many of the workers pass it over. */
function backendsOf(backends: readonly BackendFigures[]): { [origin: string]: string } {
  return Object.fromEntries(
    backends.map(({ origin, ready, processes, passedOver }) => {
      if (ready === processes) return [origin, 'ready']
      const why = Object.entries(passedOver)
        .map(([reason, count]) => `${reason} ${count}`)
        .join(', ')
      return [origin, `passed over by ${processes - ready} of ${processes}: ${why}`]
    }),
  )
}

/** In words as in the admin page, then what it found and what it could not do. */
function tiersOf(tiers: TierFigures): { [name: string]: string } {
  return Object.fromEntries(
    Object.entries(tiers).map(([name, figures]) => {
      const { hits = 0, misses = 0, open, behind, up, current } = figures
      const { errors = 0, timeouts = 0, writeErrors = 0, writesDropped = 0 } = figures
      const faults = {
        errors,
        timeouts,
        'writes failed': writeErrors + writesDropped,
        foreign: figures['foreign'] ?? 0,
        full: figures['full'] ?? 0,
      }
      const words = [
        ...(up === 0 ? ['off, not durable'] : open ? ['passed by'] : []),
        ...(behind ? ['behind with writes'] : []),
        ...(current === 0 ? ['not all is heard'] : []),
      ]
      const met = Object.entries(faults).filter(([, count]) => count > 0)
      const found = `${hits} hits, ${misses} misses`
      return [
        name,
        [
          words.length === 0 ? 'well' : words.join(', '),
          found,
          ...met.map(([word, count]) => `${count} ${word}`),
        ].join(', '),
      ]
    }),
  )
}

/** With a heading, nothing where there are none. */
function rows(
  figures: { readonly [name: string]: number | string },
  heading?: string,
): string[] {
  const names = Object.keys(figures)
  const width = Math.max(0, ...names.map(name => name.length))
  const lines = names.map(name => `  ${name.padEnd(width)}  ${figures[name]}`)
  return heading === undefined || lines.length === 0 ? lines : [heading, ...lines]
}
