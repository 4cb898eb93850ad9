import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { localhostCertificate, makeCertificate, writeCertificate } from '../certs.ts'
import type { Command } from '../command.ts'
import { badFlag, flagLines, parseFlags } from '../flags.ts'
import { certifiedName, wholeNumber } from '../schema/kinds.ts'

const flags = {
  name: {
    value: 'NAME',
    several: true,
    kind: certifiedName,
    about: 'host name or IP address, repeatable (default localhost, 127.0.0.1, ::1)',
  },
  rsa: { about: 'RSA-2048 instead of P-256' },
  days: {
    value: 'N',
    kind: wholeNumber(1, 36_500),
    about: `valid for N days (default ${localhostCertificate.days})`,
  },
  out: { value: 'DIR', about: 'where to write (default certs)' },
  force: { about: 'overwrite existing files' },
} as const

export const certsCommand: Command = {
  flags,
  help: `Usage: handfast certs [options]

Makes a key and a self-signed certificate, FIRST-NAME.key and FIRST-NAME.crt, mode 0600.

${flagLines(flags)}
`,
  async run(args, io) {
    const given = parseFlags('certs', args, flags)
    const { name: names = localhostCertificate.names } = given
    const { days = localhostCertificate.days, out = 'certs' } = given
    const stem = (names[0] ?? '').replace('*', 'wildcard').replaceAll(':', '_')
    const base = join(out, stem)
    const keyFile = resolve(io.cwd, `${base}.key`)
    const certFile = resolve(io.cwd, `${base}.crt`)
    for (const file of [keyFile, certFile]) {
      if (existsSync(file) && given.force !== true) {
        throw badFlag(`${file} is already there; --force overwrites it`)
      }
    }
    const keyType = given.rsa === true ? 'rsa' : 'p256'
    await writeCertificate(
      { keyFile, certFile },
      await makeCertificate({ names, keyType, days }),
    )
    io.stdout.write(`wrote ${base}.key and ${base}.crt for ${names.join(', ')}\n`)
    return 0
  },
}
