import { sealedVersionAt } from '../../lib/record/record-sealer.ts'
import { versionLength } from '../../lib/record/version.ts'
import { scriptDenials } from './client.ts'
import { type Script, script } from './script.ts'

/** So many changes of a part can be made up for by who did not hear them; about. */
const logLength = 4_096
/** Of a sealed record, what is never the same twice. */
export const markLength = 50
/** Clocks may differ by so much, ms: what has ended is kept as long. */
export const clockSlack = 300_000
/** Records that have ended and are removed with each write. */
const sweptAtOnce = 16

/** Of a sealed record, counted from 1 as Lua does. */
export const firstOfVersion: number = sealedVersionAt + 1
export const lastOfVersion: number = sealedVersionAt + versionLength

/**
 * Whether one sealed record is to stand in place of another: version, then the flag that says
 * deleted, as bytes. Not as text, for Lua compares that as the server's language has it.
 */
const wins = `
local function wins(new, old)
  if #old < ${lastOfVersion} then return true end
  for at = ${firstOfVersion}, ${lastOfVersion} do
    local a, b = string.byte(new, at), string.byte(old, at)
    if a ~= b then return a > b end
  end
  return string.byte(new, 2) > string.byte(old, 2)
end
`

/** Whether a command failed for another reason than what lies there: nothing is made anew then. */
const denied = `
local function denied(reply)
  local said = type(reply) == 'table' and reply.err or ''
  return ${['NOPERM', ...scriptDenials]
    .map(words => `string.find(said, ${JSON.stringify(words)}, 1, true)`)
    .join(' or ')}
end
`

/**
 * Writes a record that has a key of its own. Answers nothing, or the record that is there and is
 * no older.
 *
 *     KEYS: the key    ARGV: record, end in ms, a record that it may replace whatever it says
 */
export const writeAlone: Script = script(`${wins}${denied}
local old = redis.pcall('GET', KEYS[1])
if denied(old) then return old end
if type(old) == 'string' and old ~= ARGV[3] and not wins(ARGV[1], old) then return old end
redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[2])
return false
`)

/**
 * Writes a record of a part, notes it in the log, and removes a few that have ended. Answers as
 * above. Whatever else lies under the three keys gives way.
 *
 * Entries of the log are numbered without a gap, GENERATION-NUMBER: who reads them sees when some
 * were cut off. A log that begins anew has a later generation, the time.
 *
 *     KEYS: records, ends, log
 *     ARGV: name, record, end in ms, a record that it may replace, longest record in the log
 */
export const writeInPart: Script = script(`${wins}${denied}
local name, new = ARGV[1], ARGV[2]
local old = redis.pcall('HGET', KEYS[1], name)
if denied(old) then return old end
if type(old) == 'table' then redis.call('DEL', KEYS[1]) end
if type(old) == 'string' and old ~= ARGV[4] and not wins(new, old) then return old end
redis.call('HSET', KEYS[1], name, new)
local ends = redis.pcall('ZADD', KEYS[2], ARGV[3], name)
if denied(ends) then return ends end
if type(ends) == 'table' then
  redis.call('DEL', KEYS[2])
  redis.call('ZADD', KEYS[2], ARGV[3], name)
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local past = string.format('%.0f', now - ${clockSlack})
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', past, 'LIMIT', 0, ${sweptAtOnce})
for _, ended in ipairs(gone) do
  redis.call('HDEL', KEYS[1], ended)
  redis.call('ZREM', KEYS[2], ended)
end
local noted = #new <= tonumber(ARGV[5]) and new or string.sub(new, 1, ${markLength})
local function note(generation, number)
  local id = generation .. '-' .. string.format('%.0f', number)
  return redis.pcall('XADD', KEYS[3], 'MAXLEN', '~', ${logLength}, id, 'n', name, 'v', noted)
end
local last = redis.pcall('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)
if denied(last) then return last end
local generation, number
if last[1] then generation, number = string.match(last[1][1], '^(%d+)-(%d+)$') end
local added = generation and note(generation, number + 1)
if denied(added) then return added end
if type(added) ~= 'string' then
  redis.call('DEL', KEYS[3])
  added = note(string.format('%.0f', now), 1)
  if type(added) == 'table' then return added end
end
return false
`)
