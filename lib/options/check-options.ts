import { HandfastError } from '../errors.ts'
import { shown } from '../shown.ts'
import { unknownName } from './unknown-name.ts'

/** What an option must be, as far as its form goes; what reads it judges its value. */
export interface OptionRule {
  readonly expected: string
  accepts(value: unknown): boolean
  /** Of the options inside, where it is a mapping. */
  readonly inside?: OptionRules<never> | undefined
}

/** All options there are of a kind: the compiler sees that none is left out. */
export type OptionRules<T> = {
  readonly [name in T extends unknown ? keyof T : never]-?: OptionRule
}

/**
 * Throws ERR_HANDFAST_CONFIG for an option that does not exist, naming the one that was meant,
 * and for one that is of another form. `call` is who was given them, in the error.
 */
export function checkOptions<T>(
  call: string,
  options: unknown,
  rules: OptionRules<T>,
): void {
  if (!isMapping(options)) throw fault(`${call} takes options, got ${shown(options)}`)
  checkInside(call, '', options, rules)
}

function checkInside(
  call: string,
  path: string,
  options: object,
  rules: Readonly<Record<string, OptionRule>>,
): void {
  for (const [name, value] of Object.entries(options)) {
    const here = path === '' ? name : `${path}.${name}`
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
    if (rule === undefined) {
      const advice = unknownName(name, Object.keys(rules))
      throw fault(`${call}: unknown option ${shown(here).slice(1, -1)}, ${advice}`)
    }
    if (value === undefined) continue
    if (!rule.accepts(value)) {
      const got = secretNames.has(name) ? '(hidden)' : shown(value)
      throw fault(`${call}: ${here} must be ${rule.expected}, got ${got}`)
    }
    if (rule.inside !== undefined && isMapping(value)) {
      checkInside(call, here, value, rule.inside)
    }
  }
}

/** Their values are shown to nobody. */
const secretNames: ReadonlySet<string> = new Set(['secret', 'key'])

export const anything: OptionRule = { expected: 'anything', accepts: () => true }

export const aText: OptionRule = {
  expected: 'a text',
  accepts: value => typeof value === 'string' && value !== '',
}

export const aSwitch: OptionRule = {
  expected: 'true or false',
  accepts: value => typeof value === 'boolean',
}

export const aFunction: OptionRule = {
  expected: 'a function',
  accepts: value => typeof value === 'function',
}

/** A PEM, or bytes. */
export const aSecret: OptionRule = {
  expected: 'a text or a Buffer',
  accepts: value => typeof value === 'string' || Buffer.isBuffer(value),
}

export const texts: OptionRule = {
  expected: 'a list of texts',
  accepts: value => Array.isArray(value) && value.every(one => typeof one === 'string'),
}

/** Something with these methods. */
export function withMethods(what: string, ...methods: readonly string[]): OptionRule {
  return {
    expected: `${what}, with ${methods.join('(), ')}()`,
    accepts: value =>
      isMapping(value) &&
      methods.every(name => typeof Reflect.get(value, name) === 'function'),
  }
}

/** Options under one name. */
export function aMapping<T>(rules: OptionRules<T>): OptionRule {
  const names = Object.keys(rules)
  return {
    expected: `{ ${names.join(', ')} }`,
    accepts: value => isMapping(value) && !Array.isArray(value),
    inside: rules as OptionRules<never>,
  }
}

/** What any of them accepts. */
export function anyOf(...rules: readonly OptionRule[]): OptionRule {
  return {
    expected: rules.map(({ expected }) => expected).join(' or '),
    accepts: value => rules.some(rule => rule.accepts(value)),
    inside: rules.find(({ inside }) => inside !== undefined)?.inside,
  }
}

function isMapping(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function fault(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', message)
}
