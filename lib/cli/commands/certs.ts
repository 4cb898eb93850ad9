import { existsSync } from 'node:fs'
import { isIP } from 'node:net'
import { join, resolve } from 'node:path'
import { shown } from '../../shown.ts'
import { localhostCertificate, makeCertificate, writeCertificate } from '../certs.ts'
import type { Command } from '../command.ts'
import { badFlag, listOf, parseFlags } from '../flags.ts'
import { isWhole, readServerName } from '../quantity.ts'

export const certsCommand: Command = {
  help: `Usage: handfast certs [options]

Makes a key and a self-signed certificate, FIRST-NAME.key and FIRST-NAME.crt, mode 0600.

  --name NAME     host name or IP address, repeatable (default localhost, 127.0.0.1, ::1)
  --rsa           RSA-2048 instead of P-256
  --days N        valid for N days (default 365)
  --out DIR       where to write (default certs)
  --force         overwrite existing files
`,
  async run(args, io) {
    const flags = parseFlags('certs', args, {
      name: { type: 'string', multiple: true },
      rsa: { type: 'boolean' },
      days: { type: 'string' },
      out: { type: 'string' },
      force: { type: 'boolean' },
    })
    const names =
      flags.name === undefined ? localhostCertificate.names : namesOf(flags.name)
    const days = Number(flags.days ?? localhostCertificate.days)
    if (!isWhole(days) || days < 1 || days > 36_500) {
      throw badFlag(
        `--days: expected a whole number from 1 to 36500, got ${shown(flags.days)}`,
      )
    }
    const stem = (names[0] ?? '').replace('*', 'wildcard').replaceAll(':', '_')
    const base = join(flags.out ?? 'certs', stem)
    const keyFile = resolve(io.cwd, `${base}.key`)
    const certFile = resolve(io.cwd, `${base}.crt`)
    for (const file of [keyFile, certFile]) {
      if (existsSync(file) && flags.force !== true) {
        throw badFlag(`${file} is already there; --force overwrites it`)
      }
    }
    const keyType = flags.rsa === true ? 'rsa' : 'p256'
    await writeCertificate(
      { keyFile, certFile },
      await makeCertificate({ names, keyType, days }),
    )
    io.stdout.write(`wrote ${base}.key and ${base}.crt for ${names.join(', ')}\n`)
    return 0
  },
}

function namesOf(values: string[]): string[] {
  return listOf(values).map(value => {
    const name = isIP(value) === 0 ? readServerName(value) : value
    if (name === undefined) {
      throw badFlag(`--name: expected a host name or an IP address, got ${shown(value)}`)
    }
    return name
  })
}
