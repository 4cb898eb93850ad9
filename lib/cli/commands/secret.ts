import { signingKey } from '../../auth/signing-key.ts'
import { generateSecret, parseSecret } from '../../farm/secret.ts'
import type { Command } from '../command.ts'
import { findSecret } from '../config/read-secret.ts'
import { badFlag, parseFlags } from '../flags.ts'

export const secretCommand: Command = {
  help: `Usage: handfast secret
       handfast secret --signing-key REALM [--secret-file FILE] [--farm-name NAME]

Prints a new farm secret: 32 random bytes, base64url. Every member of a farm has the same.

  (umask 077 && handfast secret > farm.secret)
  handfast proxy --secret-file farm.secret ...

With --signing-key it prints what the backends of a site with auth.sign check X-Forwarded-User
with: drawn from the farm secret (--secret-file or HANDFAST_SECRET), different for each realm.
The realm of a site is its auth.realm, else its first name.
`,
  async run(args, io) {
    const flags = parseFlags('secret', args, {
      'signing-key': { type: 'string' },
      'secret-file': { type: 'string' },
      'farm-name': { type: 'string' },
    })
    const realm = flags['signing-key']
    if (realm === undefined) {
      if (flags['secret-file'] !== undefined || flags['farm-name'] !== undefined) {
        throw badFlag('--secret-file and --farm-name go with --signing-key')
      }
      io.stdout.write(`${generateSecret()}\n`)
      return 0
    }
    const { secret } = await findSecret({
      file: flags['secret-file'],
      folder: io.cwd,
      env: io.env['HANDFAST_SECRET'],
      inline: undefined,
      fault: expected => badFlag(`--secret-file: expected ${expected}`),
    })
    if (secret === undefined) {
      throw badFlag('--signing-key needs --secret-file FILE or HANDFAST_SECRET')
    }
    const farmName = flags['farm-name'] ?? 'handfast'
    io.stdout.write(`${signingKey(parseSecret(secret), farmName, realm)}\n`)
    return 0
  },
}
