-- What time alone brings about: looked for by P, done by S.

if wanted.P then
  -- P sweeper lease count event-retention most cost-retention: what is due, if no other sweeper is at it. Trims events that are outdated, or
  -- more than are to be kept, once ended reservations were looked for in them. Says how many it looked at for that.
  operations.P = function(operation)
    local sweeper, lease, count, event_retention, most, cost_retention = match(operation, '^P (%S+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
    local due = call('ZRANGEBYSCORE', DUE, '-inf', now_text, 'LIMIT', 0, count)
    local lapsed = call('ZRANGEBYSCORE', LAPSES, '-inf', now_text, 'LIMIT', 0, count)
    local known = call('HMGET', META, 'sweeper', 'forgotten')
    local cursor = known[2] or '0-0'
    local forgotten, reached = {}, '-'
    for _, entry in ipairs(call('XRANGE', EVENTS, '(' .. cursor, '+', 'COUNT', count)) do
      if tonumber(entry[2][2]) + retention > now then
        break
      end
      local kind, subject, id = match(entry[2][4], '^(%a) (%S+) (%S+) ')
      if kind == 'c' or kind == 'l' or kind == 'e' or kind == 'u' then
        forgotten[#forgotten + 1] = subject .. ' ' .. id
      end
      reached = entry[1]
    end
    local outdated, trimmed = nil, 0
    if cursor ~= '0-0' then
      local excess = call('XLEN', EVENTS) - most
      for place, entry in ipairs(call('XRANGE', EVENTS, '-', cursor, 'COUNT', count)) do
        if place > excess and tonumber(entry[2][2]) + tonumber(event_retention) > now then
          break
        end
        outdated, trimmed = entry[1], place
      end
    end
    local days = format('(%d', math.floor((now - cost_retention) / DAY))
    local sums = call('ZRANGEBYSCORE', SPENT, '-inf', days, 'LIMIT', 0, count)
    if #due + #lapsed + #sums == 0 and reached == '-' and not outdated then
      return { 'P', now_text, '-', {}, {}, {}, '0', {} }
    end
    local holder, until_when = match(known[1] or '', '^(%S+) (%d+)$')
    if holder and holder ~= sweeper and tonumber(until_when) > now then
      return { 'P', now_text, '-', {}, {}, {}, '0', {} }
    end
    call('HSET', META, 'sweeper', sweeper .. ' ' .. format('%d', now + tonumber(lease)))
    if outdated then
      local of, number = match(outdated, '^(%d+)-(%d+)$')
      call('XTRIM', EVENTS, 'MINID', of .. '-' .. format('%d', tonumber(number) + 1))
    end
    return { 'P', now_text, reached, due, lapsed, forgotten, format('%d', trimmed), sums }
  end
end

if wanted.S then
  -- Gives back what a hold set aside, to the very accounts it came from. Says whether its row is damaged.
  local function expire(key, subject, id, costs)
    local member = subject .. ' ' .. id
    local stored = call('HGET', key, 'r:' .. id)
    if not stored then
      call('ZREM', DUE, member)
      return false
    end
    local row = row_of(stored)
    if row and row.state ~= 'h' then
      call('ZREM', DUE, member)
      return false
    end
    if row and row.deadline > now then
      call('ZADD', DUE, format('%d', row.deadline), member)
      return false
    end
    local accounts = {}
    if not row or give_back(key, accounts, row) then
      call('ZADD', DUE, format('%d', now + DAMAGED_AGAIN), member)
      return true
    end
    row.version, row.state, row.settle = row.version + 1, 'e', now_text
    local tally = row.tally
    row.tally = ''
    local new = head_of(row) .. row.detail
    call('ZREM', DUE, member)
    write(key, subject, accounts, { 'r:' .. id, new })
    roll(tally, subject, costs)
    note('e', subject, id, '', new)
    return false
  end

  -- Forgets the account of a window that is over. One that still holds something waits for that to end.
  local function lapse(key, subject, name)
    local member = subject .. ' ' .. name
    local account = account_of(call('HGET', key, 'a:' .. name))
    if not account then
      call('ZADD', LAPSES, format('%d', now + DAMAGED_AGAIN), member)
      return true
    end
    if account[1] and account[4] and now < account[4] then
      call('ZADD', LAPSES, format('%d', account[4]), member)
    elseif account[2] > 0 then
      call('ZADD', LAPSES, format('%d', now + LAPSE_AGAIN), member)
    else
      call('ZREM', LAPSES, member)
      if account[1] then
        call('HDEL', key, 'a:' .. name)
        changed = true
      end
    end
    return false
  end

  local function forget(key, history, id)
    local stored = call('HGET', key, 'r:' .. id)
    local row = stored and row_of(stored)
    if row and is_forgotten(row) then
      call('HDEL', key, 'r:' .. id)
      leave(key, history, row, id)
      changed = true
    end
    return stored and not row
  end

  -- S reached, and a line for each member: `d place subject id`, `l place subject account`, `f place subject id`, `o place day subject`.
  -- Behind the key of a subject come its two of costs, then its history.
  operations.S = function(operation)
    local reached, at = match(operation, '^S (%S+)\n()')
    local before, damaged = sequence, {}
    for kind, place, subject, name in string.gmatch(sub(operation, at), '(%a) (%d+) (%S+) (%S+)\n') do
      local key, broken = KEYS[tonumber(place)], nil
      if kind == 'd' then
        broken = expire(key, subject, name, place + 1)
      elseif kind == 'l' then
        broken = lapse(key, subject, name)
      elseif kind == 'o' then
        call('UNLINK', key)
        call('ZREM', SPENT, subject .. ' ' .. name)
      else
        broken = forget(key, KEYS[place + 3], name)
      end
      if broken then
        damaged[#damaged + 1] = subject .. ' ' .. name
      end
    end
    if reached ~= '-' then
      call('HSET', META, 'forgotten', reached)
    end
    return { 'W', now_text, format('%d', sequence - before), damaged, format('%d', sequence) }
  end
end

local replies = {}
for place = 2, #ARGV do
  replies[place - 1] = operations[sub(ARGV[place], 1, 1)](ARGV[place])
end
if changed then
  call('HSET', META, 'position', format('%d', sequence) .. ' ' .. now_text)
end
return replies
