/** CRC-32C (Castagnoli), RFC 3720 appendix B.4: reflected, of all bytes of `parts` in turn. */
export function crc32c(...parts: readonly Buffer[]): number {
  let crc = 0xffffffff
  for (const part of parts) {
    for (const byte of part) {
      crc = (table[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8)
    }
  }
  return (crc ^ 0xffffffff) >>> 0
}

const polynomial = 0x82f63b78

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit += 1) {
    crc = (crc & 1) === 1 ? (crc >>> 1) ^ polynomial : crc >>> 1
  }
  return crc
})
