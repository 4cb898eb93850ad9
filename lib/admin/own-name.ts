import { isIP } from 'node:net'
import { hostname } from 'node:os'

/**
 * Whether a Host field names this port as its operator knows it: by an address, as
 * `localhost`, by the name it listens under, by the machine's, or by one of `names`. A page on
 * the web whose name is made to lead here (DNS rebinding) comes under a name of its own, and
 * must not read what the port tells.
 */
export function ownNames(
  listenHost: string,
  names: readonly string[],
): (field: string | undefined) => boolean {
  const known = new Set(
    ['localhost', listenHost, hostname(), ...names].map(name => name.toLowerCase()),
  )
  return field => {
    // Only HTTP/1.0 does without, and no browser speaks it.
    if (field === undefined) return true
    const host = field
      .replace(/:\d*$/, '')
      .replace(/^\[(.*)\]$/, '$1')
      .replace(/\.$/, '')
      .toLowerCase()
    return isIP(host) !== 0 || known.has(host)
  }
}
