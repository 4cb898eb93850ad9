import type { AskedWord } from '../../admin/admin.ts'
import { adminAddress, adminFlag, callAdmin } from '../admin-client.ts'
import type { Command, Io } from '../command.ts'
import { farmToken, tokenFlags } from '../farm-token.ts'
import { type FlagValues, flagLines, parseFlags } from '../flags.ts'

const flags = { admin: adminFlag, ...tokenFlags } as const

/** What SIGHUP, SIGTERM and SIGUSR2 do, over the admin port. */
export function askCommand(word: AskedWord, about: string): Command {
  return {
    flags,
    help: helpOf(word, about, flagLines(flags)),
    async run(args, io) {
      return await ask(word, word, parseFlags(word, args, flags), io)
    },
  }
}

function helpOf(command: string, about: string, lines: string): string {
  return `Usage: handfast ${command} [options]

${about}

${lines}

Exits with
  0  asked
  1  refused
  2  a bad option
  3  nobody answers
`
}

async function ask(
  command: string,
  word: AskedWord,
  given: FlagValues<typeof flags>,
  io: Io,
): Promise<number> {
  const at = adminAddress(given.admin)
  const token = await farmToken(given['secret-file'], given['farm-name'], io)
  try {
    const answer = await callAdmin(at, { path: `/${word}`, token, body: {} })
    if (answer.status === 202) {
      io.stdout.write(`asked; what comes of it stands in the log\n`)
      return 0
    }
    const { error = `status ${answer.status}` } = answer.body as { error?: string }
    io.stderr.write(`handfast ${command}: refused: ${error}\n`)
    return 1
  } catch (error) {
    io.stderr.write(`handfast ${command}: ${(error as Error).message}\n`)
    return 3
  }
}

export const reloadCommand: Command = askCommand(
  'reload',
  `Has a proxy read its config file and its certificates again, as SIGHUP does. What is wrong is
refused with a line in its log, and the old config stays: see handfast proxy --check.`,
)

const drainFlags = {
  move: { about: 'connections go on at another host, where takeover is configured' },
  ...flags,
} as const

export const drainCommand: Command = {
  flags: drainFlags,
  help: helpOf(
    'drain',
    `Has a proxy finish its open requests and end, as SIGTERM does. With --move its virtual addresses
go to other hosts first, with the connections that can be moved; the others end as without.`,
    flagLines(drainFlags),
  ),
  async run(args, io) {
    const given = parseFlags('drain', args, drainFlags)
    return await ask('drain', given.move === true ? 'move' : 'drain', given, io)
  },
}

export const upgradeCommand: Command = askCommand(
  'upgrade',
  `Has a proxy of several workers replace them, one after the other, by new ones of the program that
is installed now, as SIGUSR2 does. No client is refused meanwhile. With a guardian connections are
handed over; the others end as with handfast drain. If a new worker does not come up, the old ones
go on: the log says why.`,
)
