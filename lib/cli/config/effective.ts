import { shown } from '../../shown.ts'
import { describeConfig } from '../schema/schema.ts'
import { valueAt } from './value-at.ts'

/** An option with what holds for it, and who says so. */
export interface EffectiveOption {
  /** `sites[0].cert`. */
  readonly path: string
  /** As it is written; of a secret, of a field that may be one, of a query: `(hidden)`. */
  readonly value: string
  /** `handfast.yaml:7`, `--listen`, `default`. */
  readonly source: string
}

export interface Sources {
  /** Of the config file; empty without one. */
  readonly content: unknown
  placeOf(path: readonly (string | number)[]): string
  /** By path (`sites[].backends`): the flag, and what it says. */
  readonly flags: ReadonlyMap<string, { readonly flag: string; readonly text: string }>
}

/** All options of a proxy. Those of a mapping that is not there are left out. */
export function effectiveOptions(sources: Sources): EffectiveOption[] {
  const options = describeConfig()
  const hasNeeded = (mapping: string) =>
    options.some(({ path, needed }) => needed && parentOf(path) === mapping)
  return options.flatMap(({ path, form, usual, otherwise }) => {
    const given = sources.flags.get(path)
    if (given !== undefined) {
      const place = path.replace('[]', '[0]')
      return [{ path: place, value: urlWithoutSecrets(given.text), source: given.flag }]
    }
    return placesOf(path, sources.content).flatMap(steps => {
      const value = valueAt(sources.content, steps)
      const here = { path: pathText(steps) }
      if (value !== undefined) {
        const text = form === 'mapping' ? undefined : textOf(value, form, path)
        return text === undefined
          ? []
          : [{ ...here, value: text, source: sources.placeOf(steps) }]
      }
      const parent = valueAt(sources.content, steps.slice(0, -1))
      const isThere = typeof parent === 'object' && parent !== null
      // A route takes from its site what it does not say itself.
      if (path.includes('.routes[].')) return []
      const isShown = isThere || !(path.includes('[]') || hasNeeded(parentOf(path)))
      if (!isShown || form === 'mapping' || form === 'mappings') return []
      const standard = otherwise ?? usual
      if (standard === undefined) return []
      return [{ ...here, value: String(standard), source: 'default' }]
    })
  })
}

/** `sites[].cert` once for each site there is. */
function placesOf(path: string, content: unknown): (string | number)[][] {
  let places: (string | number)[][] = [[]]
  for (const step of path.split('.')) {
    const name = step.replace('[]', '')
    places = places.map(place => [...place, name])
    if (name === step) continue
    places = places.flatMap(place => {
      const items = valueAt(content, place)
      if (!Array.isArray(items)) return []
      return items.flatMap((item, index) =>
        typeof item === 'object' ? [[...place, index]] : [],
      )
    })
  }
  return places
}

/** Undefined for a list that has mappings only, each of which is told by itself. */
function textOf(value: unknown, form: string, path: string): string | undefined {
  if (path.endsWith('.secret')) return '(hidden)'
  if (!Array.isArray(value)) {
    if (typeof value === 'object') return JSON.stringify(value, hidingSecrets)
    return urlWithoutSecrets(String(value))
  }
  const told = form === 'mappings' ? value.filter(one => typeof one !== 'object') : value
  if (told.length === 0 && value.length > 0) return undefined
  return told.map(one => urlWithoutSecrets(String(one))).join(', ')
}

/** A value of a field, by its name: many say who may come in. */
function hidingSecrets(name: string, value: unknown): unknown {
  if (typeof value !== 'string') return value
  const isSecret = secretName.test(name) || secretValue.test(value)
  return isSecret || shown(value) === '(hidden)' ? '(hidden)' : value
}

const secretName = /auth|cookie|token|secret|key|passw|credential|session|signature/i
const secretValue = /^(?:basic|bearer|digest|negotiate|ntlm|token|apikey)\s/i

/** As `shown` has it in errors. */
function urlWithoutSecrets(text: string): string {
  if (/^rediss?\b/i.test(text)) return text.replace(/\/\/.*@/s, '//(hidden)@')
  return /^https?:/i.test(text) ? text.replace(/\?.*$/s, '?(hidden)') : text
}

function pathText(path: readonly (string | number)[]): string {
  return path
    .map((step, at) => (typeof step === 'number' ? `[${step}]` : at ? `.${step}` : step))
    .join('')
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('.')))
}
