/** A value in DER (X.690): where its contents stand. */
export interface DerElement {
  readonly tag: number
  readonly start: number
  readonly end: number
}

/**
 * The element at this place: tag, length, contents (X.690 8.1), single-byte tags and definite
 * lengths only. Undefined when it is not all there.
 */
export function derElement(der: Buffer, at: number): DerElement | undefined {
  const first = der[at + 1]
  if (first === undefined) return undefined
  let start = at + 2
  let length = first
  if (first >= 0x80) {
    const width = first & 0x7f
    if (width < 1 || width > 3 || start + width > der.length) return undefined
    length = der.readUIntBE(start, width)
    start += width
  }
  if (start + length > der.length) return undefined
  return { tag: der.readUInt8(at), start, end: start + length }
}

/** The contents of an element that an explicit context tag wraps. */
export function derWrapped(
  wrapped: Buffer | undefined,
  tag?: number,
): Buffer | undefined {
  const found = wrapped && derElement(wrapped, 0)
  if (found === undefined || (tag !== undefined && found.tag !== tag)) return undefined
  return wrapped?.subarray(found.start, found.end)
}
