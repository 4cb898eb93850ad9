import t from 'tap'
import { type Case, plain, Said, trailing } from '../../fixtures/proxy/answers.ts'

/** Where node:http2 takes one line: two that are equal, and what two that differ become. */
const single: Readonly<Record<string, readonly [string, string, both: string]>> = {
  'access-control-allow-credentials': ['true', 'false', 'true, false'],
  'access-control-max-age': ['5', '6', '5'],
  'access-control-request-method': ['GET', 'PUT', 'GET'],
  age: ['1', '2', '1'],
  authorization: ['a', 'b', 'a'],
  'content-encoding': ['gzip', 'br', 'gzip, br'],
  'content-language': ['de', 'en', 'de, en'],
  'content-location': ['/a', '/b', '/a'],
  'content-md5': ['a', 'b', 'a'],
  'content-range': ['bytes 0-1/2', 'bytes 0-1/3', 'bytes 0-1/2'],
  'content-type': ['text/a', 'text/b', 'text/a'],
  date: ['Sat, 01 Jan 2022 00:00:00 GMT', 'x', 'Sat, 01 Jan 2022 00:00:00 GMT'],
  dnt: ['1', '0', '1'],
  etag: ['"a"', '"b"', '"a"'],
  expires: ['0', '1', '0'],
  from: ['a', 'b', 'a'],
  host: ['a', 'b', 'a'],
  'if-match': ['"a"', '"b"', '"a", "b"'],
  'if-modified-since': ['a', 'b', 'a'],
  'if-none-match': ['"a"', '"b"', '"a", "b"'],
  'if-range': ['a', 'b', 'a'],
  'if-unmodified-since': ['a', 'b', 'a'],
  'last-modified': ['a', 'b', 'a'],
  location: ['/a', '/b', '/a'],
  'max-forwards': ['1', '2', '1'],
  range: ['a', 'b', 'a'],
  referer: ['a', 'b', 'a'],
  'retry-after': ['1', '2', '1'],
  tk: ['a', 'b', 'a'],
  'upgrade-insecure-requests': ['1', '2', '1'],
  'user-agent': ['a', 'b', 'a'],
  'x-content-type-options': ['nosniff', 'none', 'nosniff, none'],
}
/** Of those the ones that are too late after the body. */
const noTrailers = [
  ...['authorization', 'content-encoding', 'content-range', 'content-type', 'host'],
]

const repeated: Case[] = Object.entries(single).flatMap(([name, [one, other, both]]) => {
  const twice = [`${name}: ${one}`, `${name.toUpperCase()}: ${one}`]
  // Two codings are two, be they the same.
  const once = name === 'content-encoding' ? `${one}, ${one}` : one
  const late = noTrailers.includes(name)
  return [
    {
      name: `the same ${name} twice`,
      says: plain(...twice),
      http1: { [name]: [one, one] },
      http2: { [name]: [once] },
    },
    {
      name: `two ${name} that differ`,
      says: plain(`${name}: ${one}`, `${name}: ${other}`),
      http1: { [name]: [one, other] },
      http2: { [name]: [both] },
    },
    {
      name: `the trailer ${name} twice`,
      says: trailing(...twice),
      trailers1: { [name]: late ? undefined : [one, one] },
      trailers2: { [name]: late ? undefined : [once] },
    },
    {
      name: `two trailers ${name} that differ`,
      says: trailing(`${name}: ${one}`, `${name}: ${other}`),
      trailers1: { [name]: late ? undefined : [one, other] },
      trailers2: { [name]: late ? undefined : [both] },
    },
  ]
})

t.test('a field or trailer that a backend repeats reaches the client', async t => {
  await (await Said.start(t)).hear(t, repeated)
})
