/**
 * What a header of the PROXY protocol begins with, versions 1 and 2 (proxy-protocol.txt of HAProxy,
 * 2.1 and 2.2). Here nobody reads it: it came from somebody who may not send one.
 */
const beginnings = [
  ...['TCP4 ', 'TCP6 ', 'UNKNOWN'].map(family => `PROXY ${family}`),
  '\r\n\r\n\0\r\nQUIT\n',
]

/** Whether a connection begins with such a header; `more` when that may turn out. */
export function beginsWithProxyHeader(bytes: Buffer): boolean | 'more' {
  const text = bytes.toString('latin1', 0, longest)
  if (beginnings.some(beginning => text.startsWith(beginning))) return true
  return beginnings.some(beginning => beginning.startsWith(text)) ? 'more' : false
}

const longest = Math.max(...beginnings.map(beginning => beginning.length))
