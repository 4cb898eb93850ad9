import { reportVersion } from './report.ts'

/** Names the places where a value is not what a report of this version has there. */
export function checkReport(value: unknown): string[] {
  const problems: string[] = []
  check(value, report, 'report', problems)
  return problems
}

/**
 * A type's name, a value that must stand there, a list of one shape, an object with exactly
 * these members (`?` marks one that may lack), or an object that maps any name to a shape.
 */
type Shape =
  | 'string'
  | 'number'
  | 'boolean'
  | { readonly is: unknown }
  | { readonly list: Shape }
  | { readonly map: Shape }
  | { readonly anyOf: readonly Shape[] }
  | { readonly object: { readonly [name: string]: Shape } }

const interval = { low: 'number', high: 'number', confidence: 'number' } as const

const verdict: Shape = {
  anyOf: [{ is: 'less' }, { is: 'more' }, { is: 'same' }, { is: 'noisy' }],
}

const measure: Shape = {
  object: {
    median: 'number',
    q1: 'number',
    q3: 'number',
    rounds: 'number',
    unit: 'string',
  },
}

const benchmark: Shape = {
  object: {
    name: 'string',
    measurements: {
      list: {
        object: {
          scenario: 'string',
          system: 'string',
          parameters: { map: { anyOf: ['number', 'string'] } },
          measures: { map: measure },
          'percentiles?': { list: 'number' },
        },
      },
    },
    comparisons: {
      list: {
        object: {
          measure: 'string',
          of: 'string',
          to: 'string',
          ratio: 'number',
          ...interval,
          verdict,
        },
      },
    },
    goals: {
      list: {
        object: { text: 'string', limit: 'number', value: 'number', 'met?': 'boolean' },
      },
    },
    skipped: { list: 'string' },
    notes: { list: 'string' },
    failures: { list: 'string' },
  },
}

const report: Shape = {
  object: {
    schema: { is: 'handfast-bench' },
    version: { is: reportVersion },
    startedAt: 'string',
    seconds: 'number',
    quick: 'boolean',
    seed: 'number',
    machine: {
      object: {
        cpu: 'string',
        cores: 'number',
        memoryGiB: 'number',
        system: 'string',
        node: 'string',
        openssl: 'string',
        loadBefore: 'number',
      },
    },
    calibration: { object: { spread: 'number', lost: 'number', noisy: 'boolean' } },
    benchmarks: { list: benchmark },
  },
}

function check(value: unknown, shape: Shape, at: string, problems: string[]): void {
  if (typeof shape === 'string') {
    const kind = typeof value
    const fits = shape === 'number' ? Number.isFinite(value) : kind === shape
    if (!fits) problems.push(`${at} is no ${shape}`)
  } else if ('is' in shape) {
    if (value !== shape.is) problems.push(`${at} is not ${JSON.stringify(shape.is)}`)
  } else if ('anyOf' in shape) {
    const fits = shape.anyOf.some(one => {
      const found: string[] = []
      check(value, one, at, found)
      return found.length === 0
    })
    if (!fits) problems.push(`${at} is none of what it may be`)
  } else if ('list' in shape) {
    if (!Array.isArray(value)) problems.push(`${at} is no list`)
    else
      for (const [index, one] of value.entries())
        check(one, shape.list, `${at}[${index}]`, problems)
  } else if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    problems.push(`${at} is no object`)
  } else if ('map' in shape) {
    for (const [name, one] of Object.entries(value))
      check(one, shape.map, `${at}.${name}`, problems)
  } else {
    checkMembers(value, shape.object, at, problems)
  }
}

function checkMembers(
  value: object,
  members: { readonly [name: string]: Shape },
  at: string,
  problems: string[],
): void {
  const known = new Set<string>()
  for (const [written, shape] of Object.entries(members)) {
    const name = written.replace(/\?$/, '')
    known.add(name)
    if (Object.hasOwn(value, name)) {
      check(Reflect.get(value, name), shape, `${at}.${name}`, problems)
    } else if (name === written) {
      problems.push(`${at}.${name} is missing`)
    }
  }
  for (const name of Object.keys(value)) {
    if (!known.has(name)) problems.push(`${at}.${name} is not part of the format`)
  }
}
