import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { systemClock } from '../../clock.ts'
import { diagnose } from '../../doctor/diagnose.ts'
import type { Diagnosis, Examination } from '../../doctor/examination.ts'
import { examine, longestChain, mostTargets } from '../../doctor/examine.ts'
import { kinds } from '../../doctor/kind.ts'
import { report } from '../../doctor/report.ts'
import { eachAddress, parseTarget, type Target } from '../../doctor/target.ts'
import { shown } from '../../shown.ts'
import type { Command, Io } from '../command.ts'
import { badFlag, flagLines, parseFlagsAndArguments } from '../flags.ts'
import { readDuration } from '../quantity.ts'
import { type Kind, oneOf, serverName, wholeNumber } from '../schema/kinds.ts'

const timeouts: Kind<number> = {
  expected: '1ms to 10m',
  read(value) {
    // Plain numbers are milliseconds.
    const text = String(value)
    const ms = readDuration(/^\d+$/.test(text) ? Number(text) : text)
    return ms !== undefined && ms >= 1 && ms <= 600_000 ? ms : undefined
  },
  json: {},
}
const kindNames = kinds.map(({ name }) => name)

const flags = {
  servername: {
    value: 'NAME',
    kind: serverName,
    about: 'name to ask for (default: the first HOST that is a name)',
  },
  'other-name': {
    value: 'NAME',
    kind: serverName,
    about: 'a name under which those sessions must not resume',
  },
  'each-ip': { about: 'a HOST that is a name stands for each of its IP addresses' },
  ca: {
    value: 'FILE',
    about: 'authorities for certificates, PEM (default those of Node)',
  },
  cert: {
    value: 'FILE',
    about: 'certificate to show to servers that ask for one, PEM, with --key FILE',
  },
  key: { value: 'FILE', about: 'its key' },
  only: {
    value: 'KIND',
    several: true,
    kind: oneOf(kindNames),
    words: kindNames,
    about: `${kindNames.join(', ')}; repeatable (default all)`,
  },
  chain: {
    value: 'N',
    kind: wholeNumber(0, longestChain),
    about: `connections of the chain (default 20, at most ${longestChain})`,
  },
  timeout: {
    value: 'MS',
    kind: timeouts,
    about: 'for one connection, or 500ms, 5s (default 5s)',
  },
  compare: {
    value: 'FILE',
    about: 'an earlier --json output: tells how long ticket keys have been in use',
  },
  json: { about: 'the findings for programs' },
} as const

export const doctorCommand: Command = {
  flags,
  help: `Usage: handfast doctor HOST[:PORT]... [options]

Visits addresses as a TLS client and proves what resumes across them: TLS 1.2 session IDs and
tickets, TLS 1.3 tickets, a chain of tickets that are used once. Any servers will do, with
handfast or without. Default port 443; at most ${mostTargets} addresses.

${flagLines(flags)}

Exits with 0 when all that should resume does, 1 when something does not, 2 for a bad option,
3 when an address could not be examined.
`,
  async run(args, io) {
    const { flags: given, positionals } = parseFlagsAndArguments('doctor', args, flags)
    const { timeout = 5_000, chain: chainLength = 20 } = given
    const targets = await targetsOf(positionals, given['each-ip'] === true)
    const named = targets.named.find(({ host }) => isIP(host) === 0)?.host
    const { ca, cert, key, compare, json } = given
    if ((cert === undefined) !== (key === undefined)) {
      throw badFlag('--cert and --key go together')
    }
    const before = compare === undefined ? undefined : await earlier(compare, io)
    const seen = await examine({
      targets: targets.all,
      serverName: given.servername ?? named ?? '',
      otherName: given['other-name'],
      only: given.only,
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
