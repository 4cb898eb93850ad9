/**
 * A path as different servers read it. Backends differ in what they decode, in which order, and
 * what they take dots, slashes and semicolons for; a rule for `/admin` that looks at the path as
 * it was sent would let `/x/..;/%61dmin` by. So a route is found by every reading, and a request
 * that two readings would send two ways goes none (see `Routes`). Most paths have one reading,
 * which costs one regular expression.
 *
 * `path`: origin form, query included. Undefined when no server should be asked to read it: a
 * percent sign that starts no escape, or an escaped control byte, at which some cut the path off.
 */
export function readingsOf(path: string): readonly string[] | undefined {
  const end = path.indexOf('?')
  const raw = end < 0 ? path : path.slice(0, end)
  if (plain.test(raw)) return [raw]
  if (badEscape.test(raw)) return undefined
  const readings = new Set([raw])
  for (const read of readers) readings.add(read(raw))
  return [...readings]
}

/** Nothing in it that anybody reads in another way: dots only within names. */
const plain = /^(?:\/(?!\.\.?(?:\/|$))[A-Za-z0-9\-._~!$&'()*+,=:@]+)*\/?$/

const badEscape = /%(?![0-9a-f]{2})|%(?:[01][0-9a-f]|7f)/i

type Reader = (path: string) => string

const readers: readonly Reader[] = [
  // RFC 3986 6.2.2: what need not be escaped is not, dot segments are gone.
  path => withoutDots(unescapedNames(path)),
  // Go, and whoever cleans without decoding.
  path => withoutDots(oneSlash(path)),
  path => withoutDots(path),
  // nginx, Apache and HAProxy when told to: all decoded, slashes merged.
  path => withoutDots(oneSlash(unescaped(path))),
  path => withoutDots(unescaped(path)),
  // The same after dots: `/a/%2e%2e/b` stays below `/a`.
  path => unescaped(withoutDots(path)),
  unescaped,
  // The URL standard, as in `new URL(request.url, base)`: a backslash is a slash, and what
  // follows two of them is a host.
  path => withoutDots(unescapedDots(withoutAuthority(slashes(path)))),
  path => withoutDots(unescaped(withoutAuthority(slashes(path)))),
  // IIS and .NET.
  path => withoutDots(oneSlash(slashes(unescaped(path)))),
  // Tomcat and whatever else takes `;name=value` off each segment, before or after decoding.
  path => withoutDots(oneSlash(unescaped(withoutParameters(path)))),
  path => withoutDots(oneSlash(withoutParameters(unescaped(path)))),
  withoutParameters,
  // A server behind a server: decoded twice, and cut where a query or a fragment comes to light.
  path => {
    const twice = unescaped(unescaped(path)).replace(/[?#].*$/s, '')
    return withoutDots(oneSlash(slashes(withoutParameters(twice))))
  },
]

/** Escapes of bytes, one character each. */
function unescaped(path: string): string {
  return path.replace(/%([0-9a-f]{2})/gi, (_, hex) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
}

function unescapedNames(path: string): string {
  return path.replace(/%([0-9a-f]{2})/gi, (escaped, hex) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16))
    return /[A-Za-z0-9\-._~]/.test(character) ? character : escaped
  })
}

function unescapedDots(path: string): string {
  return path.replace(/%2e/gi, '.')
}

function slashes(path: string): string {
  return path.replaceAll('\\', '/')
}

function oneSlash(path: string): string {
  return path.replace(/\/{2,}/g, '/')
}

function withoutAuthority(path: string): string {
  return path.replace(/^\/{2,}[^/]*(?=\/|$)/, '') || '/'
}

function withoutParameters(path: string): string {
  return path.replace(/;[^/]*/g, '')
}

/** RFC 3986 5.2.4. */
function withoutDots(path: string): string {
  if (!path.includes('/.')) return path
  const kept: string[] = []
  const segments = path.split('/')
  const last = segments.at(-1)
  for (const segment of segments.slice(1)) {
    if (segment === '..') kept.pop()
    else if (segment !== '.') kept.push(segment)
  }
  const folder = last === '.' || last === '..'
  return `/${kept.join('/')}${folder && kept.length > 0 ? '/' : ''}`
}
