import { HandfastError } from '../../lib/errors.ts'

/** Throws ERR_HANDFAST_CONFIG where the server says, in INFO, that it may lose what it was given. */
export function checkKeeps(info: string): void {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1]
  if (field('aof_enabled') === '0') {
    throw fault('keeps nothing on disk: appendonly is no')
  }
  const policy = field('maxmemory_policy') ?? 'noeviction'
  if (field('maxmemory') !== '0' && policy.startsWith('allkeys')) {
    throw fault(`evicts what it was given: maxmemory-policy is ${policy}`)
  }
}

function fault(what: string): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_CONFIG',
    `redis: this server ${what}; dangerAcceptLoss: true opens it all the same`,
  )
}
