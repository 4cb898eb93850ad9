import { generateSecret } from '../../farm/secret.ts'
import type { Command } from '../command.ts'
import { parseFlags } from '../flags.ts'

export const secretCommand: Command = {
  help: `Usage: handfast secret

Prints a new farm secret: 32 random bytes, base64url. Every member of a farm has the same.

  (umask 077 && handfast secret > farm.secret)
  handfast proxy --secret-file farm.secret ...
`,
  async run(args, io) {
    parseFlags('secret', args, {})
    io.stdout.write(`${generateSecret()}\n`)
    return 0
  },
}
