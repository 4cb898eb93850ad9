import { BlockList, isIP, isIPv6 } from 'node:net'
import { HandfastError } from './errors.ts'
import { shown } from './shown.ts'

/**
 * Tells whether an address is one of the listed, or in one of the listed subnets
 * (`10.0.0.0/8`). Throws ERR_HANDFAST_CONFIG for an entry that is neither; `option` names where
 * it stood.
 */
export function addressList(
  entries: readonly string[],
  option: string,
): (address: string) => boolean {
  const list = new BlockList()
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/')
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    const width = bits === undefined ? undefined : Number(bits)
    const most = family === 'ipv6' ? 128 : 32
    if (
      !isIP(address) ||
      (bits !== undefined && !(/^\d+$/.test(bits) && Number(bits) <= most))
    ) {
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        `${option} must list addresses or subnets, got ${shown(entry)}`,
      )
    }
    if (width === undefined) list.addAddress(address, family)
    else list.addSubnet(address, width, family)
  }
  if (entries.length === 0) return () => false
  return address =>
    isIP(address) !== 0 && list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}
