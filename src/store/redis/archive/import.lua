#!lua
-- One step of an import into a partition: everything of it or nothing. What is there already, exactly so, is left alone; anything else in
-- its place stops the step before it has written. A repeat is safe.
--
-- KEYS  1 meta, then as the step says.
-- ARGV  1 the genesis that the partition must have, 2 the step, 3 its mode: `w` writes what is missing, `c` wants it to be there.
--         S  a subject        KEYS 2 its hash, 3 due, 4 lapses, 5 its history, 6 documented subjects
--                             ARGV 4 fields, 5 due, 6 lapses, 7 history (lines `score member`), 8 the subject if it is documented, else `-`
--         E  events           KEYS 2 the stream; ARGV 4 generation, 5 fields named `number:time`, in rising order
--         C  sums of costs    KEYS 2 who spent when, 3.. a hash for each day and subject; ARGV 4 lines `place day subject field sums`
--         P  the position     ARGV 4 number and 5 time that it rises to
--       Fields are `name bytes`, the end of the line, and so many bytes, one after the other.
-- Reply `G` and the genesis that was found, `X` and the name of what differs, or `K`, how many were written, and how many were there.

local call, match, sub, insert = redis.call, string.match, string.sub, table.insert
-- Values handed to one command: below what the interpreter's stack takes.
local VALUES_MAX = 2000

local function fields_of(text)
  local fields, at = {}, 1
  while at <= #text do
    local name, bytes, after = match(text, '^(%S+) (%d+)\n()', at)
    insert(fields, name)
    insert(fields, sub(text, after, after + bytes - 1))
    at = after + bytes
  end
  return fields
end

local function subject(key, mode)
  local wanted = fields_of(ARGV[4])
  local stored = call('HGETALL', key)
  if #stored > 0 then
    local held = {}
    for place = 1, #stored, 2 do
      held[stored[place]] = stored[place + 1]
    end
    for place = 1, #wanted, 2 do
      if held[wanted[place]] ~= wanted[place + 1] then
        return { 'X', wanted[place] }
      end
      held[wanted[place]] = nil
    end
    local more = next(held)
    return more and { 'X', more } or { 'K', 0, 1 }
  end
  if mode == 'c' then
    return { 'X', '' }
  end
  for from = 1, #wanted, VALUES_MAX do
    call('HSET', key, unpack(wanted, from, math.min(from + VALUES_MAX - 1, #wanted)))
  end
  for place, lines in ipairs({ ARGV[5], ARGV[6], ARGV[7] }) do
    for score, member in string.gmatch(lines, '(%d+) ([^\n]+)\n') do
      call('ZADD', KEYS[place + 2], score, member)
    end
  end
  if ARGV[8] ~= '-' then
    call('ZADD', KEYS[6], 0, ARGV[8])
  end
  return { 'K', 1, 0 }
end

local function events(key, mode)
  local wanted = fields_of(ARGV[5])
  local ids = {}
  for place = 1, #wanted, 2 do
    local number, time = match(wanted[place], '^(%d+):(%d+)$')
    insert(ids, { ARGV[4] .. '-' .. number, time, wanted[place + 1] })
  end
  local known = 0
  for _, one in ipairs(ids) do
    local found = call('XRANGE', key, one[1], one[1])[1]
    if not found then
      break
    end
    if found[2][2] ~= one[2] or found[2][4] ~= one[3] then
      return { 'X', one[1] }
    end
    known = known + 1
  end
  if known == #ids then
    return { 'K', 0, known }
  end
  local next_id = ids[known + 1][1]
  if mode == 'c' or #call('XRANGE', key, next_id, '+', 'COUNT', 1) > 0 then
    return { 'X', next_id }
  end
  for place = known + 1, #ids do
    call('XADD', key, ids[place][1], 't', ids[place][2], 'e', ids[place][3])
  end
  return { 'K', #ids - known, known }
end

local function costs(mode)
  local missing, known = {}, 0
  for place, day, subject, field, sums in string.gmatch(ARGV[4], '(%d+) (%-?%d+) (%S+) (%S+) ([^\n]+)\n') do
    local stored = call('HGET', KEYS[tonumber(place)], field)
    if stored and stored ~= sums or not stored and mode == 'c' then
      return { 'X', field }
    end
    if stored then
      known = known + 1
    else
      insert(missing, { KEYS[tonumber(place)], field, sums, day, day .. ' ' .. subject })
    end
  end
  for _, one in ipairs(missing) do
    call('HSET', one[1], one[2], one[3])
    call('ZADD', KEYS[2], one[4], one[5])
  end
  return { 'K', #missing, known }
end

local function position(meta)
  local number, time = match(call('HGET', meta, 'position') or '', '^(%d+) (%d+)$')
  number = math.max(tonumber(number or 0), tonumber(ARGV[4]))
  time = math.max(tonumber(time or 0), tonumber(ARGV[5]))
  call('HSET', meta, 'position', string.format('%.0f %.0f', number, time), 'began', string.format('%.0f', number))
  return { 'K', 1, 0 }
end

local found = call('HGET', KEYS[1], 'genesis')
if found ~= ARGV[1] then
  return { 'G', found or '' }
end
local step, mode = ARGV[2], ARGV[3]
if step == 'S' then
  return subject(KEYS[2], mode)
elseif step == 'E' then
  return events(KEYS[2], mode)
elseif step == 'C' then
  return costs(mode)
else
  return position(KEYS[1])
end
