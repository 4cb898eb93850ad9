import { isNode, LineCounter, parseDocument } from 'yaml'
import { HandfastError } from '../../errors.ts'
import { shown } from '../../shown.ts'
import type { ConfigFile } from './config-file.ts'
import { checkConfig, isFault, type Path } from './schema.ts'

/**
 * Names the places of a config file in errors: `handfast.yaml:7: sites[1].backends[0]`. It
 * keeps the parsed text for that.
 */
export interface ConfigSource {
  readonly config: ConfigFile
  /** An error about the value at the path: what it is, unless it is secret, and the want. */
  fault(path: Path, expected: string): HandfastError
}

/** Reads and checks the text of a config file. Throws ERR_HANDFAST_CONFIG for the first fault. */
export function parseConfig(text: string, fileName: string): ConfigSource {
  const lines = new LineCounter()
  // The pretty form of an error quotes the source, where a secret may stand.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const broken = document.errors[0]
  if (broken !== undefined) {
    const { line } = lines.linePos(broken.pos[0])
    const what = broken.code.toLowerCase().replaceAll('_', ' ')
    throw configError(`${fileName}:${line}: not valid YAML (${what})`)
  }
  const content: unknown = contentOf(document, fileName)

  const lineOf = (path: Path): string => {
    // A key that is missing has no line of its own: its parent's must do.
    for (let length = path.length; length >= 0; length -= 1) {
      const node = document.getIn(path.slice(0, length), true)
      if (isNode(node) && node.range) return `:${lines.linePos(node.range[0]).line}`
    }
    return ''
  }
  const placeOf = (path: Path) => `${fileName}${lineOf(path)}: ${formatPath(path)}`
  const fault = (path: Path, expected: string): HandfastError => {
    const got = path.at(-1) === 'secret' ? '(hidden)' : shown(valueAt(content, path))
    return configError(`${placeOf(path)}: expected ${expected}, got ${got}`)
  }

  const checked = checkConfig(content)
  if (isFault(checked)) {
    const { path, expected = '', unknownKey } = checked
    if (unknownKey === undefined) throw fault(path, expected)
    throw configError(`${placeOf(path)}: unknown key, ${unknownKey}`)
  }
  return { config: checked, fault }
}

function contentOf(
  document: ReturnType<typeof parseDocument>,
  fileName: string,
): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 })
  } catch {
    throw configError(`${fileName}: not valid YAML (aliases)`)
  }
}

/** `sites[1].backends[0]`; the file as a whole is `(top level)`. */
export function formatPath(path: Path): string {
  if (path.length === 0) return '(top level)'
  return path
    .map((step, index) =>
      typeof step === 'number' ? `[${step}]` : index === 0 ? step : `.${step}`,
    )
    .join('')
}

function valueAt(content: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, step) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, step)
        ? (value as Record<string | number, unknown>)[step]
        : undefined,
    content,
  )
}

function configError(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', message)
}
