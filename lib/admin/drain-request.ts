import { parseOrigin } from '../backend/origin.ts'
import { HandfastError } from '../errors.ts'

/** What POST /backends takes: `{ "drain": "http://10.0.0.1:3000" }`, or `enable`. */
export function readDrainRequest(json: string): {
  readonly action: 'drain' | 'enable'
  readonly origin: string
} {
  const [entry, more] = Object.entries(parse(json))
  const [action, url] = entry ?? []
  if (more !== undefined || (action !== 'drain' && action !== 'enable')) {
    throw usage('the body must be { "drain": URL } or { "enable": URL }')
  }
  if (typeof url !== 'string' || url.length > 240) {
    throw usage(`${action} must be the URL of a backend`)
  }
  return { action, origin: parseOrigin(url).origin }
}

function parse(json: string): object {
  try {
    const value: unknown = JSON.parse(json)
    if (typeof value === 'object' && value !== null) return value
  } catch {
    // Said below.
  }
  throw usage('the body must be a JSON object')
}

function usage(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_USAGE', message)
}
