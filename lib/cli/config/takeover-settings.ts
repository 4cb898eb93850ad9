import { isIPv4 } from 'node:net'
import type { ListenAddress } from '../../address.ts'
import type { HandfastError } from '../../errors.ts'
import type { FarmSettings, ServeSettings } from '../../serve/settings.ts'
import type { ProxyFlags } from '../proxy-flags.ts'
import type { ConfigFile } from '../schema/config-file.ts'
import type { Path } from '../schema/schema.ts'

/** Takeover between hosts, as it can be together with the rest. */
export function takeoverOf(
  { takeover, workers, guardian, proxyProtocol = [] }: ConfigFile,
  flags: ProxyFlags,
  { host }: ListenAddress,
  farm: Pick<FarmSettings, 'listen' | 'advertise'>,
  fault: (path: Path, expected: string) => HandfastError,
): ServeSettings['takeover'] {
  if (takeover === undefined) return undefined
  const { heartbeat = 100, timeout = 300 } = takeover
  if (timeout < 2 * heartbeat) {
    throw fault(['takeover', 'timeout'], 'at least twice the heartbeat')
  }
  if (flags.guardian || guardian?.enabled === true) {
    throw fault(['takeover'], 'no guardian beside it')
  }
  if ((flags.workers ?? workers) !== 1) throw fault(['workers'], '1, for takeover')
  // What is written down has to be the connection as it is on the link, not as it is shown.
  if (flags.proxyProtocol.length + proxyProtocol.length > 0) {
    throw fault(['takeover'], 'no proxyProtocol beside it')
  }
  if (host !== undefined && host !== '0.0.0.0' && host !== '::') {
    throw fault(['listen'], 'every address of the host (a port alone), for takeover')
  }
  if (takeover.shared !== true) {
    if (takeover.host === undefined) return takeover
    throw fault(['takeover', 'host'], 'none without shared: true')
  }
  const own = takeover.host ?? hostOf(farm)
  if (own === undefined) {
    const expected = 'an IPv4 address of this host alone, for farm.listen names none'
    throw fault(['takeover', 'host'], expected)
  }
  if (own === takeover.address) {
    throw fault(['takeover', 'host'], 'another address than the one that all share')
  }
  return { ...takeover, host: own }
}

/** Under which the other members of the farm reach this host, where that is an address of IPv4. */
function hostOf({
  listen,
  advertise,
}: Pick<FarmSettings, 'listen' | 'advertise'>): string | undefined {
  const hosts = [advertise, listen?.host]
  return hosts.find(host => host !== undefined && isIPv4(host) && host !== '0.0.0.0')
}
