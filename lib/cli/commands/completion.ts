import type { Command, CommandEntry, Io } from '../command.ts'
import { bash, type Completed, fish, zsh } from '../completion.ts'
import { badFlag, parseFlags } from '../flags.ts'

const shells = { bash, zsh, fish } as const
const words = Object.keys(shells)

const help = `Usage: handfast completion bash|zsh|fish

Prints what makes a shell complete commands, their flags and their values:

  source <(handfast completion bash)                       in ~/.bashrc
  handfast completion zsh > "\${fpath[1]}/_handfast"
  handfast completion fish > ~/.config/fish/completions/handfast.fish
`

/** Completes these commands. */
export function completionCommand(
  commands: Readonly<Record<string, CommandEntry>>,
): Command {
  return {
    flags: {},
    words,
    help,
    async run([shell = '', ...args]: readonly string[], io: Io) {
      parseFlags('completion', args, {})
      if (!Object.hasOwn(shells, shell)) {
        throw badFlag(`expected ${words.join(', ')}; see handfast completion --help`)
      }
      const named = Object.entries(commands).filter(([, { summary }]) => summary !== '')
      const loaded = await Promise.all(
        named.map(async ([name, { summary, load }]): Promise<Completed> => {
          const { flags, words = [] } = await load()
          return { name, summary, flags, words }
        }),
      )
      io.stdout.write(shells[shell as keyof typeof shells](loaded))
      return 0
    },
  }
}
