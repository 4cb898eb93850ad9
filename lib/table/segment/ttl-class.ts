/**
 * Records that expire at about the same time share a segment, so that the segment can be given
 * back whole. A class is a quarter of an octave of the time that a record has left:
 *
 *      class   0     1 .. 4        5 .. 8        9 .. 12            ..   92
 *      left    <1 s  1 s to 2 s    2 s to 4 s    4 s to 8 s         ..   > 97 days
 */
export type TtlClass = number & { readonly __brand: 'TtlClass' }

export const ttlClasses = 93

export function ttlClass(left: number): TtlClass {
  if (left < 1024) return 0 as TtlClass
  // In 256ths of a second, so that even the first octave has its two bits below the top one.
  const quarters = Math.min(left / 256, 0x7fff_ffff >>> 6) | 0
  const octave = 29 - Math.clz32(quarters)
  return (1 + octave * 4 + ((quarters >>> octave) & 3)) as TtlClass
}
