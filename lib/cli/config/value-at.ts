import type { Path } from '../schema/schema.ts'

/** What stands at a path of a parsed file; undefined where there is nothing. */
export function valueAt(content: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, step) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, step)
        ? (value as Record<string | number, unknown>)[step]
        : undefined,
    content,
  )
}
