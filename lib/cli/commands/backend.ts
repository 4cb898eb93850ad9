import type { WriteReach } from '../../farm/transport.ts'
import type { BackendFigures } from '../../proxy/section/backends.ts'
import { adminAddress, callAdmin, tokenAdminFlag } from '../admin-client.ts'
import type { Command, Io } from '../command.ts'
import { farmToken, tokenFlags } from '../farm-token.ts'
import { badFlag, flagLines, parseFlagsAndArguments } from '../flags.ts'
import { readBackend } from '../quantity.ts'
import { absentLine } from './status.ts'

const flags = {
  admin: tokenAdminFlag,
  ...tokenFlags,
  json: { about: 'the list for programs' },
} as const

const words = ['list', 'drain', 'enable'] as const

export const backendCommand: Command = {
  flags,
  words,
  help: `Usage: handfast backend list [options]
       handfast backend drain URL [options]
       handfast backend enable URL [options]

Shows the backends of a host's proxy; or lets one run dry on every proxy of the farm, and gives
it new clients again. A backend that is drained goes on with what is open and with clients that it
holds (affinity); nobody else comes.

${flagLines(flags)}

Draining needs the farm secret, the list does not.

Exits with
  0  done, and all members know
  1  refused, no such backend, or a member that can be reached has not confirmed it in time
  2  a bad option
  3  nobody answers
  4  all members that can be reached know; the others, which are named, go on as before
`,
  async run(args, io) {
    const { flags: given, positionals } = parseFlagsAndArguments('backend', args, flags)
    const [word, url, more] = positionals
    const action = words.find(known => known === word)
    if (action === undefined) throw badFlag(`needs one of ${words.join(', ')}`)
    const at = adminAddress(given.admin)
    const origin = url === undefined ? undefined : readBackend(url)
    if (action === 'list' ? url !== undefined : origin === undefined || more) {
      throw badFlag(action === 'list' ? 'list goes alone' : `${action} needs a URL`)
    }
    try {
      const { body } = await callAdmin(at, { path: '/status' })
      const { backends = [] } = body as { backends?: BackendFigures[] }
      if (origin === undefined) return list(backends, given.json === true, io)
      if (!backends.some(backend => backend.origin === origin)) {
        io.stderr.write(`handfast backend: no backend ${origin} at this proxy\n`)
        return 1
      }
      const token = await farmToken(given['secret-file'], given['farm-name'], io)
      const answer = await callAdmin(at, {
        path: '/backends',
        token,
        body: { [action]: origin },
      })
      if (answer.status !== 200) {
        const { error = `status ${answer.status}` } = answer.body as { error?: string }
        io.stderr.write(`handfast backend: refused: ${error}\n`)
        return 1
      }
      const done = action === 'drain' ? 'drained' : 'enabled'
      return report(done, answer.body as WriteReach, io)
    } catch (error) {
      if ((error as { code?: string }).code === 'ERR_HANDFAST_CONFIG') throw error
      io.stderr.write(`handfast backend: ${(error as Error).message}\n`)
      return 3
    }
  },
}

function list(backends: readonly BackendFigures[], json: boolean, io: Io): number {
  if (json) {
    io.stdout.write(`${JSON.stringify(backends, null, 2)}\n`)
    return 0
  }
  const width = Math.max(0, ...backends.map(({ origin }) => origin.length))
  for (const backend of backends) {
    const { origin, requests, webSockets, sent } = backend
    const open = `${requests} open, ${webSockets} WebSockets, ${sent} sent`
    io.stdout.write(`${origin.padEnd(width)}  ${stateOf(backend).padEnd(7)}  ${open}\n`)
  }
  return 0
}

function stateOf({ draining, ready, processes }: BackendFigures): string {
  if (draining > 0) return 'drained'
  return ready === processes ? 'ready' : ready > 0 ? 'shaky' : 'down'
}

function report(done: string, reach: WriteReach, io: Io): number {
  const { everywhere, reachable, missing } = reach
  if (everywhere) {
    io.stdout.write(`${done}: all members know\n`)
    return 0
  }
  const lines = [
    reachable
      ? `${done} at all members that can be reached; not at these, until they are back:`
      : `${done} here; not every member that can be reached has confirmed it in time`,
    ...missing.map(absentLine),
  ]
  io.stdout.write(`${lines.join('\n')}\n`)
  return reachable ? 4 : 1
}
