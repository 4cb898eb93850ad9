/**
 * The network that an address of a client stands for: IPv6 by /64, which is what one customer
 * has, IPv4 by itself, and IPv4 in IPv6 clothes as IPv4. What is no address stands for itself.
 */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address
  const usual = firstGroups(address)
  if (usual !== undefined) return `${usual}::/64`
  const lower = address.toLowerCase()
  if (lower.startsWith('::ffff:') && lower.includes('.')) return lower.slice(7)
  const [head = '', tail] = (lower.split('%', 1)[0] as string).split('::')
  const left = head === '' ? [] : head.split(':')
  if (left.length < 4 && tail !== undefined) {
    const right = tail === '' ? [] : tail.split(':')
    // An IPv4 tail stands for two groups; only their number matters for the first four.
    const count = right.length + (right.at(-1)?.includes('.') ? 1 : 0)
    for (let zeros = 8 - left.length - count; zeros > 0; zeros -= 1) left.push('0')
    left.push(...right)
  }
  left.length = Math.min(left.length, 4)
  return `${left.map(group => group.replace(/^0+(?=.)/, '')).join(':')}::/64`
}

/** The first four groups as they stand, where they are all there and written as usual. */
function firstGroups(address: string): string | undefined {
  let end = -1
  for (let groups = 0; groups < 4; groups += 1) {
    const next = address.indexOf(':', end + 1)
    if (next <= end + 1) return undefined
    end = next
  }
  const groups = address.slice(0, end)
  return /^0[^:]|:0[^:]|[^0-9a-f:]/.test(groups) ? undefined : groups
}

/** Addresses of this machine. */
export function isLoopback(network: string): boolean {
  return network.startsWith('127.') || network === '0:0:0:0::/64'
}
