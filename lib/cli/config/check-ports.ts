import { isIP } from 'node:net'
import { type ListenAddress, parseAddress } from '../../address.ts'
import type { HandfastError } from '../../errors.ts'
import type { ServeSettings } from '../../serve/settings.ts'
import type { Path } from '../schema/schema.ts'

type Ports = Pick<ServeSettings, 'listen' | 'farm' | 'admin' | 'sites'>

/** Throws where two ports are one; answers sentences about addresses that are hardly meant. */
export function checkPorts(
  { listen, farm, admin, sites }: Ports,
  fault: (path: Path, expected: string) => HandfastError,
): string[] {
  const adminAt = admin && { host: admin.host ?? '127.0.0.1', port: admin.port }
  if (adminAt && overlap(listen, adminAt)) {
    throw fault(['admin', 'listen'], 'another port than that for clients')
  }
  if (farm.listen && overlap(listen, farm.listen)) {
    throw fault(['farm', 'listen'], 'another port than that for clients')
  }
  if (farm.listen && adminAt && overlap(farm.listen, adminAt)) {
    throw fault(['farm', 'listen'], 'another port than that of admin')
  }
  const farmPort = farm.listen?.port
  const asClients = farm.members.filter(
    member =>
      listen.port !== 0 &&
      listen.port !== farmPort &&
      parseAddress(member, farmPort).port === listen.port,
  )
  return [
    ...asClients.map(
      member =>
        `farm.members: ${member} has the port for clients; members are reached at their farm ` +
        `port (${farmPort})`,
    ),
    ...loopsOf(listen, sites),
  ]
}

/** A proxy that passes requests on to itself is busy with one for ever. */
function loopsOf(listen: ListenAddress, sites: Ports['sites']): string[] {
  const urls = sites.flatMap(({ backends = [], routes = [] }) =>
    [...backends, ...routes.flatMap(route => route.backends ?? [])].map(one =>
      typeof one === 'string' ? one : one.url,
    ),
  )
  return [...new Set(urls)]
    .filter(url => {
      const { protocol, hostname, port } = new URL(url)
      const at = Number(port || (protocol === 'https:' ? 443 : 80))
      const host = hostname.replace(/^\[|\]$/g, '')
      const isHere = host === 'localhost' || host === '::1' || host.startsWith('127.')
      return isHere && overlap(listen, { host: '127.0.0.1', port: at })
    })
    .map(url => `backend ${url} is this proxy itself`)
}

/** Whether both would listen on one address of the machine. 0 is a free port each time. */
function overlap(one: ListenAddress, other: ListenAddress): boolean {
  if (one.port !== other.port || one.port === 0) return false
  const [a, b] = [hostOf(one), hostOf(other)]
  return a === b || isEvery(a) || isEvery(b)
}

function hostOf({ host = '::' }: ListenAddress): string {
  return host === 'localhost' ? '127.0.0.1' : host.toLowerCase()
}

function isEvery(host: string): boolean {
  return isIP(host) !== 0 && /^[0:.]+$/.test(host)
}
