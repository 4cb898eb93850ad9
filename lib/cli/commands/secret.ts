import { signingKey } from '../../auth/signing-key.ts'
import { generateSecret, parseSecret } from '../../farm/secret.ts'
import type { Command } from '../command.ts'
import { findSecret } from '../config/read-secret.ts'
import { badFlag, flagLines, parseFlags } from '../flags.ts'

const flags = {
  'signing-key': { value: 'REALM', about: 'print the key of a realm instead' },
  'secret-file': {
    value: 'FILE',
    about: "the farm's secret, or environment variable HANDFAST_SECRET",
  },
  'farm-name': { value: 'NAME', about: 'default handfast' },
} as const

export const secretCommand: Command = {
  flags,
  help: `Usage: handfast secret
       handfast secret --signing-key REALM [--secret-file FILE] [--farm-name NAME]

Prints a new farm secret: 32 random bytes, base64url. Every member of a farm has the same.

  (umask 077 && handfast secret > farm.secret)
  handfast proxy --secret-file farm.secret ...

With --signing-key it prints what the backends of a site with auth.sign check X-Forwarded-User
with: drawn from the farm secret (--secret-file or HANDFAST_SECRET), different for each realm.
The realm of a site is its auth.realm, else its first name.

${flagLines(flags)}
`,
  async run(args, io) {
    const given = parseFlags('secret', args, flags)
    const realm = given['signing-key']
    if (realm === undefined) {
      if (given['secret-file'] !== undefined || given['farm-name'] !== undefined) {
        throw badFlag('--secret-file and --farm-name go with --signing-key')
      }
      io.stdout.write(`${generateSecret()}\n`)
      return 0
    }
    const { secret } = await findSecret({
      file: given['secret-file'],
      folder: io.cwd,
      env: io.env['HANDFAST_SECRET'],
      inline: undefined,
      fault: expected => badFlag(`--secret-file: expected ${expected}`),
    })
    if (secret === undefined) {
      throw badFlag('--signing-key needs --secret-file FILE or HANDFAST_SECRET')
    }
    const farmName = given['farm-name'] ?? 'handfast'
    io.stdout.write(`${signingKey(parseSecret(secret), farmName, realm)}\n`)
    return 0
  },
}
