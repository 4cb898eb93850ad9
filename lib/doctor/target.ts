import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'

/** An address to examine. */
export interface Target {
  /** A name or an IP address, IPv6 without brackets. */
  readonly host: string
  readonly port: number
  /** As it stands in reports. */
  readonly label: string
}

const httpsPort = 443

/** `shop.example`, `10.0.0.1:8443`, `[::1]:8443`; undefined for anything else. */
export function parseTarget(text: string): Target | undefined {
  const match =
    /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})))(?::(\d{1,5}))?$/.exec(
      text,
    )
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3] ?? httpsPort)
  if (host === undefined || port < 1 || port > 65_535) return undefined
  if (match?.[1] !== undefined && isIP(host) !== 6) return undefined
  return targetOf(host, port)
}

/** One target for each address that the name stands for. */
export async function eachAddress(target: Target): Promise<Target[]> {
  if (isIP(target.host) !== 0) return [target]
  const found = await lookup(target.host, { all: true }).catch(() => [])
  if (found.length === 0) return [target]
  return found.map(({ address }) => targetOf(address, target.port))
}

function targetOf(host: string, port: number): Target {
  const label = isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
  return { host, port, label }
}
