import { adminToken } from '../../admin/admin-token.ts'
import { signingKey } from '../../auth/signing-key.ts'
import { generateSecret, parseSecret } from '../../farm/secret.ts'
import type { Command } from '../command.ts'
import { findSecretOf } from '../config/read-secret.ts'
import { tokenFlags } from '../farm-token.ts'
import { badFlag, flagLines, parseFlags } from '../flags.ts'

const flags = {
  'signing-key': { value: 'REALM', about: 'print the key of a realm instead' },
  'admin-token': { about: 'print what the admin port wants to see, instead' },
  ...tokenFlags,
} as const

export const secretCommand: Command = {
  flags,
  help: `Usage: handfast secret
       handfast secret --signing-key REALM [--secret-file FILE] [--farm-name NAME]
       handfast secret --admin-token [--secret-file FILE] [--farm-name NAME]

Prints a new farm secret: 32 random bytes, base64url. Every member of a farm has the same.

  (umask 077 && handfast secret > farm.secret)
  handfast proxy --secret-file farm.secret ...

With --signing-key it prints what the backends of a site with auth.sign check X-Forwarded-User
with: drawn from the farm secret (--secret-file or HANDFAST_SECRET), different for each realm.
The realm of a site is its auth.realm, else its first name.

With --admin-token it prints the token of the admin port, for its dashboard and for programs that
revoke. Who has it can end every session of the farm, and nothing else.

${flagLines(flags)}
`,
  async run(args, io) {
    const given = parseFlags('secret', args, flags)
    const realm = given['signing-key']
    const wantsToken = given['admin-token'] === true
    if (realm !== undefined && wantsToken) {
      throw badFlag('--signing-key or --admin-token, not both')
    }
    if (realm === undefined && !wantsToken) {
      if (given['secret-file'] !== undefined || given['farm-name'] !== undefined) {
        throw badFlag(
          '--secret-file and --farm-name go with --signing-key or --admin-token',
        )
      }
      io.stdout.write(`${generateSecret()}\n`)
      return 0
    }
    const { secret } = await findSecretOf(io, given['secret-file'])
    if (secret === undefined) {
      const flag = wantsToken ? '--admin-token' : '--signing-key'
      throw badFlag(`${flag} needs --secret-file FILE or HANDFAST_SECRET`)
    }
    const farmName = given['farm-name'] ?? 'handfast'
    const key = parseSecret(secret)
    const printed =
      realm === undefined ? adminToken(key, farmName) : signingKey(key, farmName, realm)
    io.stdout.write(`${printed}\n`)
    return 0
  },
}
