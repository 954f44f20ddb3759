-- Reads, and what time alone brings about.

if wanted.R then
  -- R place subject field...: the fields of a subject's hash, as its decisions would see them.
  operations.R = function(operation)
    local place, subject, at = match(operation, '^R (%d+) (%S+)()')
    local wait = due_first(subject)
    if wait then
      return wait
    end
    local fields = {}
    for field in string.gmatch(sub(operation, at), '%S+') do
      fields[#fields + 1] = field
    end
    local reply = { 'V', now_text }
    if #fields == 0 then
      return reply
    end
    local stored = call('HMGET', KEYS[tonumber(place)], unpack(fields))
    for index, field in ipairs(fields) do
      local value = stored[index]
      if value and sub(field, 1, 2) == 'r:' then
        local row = row_of(value)
        if row and is_forgotten(row) then
          value = false
        end
      end
      reply[#reply + 1] = value
    end
    return reply
  end
end

if wanted.J then
  -- J place subject from skip count: a subject's reservations whose generations began at a time or before it, the last first, after so many of
  -- them; names as in the history, which is the next key, each with its row, also where that is as good as forgotten.
  operations.J = function(operation)
    local place, subject, from, skip, count = match(operation, '^J (%d+) (%S+) (%d+) (%d+) (%d+)$')
    local wait = due_first(subject)
    if wait then
      return wait
    end
    local names = call('ZREVRANGEBYSCORE', KEYS[place + 1], from, '-inf', 'LIMIT', skip, count)
    local fields, found = {}, {}
    for index, name in ipairs(names) do
      fields[index] = 'r:' .. match(name, '%S+$')
    end
    local stored = #fields > 0 and call('HMGET', KEYS[tonumber(place)], unpack(fields)) or {}
    for index, name in ipairs(names) do
      found[2 * index - 1], found[2 * index] = name, stored[index]
    end
    return { 'J', now_text, found }
  end
end

if wanted.L then
  -- L after count: documented subjects in order, those after one.
  operations.L = function(operation)
    local after, count = match(operation, '^L (%S+) (%d+)$')
    local from = after == '-' and '-' or '(' .. after
    return { 'L', now_text, call('ZRANGEBYLEX', SUBJECTS, from, '+', 'LIMIT', 0, count) }
  end
end

if wanted.K then
  -- K place: all sums under a key of costs, names and values in turn.
  operations.K = function(operation)
    return { 'K', now_text, call('HGETALL', KEYS[tonumber(match(operation, '^K (%d+)'))]) }
  end
end

if wanted.I then
  -- I from to: who has sums on these days, as `day subject`; `*` is everybody.
  operations.I = function(operation)
    local from, to = match(operation, '^I (%-?%d+) (%-?%d+)$')
    return { 'I', now_text, call('ZRANGEBYSCORE', SPENT, from, to) }
  end
end

if wanted.Q then
  -- Q generation number count: the generation, the number of the last change and the one when it began, the first event there is, and at
  -- most `count` events after one.
  operations.Q = function(operation)
    local of, number, count = match(operation, '^Q (%d+) (%d+) (%d+)$')
    local first = call('XRANGE', EVENTS, '-', '+', 'COUNT', 1)[1]
    local found = {}
    if first and count ~= '0' then
      found = call('XRANGE', EVENTS, '(' .. of .. '-' .. number, '+', 'COUNT', count)
    end
    local began = call('HGET', META, 'began') or '0'
    return { 'Q', now_text, generation, format('%d', sequence), began, first and first[1] or '', found }
  end
end

if wanted.V then
  -- V number time: whether the change of this number is still the one that was seen (at any time: 0).
  operations.V = function(operation)
    local number, time = match(operation, '^V (%d+) (%d+)$')
    -- What was there when the generation began has no event under it.
    if tonumber(number) <= tonumber(call('HGET', META, 'began') or 0) then
      return { 'X', 'same' }
    end
    local id = generation .. '-' .. number
    local found = call('XRANGE', EVENTS, id, id)[1]
    if found then
      return { 'X', (time == '0' or found[2][2] == time) and 'same' or 'other' }
    end
    local first = call('XRANGE', EVENTS, '-', '+', 'COUNT', 1)[1]
    if not first then
      -- The position is not behind, so it was there, and is older than events are kept.
      return { 'X', 'trimmed' }
    end
    local of, at = match(first[1], '^(%d+)-(%d+)$')
    local trimmed = tonumber(of) > tonumber(generation) or of == generation and tonumber(at) > tonumber(number)
    return { 'X', trimmed and 'trimmed' or 'gone' }
  end
end

