import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { systemClock } from '../../clock.ts'
import { diagnose } from '../../doctor/diagnose.ts'
import type { Diagnosis, Examination } from '../../doctor/examination.ts'
import { examine, longestChain, mostTargets } from '../../doctor/examine.ts'
import { type KindName, kinds } from '../../doctor/kind.ts'
import { report } from '../../doctor/report.ts'
import { eachAddress, parseTarget, type Target } from '../../doctor/target.ts'
import { shown } from '../../shown.ts'
import type { Command, Io } from '../command.ts'
import { badFlag, listOf } from '../flags.ts'
import { readDuration, readServerName } from '../quantity.ts'

export const doctorCommand: Command = {
  help: `Usage: handfast doctor HOST[:PORT]... [options]

Visits addresses as a TLS client and proves what resumes across them: TLS 1.2 session IDs and
tickets, TLS 1.3 tickets, a chain of tickets that are used once. Any servers will do, with
handfast or without. Default port 443; at most ${mostTargets} addresses.

  --servername NAME   name to ask for (default: the first HOST that is a name)
  --other-name NAME   a name under which those sessions must not resume
  --each-ip           a HOST that is a name stands for each of its IP addresses
  --ca FILE           authorities for certificates, PEM (default those of Node)
  --cert FILE         certificate to show to servers that ask for one, PEM, with --key FILE
  --only KIND         ${kinds.map(({ name }) => name).join(', ')}; repeatable (default all)
  --chain N           connections of the chain (default 20, at most ${longestChain})
  --timeout MS        for one connection, or 500ms, 5s (default 5s)
  --compare FILE      an earlier --json output: tells how long ticket keys have been in use
  --json              the findings for programs

Exits with 0 when all that should resume does, 1 when something does not, 2 for a bad option,
3 when an address could not be examined.
`,
  async run(args, io) {
    const { values, positionals } = parse(args)
    const timeout = readDuration(numeric(values.timeout ?? '5s'))
    if (timeout === undefined || timeout < 1 || timeout > 600_000) {
      throw badFlag(`--timeout: expected 1ms to 10m, got ${shown(values.timeout)}`)
    }
    const chainLength = Number(values.chain ?? 20)
    if (!Number.isInteger(chainLength) || chainLength < 0 || chainLength > longestChain) {
      throw badFlag(`--chain: expected 0 to ${longestChain}, got ${shown(values.chain)}`)
    }
    const targets = await targetsOf(positionals, values['each-ip'] === true)
    const named = targets.named.find(({ host }) => isIP(host) === 0)?.host
    const { ca, cert, key, compare, json } = values
    if ((cert === undefined) !== (key === undefined)) {
      throw badFlag('--cert and --key go together')
    }
    const before = compare === undefined ? undefined : await earlier(compare, io)
    const seen = await examine({
      targets: targets.all,
      serverName: nameOf('--servername', values.servername) ?? named ?? '',
      otherName: nameOf('--other-name', values['other-name']),
      only: onlyOf(values.only),
      ca: ca === undefined ? undefined : await text('--ca', ca, io),
      certificate:
        cert === undefined || key === undefined
          ? undefined
          : { cert: await text('--cert', cert, io), key: await text('--key', key, io) },
      timeout,
      chainLength,
      clock: systemClock,
    })
    const diagnosis = diagnose(seen, before)
    io.stdout.write(
      json === true
        ? `${JSON.stringify({ ...seen, ...diagnosis }, null, 2)}\n`
        : report(seen, diagnosis),
    )
    return exitCodes[diagnosis.verdict]
  },
}

const exitCodes: Readonly<Record<Diagnosis['verdict'], number>> = {
  ok: 0,
  broken: 1,
  unreachable: 3,
}

const flags = {
  servername: { type: 'string' },
  'other-name': { type: 'string' },
  'each-ip': { type: 'boolean' },
  ca: { type: 'string' },
  cert: { type: 'string' },
  key: { type: 'string' },
  only: { type: 'string', multiple: true },
  chain: { type: 'string' },
  timeout: { type: 'string' },
  compare: { type: 'string' },
  json: { type: 'boolean' },
} as const

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: flags, allowPositionals: true })
  } catch (error) {
    const [first = ''] = (error as Error).message.split('. ')
    throw badFlag(
      `${first.charAt(0).toLowerCase()}${first.slice(1)}; see handfast doctor --help`,
    )
  }
}

async function targetsOf(
  texts: readonly string[],
  eachIp: boolean,
): Promise<{ readonly named: Target[]; readonly all: Target[] }> {
  const named = texts.map(text => {
    const target = parseTarget(text)
    if (target === undefined)
      throw badFlag(`expected HOST or HOST:PORT, got ${shown(text)}`)
    return target
  })
  const found = eachIp ? (await Promise.all(named.map(eachAddress))).flat() : named
  const all = [...new Map(found.map(target => [target.label, target])).values()]
  if (all.length === 0) throw badFlag('give an address; see handfast doctor --help')
  if (all.length > mostTargets) {
    throw badFlag(`at most ${mostTargets} addresses, got ${all.length}`)
  }
  return { named, all }
}

function nameOf(flag: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined
  const name = readServerName(value)
  if (name === undefined)
    throw badFlag(`${flag}: expected a host name, got ${shown(value)}`)
  return name
}

function onlyOf(values: readonly string[] | undefined): KindName[] | undefined {
  if (values === undefined) return undefined
  return listOf(values).map(value => {
    const kind = kinds.find(({ name }) => name === value)
    if (kind === undefined) throw badFlag(`--only: no such kind '${value}'`)
    return kind.name
  })
}

/** Plain numbers are milliseconds. */
function numeric(value: string): string | number {
  return /^\d+$/.test(value) ? Number(value) : value
}

async function earlier(file: string, io: Io): Promise<Examination> {
  const json = await text('--compare', file, io)
  try {
    const before = JSON.parse(json) as Examination
    if (before.version === 1 && Array.isArray(before.ticketKeys.keys)) return before
  } catch {
    // Said below, as for JSON of another kind.
  }
  throw badFlag(`--compare: ${file} is not the output of handfast doctor --json`)
}

async function text(flag: string, file: string, io: Io): Promise<string> {
  try {
    return await readFile(resolve(io.cwd, file), 'utf8')
  } catch (error) {
    throw badFlag(
      `${flag}: can not read ${file} (${(error as NodeJS.ErrnoException).code})`,
    )
  }
}
