-- What is kept of a subject, and what every change leaves.

local note, row_of, head_of, is_forgotten, account_of, account_text, give_back, write, roll, due_first, place_of, leave

if wanted.T or wanted.S then
  -- The event of a change.
  note = function(kind, subject, id, document, row)
    sequence = sequence + 1
    changed = true
    local head = kind .. ' ' .. subject .. ' ' .. id .. ' ' .. #document .. '\n'
    call('XADD', EVENTS, generation .. '-' .. format('%d', sequence), 't', now_text, 'e', head .. document .. row)
  end

  -- The first part of a row's text, under the number of the next event.
  head_of = function(row)
    local legs = row.legs
    local parts = {
      format('%d %d ', row.version, sequence + 1), row.state, ' ', row.create, format(' %d ', row.deadline), row.settle, ' ', row.late, ' ',
      row.opened, ' ', row.settled, format(' %d %d', #legs, #row.tally), row.tail, '\n',
    }
    local count = #parts
    for place = 1, #legs do
      local leg = legs[place]
      parts[count + 1], parts[count + 2] = leg[1], format(' %d %d\n', leg[2], leg[3])
      count = count + 2
    end
    return concat(parts)
  end

  -- Accounts: `reserved committed` or `reserved committed lapses`. Lists, for they are made for every call: 1 what is stored, 2 and 3 what is
  -- reserved and committed as it would become, 4 when it lapses, 5 when it did, 6 whether it changed, 7 to 9 as it was given to the take.
  account_of = function(stored)
    if not stored then
      return { false, 0, 0, false, false, false, 0, 0, false }
    end
    local r, c, l = match(stored, '^(%d+) (%d+) ?(%d*)$')
    if not r then
      return nil
    end
    r, c, l = tonumber(r), tonumber(c), tonumber(l) or false
    return { stored, r, c, l, l, false, r, c, l }
  end

  account_text = function(r, c, l)
    if l then
      return format('%d %d %d', r, c, l)
    end
    return format('%d %d', r, c)
  end

  -- Frees what a held row set aside. Names the account that cannot be, if there is one.
  give_back = function(key, accounts, row)
    local missing, fields = {}, {}
    for _, leg in ipairs(row.legs) do
      if accounts[leg[1]] == nil then
        accounts[leg[1]] = false
        missing[#missing + 1] = leg[1]
        fields[#fields + 1] = 'a:' .. leg[1]
      end
    end
    if #missing > 0 then
      local stored = call('HMGET', key, unpack(fields))
      for place, name in ipairs(missing) do
        accounts[name] = account_of(stored[place])
        if not accounts[name] then
          return name
        end
      end
    end
    for _, leg in ipairs(row.legs) do
      local account = accounts[leg[1]]
      account[2] = account[2] - leg[2]
      account[7] = account[2]
      account[6] = true
      if account[2] < 0 then
        return leg[1]
      end
    end
    return nil
  end

  -- When the generation of a row began, and which it is: the reservation itself, unless the row's tail says otherwise.
  place_of = function(row, id)
    local began, generation = match(row.tail, '^ (%d+) (%S+)$')
    return began or row.create, generation or id
  end

  -- Takes a row out of its subject's history. Beside the sorted set, a field tells when a generation began and how many of its reservations
  -- have another id than it; there is none where none has.
  leave = function(key, history, row, id)
    local _, generation = place_of(row, id)
    if generation == id then
      call('ZREM', history, id)
      return
    end
    call('ZREM', history, generation .. ' ' .. id)
    local began, others = match(call('HGET', key, 'g:' .. generation) or '', '^(%d+) (%d+)$')
    if began and tonumber(others) > 1 then
      call('HSET', key, 'g:' .. generation, began .. ' ' .. format('%d', others - 1))
    else
      call('HDEL', key, 'g:' .. generation)
    end
  end

  -- Writes the accounts that changed, and whatever else is to be written to the subject's hash.
  write = function(key, subject, accounts, fields)
    local gone
    for name, account in pairs(accounts) do
      if account[6] then
        local lapses = account[4]
        if account[2] ~= 0 or account[3] ~= 0 then
          fields[#fields + 1] = 'a:' .. name
          fields[#fields + 1] = account_text(account[2], account[3], lapses)
          if lapses and (lapses ~= account[5] or not account[1]) then
            call('ZADD', LAPSES, format('%d', lapses), subject .. ' ' .. name)
          end
        elseif account[1] then
          gone = gone or {}
          gone[#gone + 1] = 'a:' .. name
        end
      end
    end
    if #fields > 0 then
      call('HSET', key, unpack(fields))
    end
    if gone then
      call('HDEL', key, unpack(gone))
    end
  end
end

if COSTS then
  -- Adds to one sum: generations, attempts, accepted, outputs, units, cost, cost shift. One that would leave the exact numbers goes on in
  -- a field of its own. `spender` is who has one, in the index by day.
  local function add(key, field, spender, generations, attempts, accepted, outputs, units, cost, shift)
    while true do
      local stored = call('HGET', key, field)
      if not stored then
        call('HSET', key, field, format('%d %d %d %d %d %d %d', generations, attempts, accepted, outputs, units, cost, shift))
        call('ZADD', SPENT, match(spender, '^%d+'), spender)
        return
      end
      local g, a, k, o, u, c, s = match(stored, '^(%d+) (%d+) (%d+) (%d+) (%-?%d+) (%d+) (%-?%d+)$')
      u, c, s = u + units, c + cost, s + shift
      if u < 8 * MAX and u > -8 * MAX and c < 8 * MAX and s < 8 * MAX and s > -8 * MAX then
        call('HSET', key, field, format('%d %d %d %d %d %d %d', g + generations, a + attempts, k + accepted, o + outputs, u, c, s))
        return
      end
      field = field .. '+'
    end
  end

  -- Adds what a closed attempt came to, or the units that a refund takes back, to the sum of everybody and to that of its subject, whose
  -- two keys of costs begin at a place. An attempt that was counted when it expired is not counted again.
  roll = function(tally, subject, place, again)
    local user, rest, generations, attempts, accepted, outputs, units, cost, shift =
      match(tally, '^(%S+) (%S+) (%d+) (%d+) (%d+) (%d+) (%-?%d+) (%d+) (%-?%d+)$')
    if again then
      generations, attempts = 0, 0
    end
    local today = format('%d', math.floor(now / DAY))
    local hour = format('%d', math.floor(now / HOUR))
    add(COSTS, hour .. ':*|*|' .. rest, today .. ' *', generations, attempts, accepted, outputs, units, cost, shift)
    add(KEYS[place + ahead], hour .. ':' .. subject .. '|' .. user .. '|' .. rest, today .. ' ' .. subject,
      generations, attempts, accepted, outputs, units, cost, shift)
  end
end

-- Rows: `version number state create deadline settle late opened settled legs tally`, and at the end of that line the tail, which is empty or
-- ` began generation`; a line for each leg, then the tally and the detail.
row_of = function(stored)
  local version, state, create, deadline, settle, late, opened, settled, legs, tally, tail, at =
    match(stored, '^(%d+) %d+ (%a) (%d+) (%d+) (%S+) ([01]) (%x+) (%S+) (%d+) (%d+)([^\n]*)\n()')
  if not version then
    return nil
  end
  local row = {
    version = tonumber(version), state = state, create = create, deadline = tonumber(deadline), settle = settle, late = late,
    opened = opened, settled = settled, tail = tail, legs = {}, stored = stored, tally = '', detail = '',
  }
  for place = 1, tonumber(legs) do
    local key, held, used, after = match(stored, '^(%S+) (%d+) (%d+)\n()', at)
    if not key then
      return nil
    end
    row.legs[place] = { key, tonumber(held), tonumber(used) }
    at = after
  end
  local detail = at + tally
  row.tally, row.detail = sub(stored, at, detail - 1), sub(stored, detail)
  return row
end

-- Ended so long ago that its id is free again.
is_forgotten = function(row)
  return row.state ~= 'h' and row.settle + retention <= now
end

-- What must be swept before a subject is decided on: its own holds whose time is over, or so many that they may be among them.
due_first = function(subject)
  if swept == '1' then
    return nil
  end
  local due = call('ZRANGEBYSCORE', DUE, '-inf', now_text, 'LIMIT', 0, DUE_LOOK)
  if #due == 0 then
    return nil
  end
  local own = #due == DUE_LOOK
  local prefix = subject .. ' '
  for _, member in ipairs(due) do
    own = own or sub(member, 1, #prefix) == prefix
  end
  if not own then
    return nil
  end
  return { 'S', now_text, call('ZRANGEBYSCORE', DUE, '-inf', now_text, 'LIMIT', 0, DUE_REPLY) }
end
