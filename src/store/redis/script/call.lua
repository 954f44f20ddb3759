-- The ledger's primitive on one partition: one call, everything or nothing. `domain/ledger` is its specification. The files of this folder
-- are one script; this one reads what every call has.
--
-- KEYS  1 meta    hash: `genesis`, `position` (number and time of the last change), `began` (its number when the generation began),
--                 `sweeper`, `forgotten`
--       2 due     sorted set: holds by deadline, members `subject id`
--       3 events  stream: entry ids `generation-number`; fields `t` (time) and `e` (kind, subject, id, document, row)
--       then those that the head and the operations name by their place.
-- ARGV  1 the head: genesis, high-water mark, time or `-`, retention, place of the costs of a day and of the next, that day, place of the
--         lapses, place of the documented subjects, place of who spent when (0: not declared), whether what is due was swept.
--       2.. operations, each carried out after the one before it:
--         T  a transaction        R  read fields        L  list documented subjects
--         J  reservations in the order of a subject's history
--         P  what is due          S  sweep it           V  is this still the ledger that was seen?
--         K  sums of a day        I  who has some
--         Q  events after a place, and how their stream stands
--       Instead of all that, `A identity` lays a partition out.
-- Reply one array for each operation, or one of `G` (another genesis), `B` (behind the high-water mark), `H` (another day).
--
-- Times are microseconds, in whole milliseconds, amounts micro-units; both stay below 2^53, so that doubles are exact. A transaction reads
-- everything and checks everything before its first write, and after that nothing can fail. Repeating one is safe: its id and expected
-- version tell. Only what a call asks for is defined: in a script that runs in microseconds, a function costs as much as a read.

local MAX = 1000000000000000
local HOUR, DAY = 3600000000, 86400000000
-- Members looked at for the subject of an operation before everything due is swept first.
local DUE_LOOK = 16
local DUE_REPLY = 128
-- A window that still holds something is looked at again; a damaged row much later.
local LAPSE_AGAIN = 600000000
local DAMAGED_AGAIN = 3600000000

local call, match, sub, format, concat = redis.call, string.match, string.sub, string.format, table.concat
local META, DUE, EVENTS = KEYS[1], KEYS[2], KEYS[3]

if sub(ARGV[1], 1, 2) == 'A ' then
  -- A identity: lays out a partition that is empty, or begins a later generation of the same ledger.
  local identity = sub(ARGV[1], 3)
  local known = call('HGET', META, 'genesis')
  local own, number = match(known or '', '^(%S+):(%d+)$')
  local of, later = match(identity, '^(%S+):(%d+)$')
  if not known or own == of and tonumber(number) < tonumber(later) then
    call('HSETNX', META, 'position', '0 0')
    call('HSET', META, 'genesis', identity, 'began', match(call('HGET', META, 'position'), '^%d+'))
  end
  return { { 'A', call('HGET', META, 'genesis'), call('HGET', META, 'position') } }
end

local genesis, generation, high, given, retention, costs_at, day, lapses_at, subjects_at, spent_at, swept =
  match(ARGV[1], '^(%S+:(%d+)) (%d+) (%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) ([01])$')
retention = tonumber(retention)

local meta = call('HMGET', META, 'genesis', 'position')
if meta[1] ~= genesis or not meta[2] then
  return { { 'G', meta[1] or '' } }
end
local sequence, last = match(meta[2], '^(%d+) (%d+)$')
sequence, last = tonumber(sequence), tonumber(last)
if sequence < tonumber(high) then
  return { { 'B', format('%d', sequence) } }
end

local now
if given == '-' then
  local time = call('TIME')
  now = time[1] * 1000000 + math.floor(time[2] / 1000) * 1000
else
  now = tonumber(given)
end
if now < last then
  now = last
end
local now_text = format('%d', now)

-- `ahead`: which of two keys of costs is that of today.
local COSTS, ahead
if costs_at ~= '0' then
  ahead = math.floor(now / DAY) - day
  if ahead ~= 0 and ahead ~= 1 then
    return { { 'H', now_text } }
  end
  COSTS = KEYS[costs_at + ahead]
end

local LAPSES, SUBJECTS, SPENT = KEYS[tonumber(lapses_at)], KEYS[tonumber(subjects_at)], KEYS[tonumber(spent_at)]

local wanted = {}
for place = 2, #ARGV do
  wanted[sub(ARGV[place], 1, 1)] = true
end
local operations = {}
local changed = false
