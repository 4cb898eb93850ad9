import { HandfastError } from '../../errors.ts'
import { shown } from '../../shown.ts'
import type { ConfigFile } from '../schema/config-file.ts'
import { checkConfig, isFault, type Path } from '../schema/schema.ts'
import { valueAt } from './value-at.ts'
import { readYaml } from './yaml-document.ts'

/**
 * Names the places of a config file in errors: `handfast.yaml:7: sites[1].backends[0]`. It
 * keeps the parsed text for that.
 */
export interface ConfigSource {
  readonly config: ConfigFile
  /** An error about the value at the path: what it is, unless it is secret, and the want. */
  fault(path: Path, expected: string): HandfastError
  /** As it is written. */
  readonly content: unknown
  /** `handfast.yaml:7`. */
  lineOf(path: Path): number | undefined
}

/** Reads and checks the text of a config file. Throws ERR_HANDFAST_CONFIG for the first fault. */
export function parseConfig(text: string, fileName: string): ConfigSource {
  const { content, lineOf } = readYaml(text, fileName)
  const placeOf = (path: Path) => {
    const line = lineOf(path)
    const at = line === undefined ? fileName : `${fileName}:${line}`
    return `${at}: ${formatPath(path)}`
  }
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
  return { config: checked, fault, content, lineOf }
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

function configError(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', message)
}
