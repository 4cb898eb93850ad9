import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { adminToken } from '../../admin/admin-token.ts'
import { parseSecret } from '../../farm/secret.ts'
import type { WriteReach } from '../../farm/transport.ts'
import type { ListedRevocation } from '../../resumption/revocation/revocation.ts'
import { type AdminAnswer, callAdmin, defaultAdmin } from '../admin-client.ts'
import type { Command, Io } from '../command.ts'
import { findSecret } from '../config/read-secret.ts'
import { badFlag, parseFlags } from '../flags.ts'
import { absentLine, adminAddress } from './status.ts'

export const revokeCommand: Command = {
  help: `Usage: handfast revoke WHAT [options]
       handfast revoke --list [options]

Ends TLS sessions and log-ins on every member of a farm, through the admin port of one; or
lists what has been revoked and why.

WHAT is one of
  --user NAME              log-ins and sessions of a user
  --lineage HEX            a chain of resumptions
  --session HEX            one session
  --certificate FILE       sessions of a client certificate, PEM
  --server-name NAME       sessions made under a server name
  --all                    every session, and the keys of all tickets

  --reason TEXT            kept with the revocation: one line, at most 500 characters
  --keep-open              leave open what is open. By default all that is open of whom it
                           names ends, with --all what was let in as somebody, with
                           --server-name nothing
  --admin [HOST:]PORT      default 127.0.0.1:${defaultAdmin.port}. The call is not encrypted: use a
                           loopback address, or a tunnel to one
  --secret-file FILE       the farm's secret, or environment variable HANDFAST_SECRET
  --farm-name NAME         default handfast
  --json                   the list for programs

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
    const flags = parseFlags('revoke', args, {
      user: { type: 'string' },
      lineage: { type: 'string' },
      session: { type: 'string' },
      certificate: { type: 'string' },
      'server-name': { type: 'string' },
      all: { type: 'boolean' },
      reason: { type: 'string' },
      'keep-open': { type: 'boolean' },
      admin: { type: 'string' },
      'secret-file': { type: 'string' },
      'farm-name': { type: 'string' },
      list: { type: 'boolean' },
      json: { type: 'boolean' },
    })
    const at = adminAddress(flags.admin)
    const list = flags.list === true
    const body = list ? onlyList(flags) : await revocationOf(flags, io)
    const token = await tokenOf(flags['secret-file'], flags['farm-name'], io)
    try {
      if (body !== undefined) {
        return report(await callAdmin(at, { path: '/revoke', token, body }), io)
      }
      const answer = await callAdmin(at, { path: '/revocations', token })
      return show(answer, flags.json === true, io)
    } catch (error) {
      io.stderr.write(`handfast revoke: ${(error as Error).message}\n`)
      return 3
    }
  },
}

interface TargetFlags {
  readonly user?: string
  readonly lineage?: string
  readonly session?: string
  readonly certificate?: string
  readonly 'server-name'?: string
  readonly all?: boolean
}

const targets = [
  'user',
  'lineage',
  'session',
  'certificate',
  'server-name',
  'all',
] as const

async function revocationOf(
  flags: TargetFlags & { reason?: string; 'keep-open'?: boolean; json?: boolean },
  io: Io,
): Promise<object> {
  if (flags.json === true) throw badFlag('--json goes with --list')
  return {
    ...(await targetOf(flags, io)),
    ...(flags.reason === undefined ? {} : { reason: flags.reason }),
    ...(flags['keep-open'] === true ? { close: false } : {}),
  }
}

/** Throws when there is more on the line than asking for the list. */
function onlyList(
  flags: TargetFlags & { reason?: string; 'keep-open'?: boolean },
): undefined {
  const more = [...targets, 'reason', 'keep-open'] as const
  const given = more.find(name => flags[name] !== undefined)
  if (given !== undefined) throw badFlag(`--list goes without --${given}`)
}

async function targetOf(flags: TargetFlags, io: Io): Promise<object> {
  const given = targets.filter(name => flags[name] !== undefined)
  if (given.length !== 1) {
    throw badFlag(`name exactly one of ${targets.map(name => `--${name}`).join(', ')}`)
  }
  const { user, lineage, session, certificate, 'server-name': serverName } = flags
  if (user !== undefined) return { user: nonEmpty('--user', user) }
  if (serverName !== undefined)
    return { serverName: nonEmpty('--server-name', serverName) }
  if (lineage !== undefined) return { lineage: idOf('--lineage', lineage) }
  if (session !== undefined) return { session: idOf('--session', session) }
  if (certificate !== undefined)
    return { certificate: await fingerprintOf(certificate, io) }
  return { all: true }
}

function nonEmpty(flag: string, value: string): string {
  if (value === '') throw badFlag(`${flag}: expected a name, got ''`)
  return value
}

function idOf(flag: string, value: string): string {
  if (!/^[0-9a-f]{64}$/i.test(value)) throw badFlag(`${flag}: expected 32 bytes in hex`)
  return value
}

async function fingerprintOf(file: string, io: Io): Promise<string> {
  try {
    return new X509Certificate(await readFile(resolve(io.cwd, file))).fingerprint256
  } catch {
    throw badFlag(`--certificate: ${file} is not a readable certificate in PEM form`)
  }
}

async function tokenOf(
  file: string | undefined,
  farmName = 'handfast',
  io: Io,
): Promise<string> {
  const { secret } = await findSecret({
    file,
    folder: io.cwd,
    env: io.env['HANDFAST_SECRET'],
    inline: undefined,
    fault: expected => badFlag(`--secret-file: expected ${expected}`),
  })
  if (secret !== undefined) return adminToken(parseSecret(secret), farmName)
  throw badFlag('needs the farm secret: --secret-file FILE or HANDFAST_SECRET')
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
