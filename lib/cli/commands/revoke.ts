import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { WriteReach } from '../../farm/transport.ts'
import type { ListedRevocation } from '../../resumption/revocation/revocation.ts'
import {
  type AdminAnswer,
  adminAddress,
  callAdmin,
  tokenAdminFlag,
} from '../admin-client.ts'
import type { Command, Io } from '../command.ts'
import { farmToken, tokenFlags } from '../farm-token.ts'
import { badFlag, type FlagValues, flagLines, parseFlags } from '../flags.ts'
import { id, name } from '../schema/kinds.ts'
import { absentLine } from './status.ts'

const what = {
  user: { value: 'NAME', kind: name, about: 'log-ins and sessions of a user' },
  lineage: { value: 'HEX', kind: id, about: 'a chain of resumptions' },
  session: { value: 'HEX', kind: id, about: 'one session' },
  certificate: { value: 'FILE', about: 'sessions of a client certificate, PEM' },
  'server-name': {
    value: 'NAME',
    kind: name,
    about: 'sessions made under a server name',
  },
  all: { about: 'every session, and the keys of all tickets' },
} as const
const how = {
  reason: {
    value: 'TEXT',
    about: 'kept with the revocation: one line, at most 500 characters',
  },
  'keep-open': {
    about:
      'leave open what is open. By default all that is open of whom it names ends, with --all ' +
      'what was let in as somebody, with --server-name nothing',
  },
  admin: tokenAdminFlag,
  ...tokenFlags,
  list: { about: 'what has been revoked and why' },
  json: { about: 'the list for programs' },
} as const
const flags = { ...what, ...how }

export const revokeCommand: Command = {
  flags,
  help: `Usage: handfast revoke WHAT [options]
       handfast revoke --list [options]

Ends TLS sessions and log-ins on every member of a farm, through the admin port of one; or
lists what has been revoked and why.

WHAT is one of
${flagLines(what)}

${flagLines(how)}

The list tells sessions and lineages by the start of the SHA-256 of their ids.

Exits with
  0  all members have it
  1  failed: it was refused, or a member that can be reached has not confirmed it in time
  2  a bad option
  3  nobody answers
  4  all members that can be reached have it; the others, which are named with how long they
     have been away, go on as before until they are back
`,
  async run(args, io) {
    const given = parseFlags('revoke', args, flags)
    const at = adminAddress(given.admin)
    const list = given.list === true
    const body = list ? onlyList(given) : await revocationOf(given, io)
    const token = await farmToken(given['secret-file'], given['farm-name'], io)
    try {
      if (body !== undefined) {
        return report(await callAdmin(at, { path: '/revoke', token, body }), io)
      }
      const answer = await callAdmin(at, { path: '/revocations', token })
      return show(answer, given.json === true, io)
    } catch (error) {
      io.stderr.write(`handfast revoke: ${(error as Error).message}\n`)
      return 3
    }
  },
}

type Given = FlagValues<typeof flags>
const targets = Object.keys(what) as (keyof typeof what)[]

async function revocationOf(flags: Given, io: Io): Promise<object> {
  if (flags.json === true) throw badFlag('--json goes with --list')
  return {
    ...(await targetOf(flags, io)),
    ...(flags.reason === undefined ? {} : { reason: flags.reason }),
    ...(flags['keep-open'] === true ? { close: false } : {}),
  }
}

/** Throws when there is more on the line than asking for the list. */
function onlyList(flags: Given): undefined {
  const more = [...targets, 'reason', 'keep-open'] as const
  const given = more.find(name => flags[name] !== undefined)
  if (given !== undefined) throw badFlag(`--list goes without --${given}`)
}

async function targetOf(flags: Given, io: Io): Promise<object> {
  const given = targets.filter(name => flags[name] !== undefined)
  if (given.length !== 1) {
    throw badFlag(`name exactly one of ${targets.map(name => `--${name}`).join(', ')}`)
  }
  const { user, lineage, session, certificate, 'server-name': serverName } = flags
  if (user !== undefined) return { user }
  if (serverName !== undefined) return { serverName }
  if (lineage !== undefined) return { lineage }
  if (session !== undefined) return { session }
  if (certificate !== undefined)
    return { certificate: await fingerprintOf(certificate, io) }
  return { all: true }
}

async function fingerprintOf(file: string, io: Io): Promise<string> {
  try {
    return new X509Certificate(await readFile(resolve(io.cwd, file))).fingerprint256
  } catch {
    throw badFlag(`--certificate: ${file} is not a readable certificate in PEM form`)
  }
}

function report({ status, body }: AdminAnswer, io: Io): number {
  if (status !== 200) return refused({ status, body }, io)
  const { everywhere, reachable, missing = [] } = body as Partial<WriteReach>
  if (everywhere === true) {
    io.stdout.write('revoked: all members have it\n')
    return 0
  }
  const done = reachable === true
  const lines = [
    done
      ? 'revoked on all members that can be reached; not on these, until they are back:'
      : 'revoked here; not every member that can be reached has confirmed it in time',
    ...(done || missing.length === 0 ? [] : ['and these can not be reached:']),
    ...missing.map(absentLine),
  ]
  io.stdout.write(`${lines.join('\n')}\n`)
  return done ? 4 : 1
}

function show({ status, body }: AdminAnswer, json: boolean, io: Io): number {
  if (status !== 200) return refused({ status, body }, io)
  const { revocations } = body as { revocations: ListedRevocation[] }
  if (json) {
    io.stdout.write(`${JSON.stringify(revocations, null, 2)}\n`)
  } else if (revocations.length === 0) {
    io.stdout.write('nothing is revoked\n')
  }
  for (const { kind, name, at, until, reason } of json ? [] : revocations) {
    const what = name === undefined ? kind : `${kind} ${visible(name)}`
    const why = reason === '' ? '' : `  ${visible(reason)}`
    io.stdout.write(`${dateOf(at)}  ${what}  until ${dateOf(until)}${why}\n`)
  }
  return 0
}

function refused({ status, body }: AdminAnswer, io: Io): number {
  const { error } = body as { error?: string }
  io.stderr.write(`handfast revoke: refused: ${error ?? `status ${status}`}\n`)
  return 1
}

function dateOf(time: number): string {
  return new Date(time).toISOString()
}

/** A name must not be able to forge a line, or to speak to the terminal. */
function visible(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    char => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  )
}
