import { z } from 'zod'
import { expectedFor, type Kind } from './kinds.ts'

/** What an operator reads of an option: in the table of the docs, in an editor. */
export interface About {
  /** One sentence without a full stop; for a list, of the whole. */
  readonly about: string
  /** What holds when nothing is said, as one would write it into the file. */
  readonly usual?: string | number | boolean | undefined
  /** The same in words, where no value says it. */
  readonly otherwise?: string | undefined
}

type Default = Omit<About, 'about'>
/** What reads a mapping. */
export type Schema<T> = z.ZodType<T>
type Leaf<T> = z.ZodPipe<z.ZodUnknown, z.ZodTransform<Awaited<T>, unknown>>

/** Beside each schema that an option is: zod has a place for such things. */
const told = z.registry<About & { readonly kind?: Kind<unknown> | undefined }>()

/** An option of one value. */
export function option<T>(
  kind: Kind<T>,
  about: string,
  usually: Default = {},
): z.ZodOptional<Leaf<T>> {
  return leaf(kind, { about, ...usually }).optional()
}

/** One that must be given. */
export function needed<T>(kind: Kind<T>, about: string): Leaf<T> {
  return leaf(kind, { about })
}

/** An option of several values. */
export function list<T>(
  kind: Kind<T>,
  about: string,
  usually: Default = {},
): z.ZodOptional<z.ZodArray<Leaf<T>>> {
  return z
    .array(leaf(kind))
    .register(told, { about, ...usually })
    .optional()
}

/** Of at least one value. */
export function some<T>(
  kind: Kind<T>,
  about: string,
  usually: Default = {},
): z.ZodOptional<z.ZodArray<Leaf<T>>> {
  return neededSome(kind, about, usually).optional()
}

/** Of at least one value, which must be given. */
export function neededSome<T>(
  kind: Kind<T>,
  about: string,
  usually: Default = {},
): z.ZodArray<Leaf<T>> {
  return z
    .array(leaf(kind))
    .min(1)
    .register(told, { about, ...usually })
}

/** Options under one name. A key that is not among them is refused. */
export function mapping<Shape extends z.ZodRawShape>(
  about: string,
  shape: Shape,
): z.ZodObject<Shape, z.core.$strict> {
  return z.strictObject(shape).register(told, { about })
}

/** Mappings of one form, at least one. */
export function mappings<Of extends z.ZodType>(about: string, of: Of): z.ZodArray<Of> {
  return z.array(of).min(1).register(told, { about })
}

/** A value in short, or a mapping that says more. */
export function either<T, Of extends z.ZodType>(
  short: Kind<T>,
  mapping: Of,
): z.ZodUnion<[Leaf<T>, Of]> {
  return z.union([leaf(short), mapping])
}

/** Several of either, at least one. */
export function someOfEither<T, Of extends z.ZodType>(
  short: Kind<T>,
  mapping: Of,
  about: string,
): z.ZodOptional<z.ZodArray<z.ZodUnion<[Leaf<T>, Of]>>> {
  return z.array(either(short, mapping)).min(1).register(told, { about }).optional()
}

/** Texts by names of one's own. */
export function texts<T>(
  kind: Kind<T>,
  about: string,
): z.ZodOptional<z.ZodRecord<z.ZodString, Leaf<T>>> {
  return z.record(z.string(), leaf(kind)).register(told, { about }).optional()
}

function leaf<T>(kind: Kind<T>, about: About = { about: '' }): Leaf<T> {
  return z
    .unknown()
    .transform((value, context) => {
      const result = kind.read(value)
      if (result !== undefined) return result
      context.addIssue({ code: 'custom', message: expectedFor(kind, value) })
      return z.NEVER
    })
    .register(told, { ...about, kind }) as Leaf<T>
}

/** One line of the table of options. */
export interface DescribedOption extends About {
  /** `sites[].backends`, `farm.name`; a mapping stands before what is in it. */
  readonly path: string
  readonly needed: boolean
  readonly form: 'value' | 'list' | 'mapping' | 'mappings'
  /** What its value, or each value of its list, must be; of a mapping undefined. */
  readonly expected: string | undefined
}

/** All options of a mapping in the order in which they are declared. */
export function describe(schema: z.ZodType, path = ''): DescribedOption[] {
  return Object.entries(shapeOf(schema)).flatMap(([name, given]) => {
    const plain = unwrapped(given)
    const item = plain instanceof z.ZodArray ? unwrapped(plain.element) : plain
    const isMapping = item instanceof z.ZodObject
    const isList = item !== plain
    const here = path === '' ? name : `${path}.${name}`
    const { kind: _, ...about } = told.get(plain) ?? { about: '' }
    const own: DescribedOption = {
      ...about,
      path: here,
      needed: !(given instanceof z.ZodOptional),
      form: isMapping ? (isList ? 'mappings' : 'mapping') : isList ? 'list' : 'value',
      expected: told.get(item)?.kind?.expected,
    }
    return [own, ...(isMapping ? describe(item, isList ? `${here}[]` : here) : [])]
  })
}

/** The keys that a mapping at a path may have; none where there is no mapping. */
export function keysAt(schema: z.ZodType, path: readonly (string | number)[]): string[] {
  let at = unwrapped(schema)
  for (const step of path) {
    const next = at instanceof z.ZodArray ? at.element : shapeOf(at)[step]
    if (next === undefined) return []
    at = unwrapped(next)
  }
  return Object.keys(shapeOf(at))
}

/** The same as JSON Schema (draft 2020-12), as editors take it. */
export function jsonSchema(schema: z.ZodType): object {
  return z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema }) {
      const of = told.get(zodSchema as never)
      if (of === undefined) return
      const { about, usual, otherwise, kind } = of
      const usually = otherwise === undefined ? '' : ` (default: ${otherwise})`
      if (about !== '') jsonSchema.description = about + usually
      if (usual !== undefined) jsonSchema.default = usual
      Object.assign(jsonSchema, kind?.json)
    },
  })
}

function shapeOf(schema: unknown): Readonly<Record<string, z.ZodType>> {
  return schema instanceof z.ZodObject ? schema.shape : {}
}

function unwrapped(schema: unknown): z.ZodType {
  if (schema instanceof z.ZodOptional) return unwrapped(schema.unwrap())
  // What is told of either is told of the mapping.
  if (schema instanceof z.ZodUnion) return unwrapped(schema.options.at(-1))
  return schema as z.ZodType
}
