import type { AskedWord } from '../../admin/admin.ts'
import { adminAddress, adminFlag, callAdmin } from '../admin-client.ts'
import type { Command } from '../command.ts'
import { farmToken, tokenFlags } from '../farm-token.ts'
import { flagLines, parseFlags } from '../flags.ts'

const flags = { admin: adminFlag, ...tokenFlags } as const

/** What SIGHUP, SIGTERM and SIGUSR2 do, over the admin port. */
export function askCommand(word: AskedWord, about: string): Command {
  return {
    flags,
    help: `Usage: handfast ${word} [options]

${about}

${flagLines(flags)}

Exits with
  0  asked
  1  refused
  2  a bad option
  3  nobody answers
`,
    async run(args, io) {
      const given = parseFlags(word, args, flags)
      const at = adminAddress(given.admin)
      const token = await farmToken(given['secret-file'], given['farm-name'], io)
      try {
        const answer = await callAdmin(at, { path: `/${word}`, token, body: {} })
        if (answer.status === 202) {
          io.stdout.write(`asked; what comes of it stands in the log\n`)
          return 0
        }
        const { error = `status ${answer.status}` } = answer.body as { error?: string }
        io.stderr.write(`handfast ${word}: refused: ${error}\n`)
        return 1
      } catch (error) {
        io.stderr.write(`handfast ${word}: ${(error as Error).message}\n`)
        return 3
      }
    },
  }
}

export const reloadCommand: Command = askCommand(
  'reload',
  `Has a proxy read its config file and its certificates again, as SIGHUP does. What is wrong is
refused with a line in its log, and the old config stays: see handfast proxy --check.`,
)

export const drainCommand: Command = askCommand(
  'drain',
  `Has a proxy finish its open requests and end, as SIGTERM does.`,
)

export const upgradeCommand: Command = askCommand(
  'upgrade',
  `Has a proxy of several workers replace them, one after the other, by new ones of the program that
is installed now, as SIGUSR2 does. No client is refused meanwhile. With a guardian connections are
handed over; the others end as with handfast drain. If a new worker does not come up, the old ones
go on: the log says why.`,
)
