import { resolve } from 'node:path'
import { defaultFarmPort } from '../../address.ts'
import { createLog } from '../../log.ts'
import { farmNumbers, farmWords } from '../../member/options.ts'
import { logProcessFaults } from '../../serve/process/process-faults.ts'
import type { RepositorySettings } from '../../serve/serve-repository.ts'
import { logLevels } from '../../serve/settings.ts'
import type { Command, Io } from '../command.ts'
import { findSecretOf } from '../config/read-secret.ts'
import { badFlag, flagLines, parseFlags } from '../flags.ts'
import { memberFlags } from '../member-flags.ts'
import { address, host, member, oneOf, quantity, wholeNumber } from '../schema/kinds.ts'

const flags = {
  listen: {
    value: '[HOST:]PORT',
    kind: address,
    about: `where the other members reach it (default ${defaultFarmPort})`,
  },
  advertise: { value: 'HOST', kind: host, about: 'host under which they do' },
  member: {
    value: 'HOST[:PORT]',
    several: true,
    kind: member,
    about: 'another member, best the other repositories, repeatable',
  },
  'member-id': {
    value: 'NAME',
    about: 'a lasting name, unique in the farm (default made up at each start)',
  },
  disk: {
    value: 'FOLDER',
    about: 'keep all on disk as well, for when every process of the farm was stopped',
  },
  memory: {
    value: 'SIZE',
    kind: quantity(farmNumbers.memory),
    about: 'for sessions, such as 4GiB (default 256MiB)',
  },
  copies: {
    value: 'N',
    kind: wholeNumber(2, 8),
    about:
      'repositories that have a session, where one can not hold all (default each has all)',
  },
  transport: {
    value: 'KIND',
    kind: oneOf(farmWords.transport),
    words: farmWords.transport,
    about: 'as on all members: stream (default), auto, multicast or unicast',
  },
  'farm-name': memberFlags['farm-name'],
  'secret-file': memberFlags['secret-file'],
  admin: {
    value: '[HOST:]PORT',
    kind: address,
    about: 'status, metrics and revocation over HTTP (default nowhere; HOST 127.0.0.1)',
  },
  'log-level': memberFlags['log-level'],
  'log-format': memberFlags['log-format'],
} as const

export const repositoryCommand: Command = {
  flags,
  help: `Usage: handfast repository [options]

A member of the farm without clients: it has a copy of all that the others write, acknowledges
it, and answers for it. Proxies name it with --repository HOST:PORT.

${flagLines(flags)}

The log goes to standard output. SIGTERM and SIGINT leave the farm and exit with 0.
`,
  async run(args, io) {
    const settings = await settingsOf(args, io)
    const log = createLog({ level: settings.logLevel, format: settings.logFormat })
    logProcessFaults(log)
    for (const warning of settings.warnings) log.warn({}, warning)
    const { serveRepository } = await import('../../serve/serve-repository.ts')
    return await serveRepository({
      settings,
      log,
      onListening: at => io.stderr.write(`handfast repository: ${at}\n`),
    })
  },
}

async function settingsOf(args: readonly string[], io: Io): Promise<RepositorySettings> {
  const given = parseFlags('repository', args, flags)
  const { secret, warnings } = await findSecretOf(io, given['secret-file'])
  if (secret === undefined) {
    throw badFlag(
      'a repository needs the secret of its farm: put it into HANDFAST_SECRET or a file for ' +
        '--secret-file (handfast secret prints a new one)',
    )
  }
  return {
    farm: {
      name: given['farm-name'] ?? 'handfast',
      secret,
      members: given.member ?? [],
      listen: given.listen ?? { port: defaultFarmPort },
      topology: 'tiered',
      advertise: given.advertise,
      memberId: given['member-id'],
      disk:
        given.disk === undefined ? undefined : { folder: resolve(io.cwd, given.disk) },
      memory: given.memory,
      copies: given.copies,
      transport: given.transport,
    },
    admin: given.admin,
    logLevel: given['log-level'] ?? logLevels[1],
    logFormat: given['log-format'],
    warnings,
  }
}
