import type { NumberRule, NumberRules } from '../../options/number-options.ts'
import { writeBytes, writeDuration } from '../quantity.ts'
import { quantity } from './kinds.ts'
import { option } from './option.ts'

type Told = string | { readonly about: string; readonly otherwise: string }

/** A mapping's numbers, each with its unit and within its range. */
export function numbersOf<Name extends string>(
  rules: NumberRules<Name>,
  told: { readonly [name in Name]: Told },
) {
  const entries = Object.entries<NumberRule>(rules).map(([name, rule]) => {
    const about = told[name as Name]
    return [
      name,
      typeof about === 'string'
        ? option(quantity(rule), about, { usual: usualOf(rule) })
        : option(quantity(rule), about.about, about),
    ] as const
  })
  return Object.fromEntries(entries) as Record<Name, ReturnType<typeof option<number>>>
}

function usualOf({ unit, usual }: NumberRule): string | number | undefined {
  if (usual === undefined) return undefined
  if (unit === 'ms') return writeDuration(usual)
  return unit === 'bytes' ? writeBytes(usual) : usual
}
