import { HandfastError } from '../errors.ts'
import { shown } from '../shown.ts'

/** What a number among options may be. */
export interface NumberRule {
  readonly unit: 'ms' | 'bytes' | 'count' | 'percent'
  /** Taken when none is given; undefined: then there is none. */
  readonly usual: number | undefined
  readonly least: number
  /** `Infinity` for no bound. */
  readonly most: number
}

export type NumberRules<Name extends string> = { readonly [name in Name]: NumberRule }

/**
 * The numbers among `options`, the usual ones in place of those that are not given. Throws
 * ERR_HANDFAST_CONFIG that names a bad one, with `prefix` before its name.
 */
export function fillNumbers<Name extends string>(
  rules: NumberRules<Name>,
  options: { readonly [name in Name]?: unknown },
  { prefix, whole = false }: { readonly prefix: string; readonly whole?: boolean },
): { readonly [name in Name]: number } {
  const filled: { [name: string]: number | undefined } = {}
  for (const name in rules) {
    const rule = rules[name]
    const given: unknown = options[name]
    const value = given === undefined ? rule.usual : given
    if (value !== undefined && !(isWithin(rule, value) && (!whole || isWhole(value)))) {
      const kind = whole ? 'a whole number' : 'a number'
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        `${prefix}${name} must be ${kind} ${rangeText(rule)}, got ${shown(value)}`,
      )
    }
    filled[name] = value
  }
  return filled as { [name in Name]: number }
}

export function isWithin({ least, most }: NumberRule, value: unknown): value is number {
  return typeof value === 'number' && value >= least && value <= most
}

/** `from 1`, `from 1 to 100`. */
export function rangeText({ least, most }: NumberRule): string {
  return most === Number.POSITIVE_INFINITY ? `from ${least}` : `from ${least} to ${most}`
}

function isWhole(value: number): boolean {
  return Number.isSafeInteger(value)
}
