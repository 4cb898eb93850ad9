import { isIP } from 'node:net'
import { defaultFarmPort, formatAddress } from '../address.ts'
import { topologyOf } from '../cache/topology.ts'
import type { Clock } from '../clock.ts'
import { LinkChannel } from '../farm/channel/link-channel.ts'
import type { UdpOptions } from '../farm/datagram/packet-sockets.ts'
import { EngineTransport } from '../farm/engine-transport.ts'
import { farmKey, parseSecret } from '../farm/secret.ts'
import { noTransport, type Replica, type Transport } from '../farm/transport.ts'
import { silentLog } from '../log.ts'
import type { HybridClock } from '../record/hybrid-clock.ts'
import { type FarmNumbers, type FarmOptions, isUnlinked } from './options.ts'

export interface FarmTransport {
  readonly transport: Transport
  /** Where it listens for other members, `host:port`, once started. */
  address(): string | undefined
}

/**
 * What the options ask for. Without `listen` and `members` it is a farm of one. `serves`: clients
 * are served here already, by other processes.
 */
export function farmTransport(
  options: FarmOptions,
  { copies }: Pick<FarmNumbers, 'copies'>,
  replica: Replica,
  versions: HybridClock,
  clock: Clock,
  serves: boolean = false,
): FarmTransport {
  const { secret, members, name: farmName = 'handfast', log = silentLog } = options
  if (secret === undefined || isUnlinked(options)) {
    return { transport: noTransport, address: () => undefined }
  }
  const { listen = { port: defaultFarmPort }, advertise, memberId, joinTimeout } = options
  const common = { replica, clock, log, farmName, secret }
  const links = { ...common, versions, listen, advertise, members, memberId, joinTimeout }
  const { transport: kind = 'stream' } = options
  const channel = new LinkChannel(links, kind === 'stream' ? 'stream' : 'datagram')
  const transport = new EngineTransport({
    ...common,
    channel,
    memberId: channel.id,
    transport: kind,
    udp: udpOptions(listen),
    joinTimeout,
    serves,
    repository: options.repository,
    topology: topologyOf({
      name: options.topology ?? 'auto',
      copies,
      repositoryCopies: options.copies,
      asks: options.asks ?? 'sequence',
      seed: farmKey(parseSecret(secret), farmName, 'placement', 4).readUInt32BE(0),
    }),
  })
  return {
    transport,
    address: () => channel.listening && formatAddress(channel.listening),
  }
}

/** Datagrams go where the streams do: the same address, interface and port number. */
function udpOptions({
  host,
  port,
}: NonNullable<FarmOptions['listen']>): Partial<UdpOptions> {
  if (host === undefined || isIP(host) === 0) return { port }
  return isIP(host) === 4 ? { port, host, interface: host } : { port, host }
}
