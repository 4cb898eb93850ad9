import {
  type Document,
  isNode,
  LineCounter,
  parseDocument,
  visit,
  type YAMLError,
} from 'yaml'
import { HandfastError } from '../../errors.ts'
import type { Path } from '../schema/schema.ts'

/** A text in YAML, and where in it things stand. */
export interface YamlDocument {
  readonly content: unknown
  /** The line of a key, or of the nearest that is there above it. */
  lineOf(path: Path): number | undefined
}

/**
 * Throws ERR_HANDFAST_CONFIG for what is no YAML, in words that say what to do about it. They
 * repeat nothing of the text but a key: a secret may stand there.
 */
export function readYaml(text: string, fileName: string): YamlDocument {
  const lines = new LineCounter()
  // The pretty form of an error quotes the source.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const mistake = mistakeIn(document, text)
  if (mistake !== undefined) {
    const { line } = lines.linePos(mistake.offset)
    throw configError(`${fileName}:${line}: ${mistake.what}`)
  }
  return {
    content: contentOf(document, fileName),
    lineOf(path) {
      for (let length = path.length; length >= 0; length -= 1) {
        const node = document.getIn(path.slice(0, length), true)
        if (isNode(node) && node.range) return lines.linePos(node.range[0]).line
      }
      return undefined
    },
  }
}

function contentOf(document: Document.Parsed, fileName: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 })
  } catch {
    throw configError(`${fileName}: not valid YAML (aliases)`)
  }
}

interface Mistake {
  /** In the text. */
  readonly offset: number
  readonly what: string
}

function mistakeIn(document: Document.Parsed, text: string): Mistake | undefined {
  const [error] = document.errors
  if (error !== undefined) return { offset: error.pos[0], what: wordsFor(error, text) }
  let mistake: Mistake | undefined
  visit(document, {
    Alias(_, node) {
      if (node.resolve(document) !== undefined) return undefined
      mistake = { offset: node.range?.[0] ?? 0, what: unquotedStar }
      return visit.BREAK
    },
  })
  return mistake
}

const unquotedStar = "a value that begins with * must stand in quotes: '*.shop.example'"

function wordsFor({ code, pos: [at] }: YAMLError, text: string): string {
  switch (code) {
    case 'TAB_AS_INDENT':
      return 'a tab: YAML is indented with spaces'
    case 'DUPLICATE_KEY': {
      const [key = ''] = /^[\w-]{1,40}/.exec(text.slice(at)) ?? []
      return key === '' ? 'a key stands here twice' : `${key} stands here twice`
    }
    case 'BLOCK_AS_IMPLICIT_KEY':
      return 'two colons in one line: a value with a colon and a space, or at its end, must stand in quotes'
    case 'MULTILINE_IMPLICIT_KEY':
      return 'a space is needed behind the colon of a key'
    case 'BAD_SCALAR_START':
      return `a value that begins with ${text.charAt(at)} must stand in quotes`
    case 'MULTIPLE_DOCS':
      return 'a second document begins here (---): there can be one only'
    case 'BAD_ALIAS':
      return unquotedStar
    case 'BAD_INDENT':
      return 'not valid YAML (bad indent, or a [ or { that nothing closes)'
    case 'MISSING_CHAR':
      return 'not valid YAML (a quote, or a bracket, that nothing closes)'
    default:
      return `not valid YAML (${code.toLowerCase().replaceAll('_', ' ')})`
  }
}

function configError(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', message)
}
