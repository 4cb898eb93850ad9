/**
 * Copies all of `source` to an offset of `target`. Where one of them is shared memory, as that of
 * tables is, `set` takes 0.3 us for each KiB, and so does `copy` up to Node 22: V8 copies such
 * memory by words that it loads one by one, for the sake of other threads. `fill` is a `memcpy`.
 */
export function copyBytes(source: Uint8Array, target: Buffer, offset: number): void {
  if (source.length > 0) target.fill(source, offset, offset + source.length)
}

/** Bytes of its own. */
export function ownCopy(source: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafe(source.length)
  copyBytes(source, copy, 0)
  return copy
}
