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
  if (error !== undefined) {
    const [at] = error.pos
    const offset = misplacedLine(document.errors, text)
    return offset === undefined
      ? { offset: at, what: wordsFor(error, text) }
      : { offset, what: misplaced }
  }
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

const noColon = 'a line without a colon: a key has one behind it, and then a space'

const misplaced =
  'this line is indented more or less than its neighbours: keys of one mapping begin in one ' +
  'column, and so do the entries of a list'

/** A place in the line whose indentation is what the first error comes of, if one's is. */
function misplacedLine(errors: readonly YAMLError[], text: string): number | undefined {
  const [first, second] = errors
  if (first === undefined) return undefined
  const [at] = first.pos
  const begins = text.slice(text.lastIndexOf('\n', at - 1) + 1, at).trim() === ''
  switch (first.code) {
    // A bracket that is still open has this code, too.
    case 'BAD_INDENT':
      return first.message.startsWith('All ') ? afterBlanks(text, at) : undefined
    // So has a quote.
    case 'MISSING_CHAR':
      return first.message.startsWith('Sequence item ')
        ? afterBlanks(text, at)
        : undefined
    case 'UNEXPECTED_TOKEN':
      return begins && /[\w-]/.test(text.charAt(at)) ? at : undefined
    case 'BLOCK_AS_IMPLICIT_KEY': {
      if (begins) return afterBlanks(text, at)
      // A value goes on in a line that is indented more, and was taken for a key with it.
      const goesOn = second?.code === 'MULTILINE_IMPLICIT_KEY' && second.pos[0] === at
      return goesOn ? second.pos[1] - 1 : undefined
    }
    default:
      return undefined
  }
}

/** Behind the empty lines, and those with a comment alone, that begin at an offset. */
function afterBlanks(text: string, offset: number): number {
  const [blanks = ''] = /^(?:[ \t]*(?:#.*)?\r?\n)*/.exec(text.slice(offset)) ?? []
  return offset + blanks.length
}

function wordsFor({ code, message, pos: [at, end] }: YAMLError, text: string): string {
  switch (code) {
    case 'TAB_AS_INDENT':
      return 'a tab: YAML is indented with spaces'
    case 'DUPLICATE_KEY': {
      const [key = ''] = /^[\w-]{1,40}/.exec(text.slice(at)) ?? []
      return key === '' ? 'a key stands here twice' : `${key} stands here twice`
    }
    case 'BLOCK_AS_IMPLICIT_KEY':
      return 'two colons in one line: a value with a colon and a space, or at its end, must stand in quotes'
    case 'MULTILINE_IMPLICIT_KEY': {
      const [line = ''] = text.slice(at, end).split('\n')
      return line.includes(':') ? 'a space is needed behind the colon of a key' : noColon
    }
    case 'BAD_SCALAR_START':
      return `a value that begins with ${text.charAt(at)} must stand in quotes`
    case 'MULTIPLE_DOCS':
      return 'a second document begins here (---): there can be one only'
    case 'BAD_ALIAS':
      return unquotedStar
    case 'BAD_INDENT':
      return 'not valid YAML (bad indent, or a [ or { that nothing closes)'
    case 'MISSING_CHAR':
      if (message.startsWith('Implicit map keys')) return noColon
      return 'not valid YAML (a quote, or a bracket, that nothing closes)'
    default:
      return `not valid YAML (${code.toLowerCase().replaceAll('_', ' ')})`
  }
}

function configError(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', message)
}
