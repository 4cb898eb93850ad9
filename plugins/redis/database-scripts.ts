import { type Script, script } from './script.ts'

/**
 * An entry of application state is a string:
 *
 *      0         8         16
 *      +---------+---------+-------+
 *      | version | end, ms | value |
 *      +---------+---------+-------+
 *
 * An end of 0 is none. A version is the time in microseconds, by the clock of Redis, and at least
 * one more than the last. For that, what has ended and what was deleted (an end of 1, no value)
 * stays for `grace` ms: so far may a clock go back, as when a replica takes over.
 */
export const entryHeaderLength = 16
export const grace = 600_000

const common = `
local t = redis.call('TIME')
local us = t[1] * 1000000 + t[2]
local ms = math.floor(us / 1000)
local head = redis.call('GETRANGE', KEYS[1], 0, 15)
local version, ends = 0, 1
if #head == 16 then version, ends = struct.unpack('>I8>I8', head) end
local isThere = ends == 0 or ends > ms
local function isExpected(expected)
  return isThere and (expected == '' or string.sub(head, 1, 8) == expected)
end
local function lastsUntil(ends)
  if ends == 0 then redis.call('PERSIST', KEYS[1])
  else redis.call('PEXPIREAT', KEYS[1], string.format('%d', math.max(ends, ms) + ${grace})) end
end
`

/** KEYS: the entry. Gives the string, or nothing. */
export const readEntry: Script = script(`${common}
if not isThere then return false end
return redis.call('GET', KEYS[1])`)

/** ARGV: expected version (8 bytes, or none), value, end. Gives the version, or nothing. */
export const writeEntry: Script = script(`${common}
if ARGV[1] == '' then
  if isThere then return false end
elseif not isExpected(ARGV[1]) then return false end
local next = struct.pack('>I8', math.max(us, version + 1))
local ends = tonumber(ARGV[3])
redis.call('SET', KEYS[1], next .. struct.pack('>I8', ends) .. ARGV[2])
lastsUntil(ends)
return next`)

/** ARGV: expected version, or nothing for any. Gives the version that it had, or nothing. */
export const removeEntry: Script = script(`${common}
if not isExpected(ARGV[1]) then return false end
redis.call('SET', KEYS[1], string.sub(head, 1, 8) .. struct.pack('>I8', 1))
lastsUntil(1)
return string.sub(head, 1, 8)`)

/** ARGV: end. Gives 0 where nothing is there, 2 where its end was later or none, else 1. */
export const endEntry: Script = script(`${common}
if not isThere then return 0 end
local before = ends
ends = tonumber(ARGV[1])
redis.call('SETRANGE', KEYS[1], 8, struct.pack('>I8', ends))
lastsUntil(ends)
if ends ~= 0 and (before == 0 or ends < before) then return 2 end
return 1`)
