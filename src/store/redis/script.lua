-- The ledger's primitive on one partition: one call, everything or nothing. `domain/ledger` is its specification.
--
-- KEYS  1 meta    hash: `genesis`, `position` (number and time of the last change), `sweeper`, `forgotten`
--       2 due     sorted set: holds by deadline, members `subject id`
--       3 events  stream: entry ids `generation-number`; fields `t` (time) and `e` (kind, subject, id, document, row)
--       then those that the head and the operations name by their place.
-- ARGV  1 the head: genesis, high-water mark, time or `-`, retention, place of the costs of an hour and of the next, that hour, place of
--         the lapses, place of the documented subjects (0: not declared), whether what is due was swept.
--       2.. operations, each carried out after the one before it:
--         T  a transaction        R  read fields        L  list documented subjects
--         P  what is due          S  sweep it           V  is this still the ledger that was seen?
--       Instead of all that, `A identity` lays a partition out.
-- Reply one array for each operation, or one of `G` (another genesis), `B` (behind the high-water mark), `H` (another hour).
--
-- Times are microseconds, in whole milliseconds, amounts micro-units; both stay below 2^53 and are written by `%.0f`. A transaction reads everything and checks
-- everything before its first write, and after that nothing can fail. Repeating one is safe: its id and expected version tell.

local MAX = 1000000000000000
local HOUR = 3600000000
-- Members looked at for the subject of an operation before everything due is swept first.
local DUE_LOOK = 16
local DUE_REPLY = 128
-- A window that still holds something is looked at again; a damaged row much later.
local LAPSE_AGAIN = 600000000
local DAMAGED_AGAIN = 3600000000

local call, match, sub, format = redis.call, string.match, string.sub, string.format
local concat, insert = table.concat, table.insert
local META, DUE, EVENTS = KEYS[1], KEYS[2], KEYS[3]

local function text(number)
  return format('%.0f', number)
end

-- A identity: lays out a partition that is empty, or begins a later generation of the same ledger.
if sub(ARGV[1], 1, 2) == 'A ' then
  local identity = sub(ARGV[1], 3)
  local known = call('HGET', META, 'genesis')
  local own, number = match(known or '', '^(%S+):(%d+)$')
  local of, later = match(identity, '^(%S+):(%d+)$')
  if not known or own == of and tonumber(number) < tonumber(later) then
    call('HSETNX', META, 'position', '0 0')
    call('HSET', META, 'genesis', identity)
  end
  return { { 'A', call('HGET', META, 'genesis'), call('HGET', META, 'position') } }
end

local genesis, high, given, retention, costs_at, hour, lapses_at, subjects_at, swept =
  match(ARGV[1], '^(%S+) (%d+) (%S+) (%d+) (%d+) (%d+) (%d+) (%d+) ([01])$')
retention = tonumber(retention)

local meta = call('HMGET', META, 'genesis', 'position')
if meta[1] ~= genesis or not meta[2] then
  return { { 'G', meta[1] or '' } }
end
local sequence, last = match(meta[2], '^(%d+) (%d+)$')
sequence, last = tonumber(sequence), tonumber(last)
if sequence < tonumber(high) then
  return { { 'B', text(sequence) } }
end
local generation = match(genesis, '(%d+)$')

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

local COSTS
if costs_at ~= '0' then
  local ahead = math.floor(now / HOUR) - tonumber(hour)
  if ahead ~= 0 and ahead ~= 1 then
    return { { 'H', text(now) } }
  end
  COSTS = KEYS[tonumber(costs_at) + ahead]
end

local changed = false

local function note(kind, subject, id, document, row)
  sequence = sequence + 1
  changed = true
  local head = kind .. ' ' .. subject .. ' ' .. id .. ' ' .. #document .. '\n'
  call('XADD', EVENTS, generation .. '-' .. text(sequence), 't', text(now), 'e', head .. document .. row)
end

-- Adds what an ended attempt came to: generations, attempts, outputs, failovers, units, cost, cost shift. A sum that would leave the exact
-- numbers goes on in a row of its own.
local function roll(tally)
  local field, generations, attempts, outputs, failovers, units, cost, shift =
    match(tally, '^(%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%-?%d+)$')
  if not field then
    return
  end
  while true do
    local stored = call('HGET', COSTS, field)
    local sums = { generations, attempts, outputs, failovers, units, cost, shift }
    local exact = true
    if stored then
      local place = 1
      for known in string.gmatch(stored, '%S+') do
        sums[place] = sums[place] + tonumber(known)
        exact = exact and sums[place] < 8 * MAX and sums[place] > -8 * MAX
        place = place + 1
      end
    end
    if exact then
      for place = 1, #sums do
        sums[place] = text(sums[place])
      end
      call('HSET', COSTS, field, concat(sums, ' '))
      return
    end
    field = field .. '+'
  end
end

-- Rows: `version number state create deadline settle late opened settled legs tally` and a line for each leg, then the tally and the detail.

local function row_of(stored)
  local version, number, state, create, deadline, settle, late, opened, settled, legs, tally, at =
    match(stored, '^(%d+) (%d+) (%a) (%d+) (%d+) (%S+) ([01]) (%x+) (%S+) (%d+) (%d+)\n()')
  if not version then
    return nil
  end
  local row = {
    version = tonumber(version), state = state, create = create, deadline = tonumber(deadline), settle = settle, late = late,
    opened = opened, settled = settled, legs = {}, stored = stored,
  }
  for place = 1, tonumber(legs) do
    local key, held, used, after = match(stored, '^(%S+) (%d+) (%d+)\n()', at)
    if not key then
      return nil
    end
    row.legs[place] = { key, tonumber(held), tonumber(used) }
    at = after
  end
  local detail = at + tonumber(tally)
  row.tally, row.detail = sub(stored, at, detail - 1), sub(stored, detail)
  return row
end

local function head_of(row)
  local lines = {
    text(row.version) .. ' ' .. text(sequence + 1) .. ' ' .. row.state .. ' ' .. row.create .. ' ' .. text(row.deadline) .. ' ' .. row.settle
      .. ' ' .. row.late .. ' ' .. row.opened .. ' ' .. row.settled .. ' ' .. #row.legs .. ' ' .. #row.tally .. '\n',
  }
  for _, leg in ipairs(row.legs) do
    insert(lines, leg[1] .. ' ' .. text(leg[2]) .. ' ' .. text(leg[3]) .. '\n')
  end
  return concat(lines)
end

-- Ended so long ago that its id is free again.
local function is_forgotten(row)
  return row.state ~= 'h' and tonumber(row.settle) + retention <= now
end

-- Accounts: `reserved committed` or `reserved committed lapses`. `r`, `c` and `l` are as they would become, `given` as after giving back.

local function account_of(stored)
  if not stored then
    return { stored = false, r = 0, c = 0 }
  end
  local r, c, l = match(stored, '^(%d+) (%d+) ?(%d*)$')
  if not r then
    return nil
  end
  return { stored = stored, r = tonumber(r), c = tonumber(c), l = tonumber(l), known = tonumber(l) }
end

local function account_text(r, c, l)
  if l then
    return text(r) .. ' ' .. text(c) .. ' ' .. text(l)
  end
  return text(r) .. ' ' .. text(c)
end

local function read_accounts(key, accounts, keys)
  local missing, fields = {}, {}
  for _, account in ipairs(keys) do
    if not accounts[account] then
      accounts[account] = false
      insert(missing, account)
      insert(fields, 'a:' .. account)
    end
  end
  if #missing == 0 then
    return nil
  end
  local stored = call('HMGET', key, unpack(fields))
  for place, account in ipairs(missing) do
    accounts[account] = account_of(stored[place])
    if not accounts[account] then
      return account
    end
  end
  return nil
end

-- Frees what a held row set aside. Names the account that cannot be, if there is one.
local function give_back(key, accounts, row)
  local keys = {}
  for place, leg in ipairs(row.legs) do
    keys[place] = leg[1]
  end
  local damaged = read_accounts(key, accounts, keys)
  if damaged then
    return damaged
  end
  for _, leg in ipairs(row.legs) do
    local account = accounts[leg[1]]
    account.r = account.r - leg[2]
    account.touched = true
    if account.r < 0 then
      return leg[1]
    end
  end
  return nil
end

-- Writes the accounts that changed, and whatever else is to be written to the subject's hash.
local function write(key, subject, accounts, fields)
  local gone = {}
  for name, account in pairs(accounts) do
    if account and account.touched then
      if account.r == 0 and account.c == 0 then
        if account.stored then
          insert(gone, 'a:' .. name)
        end
      else
        insert(fields, 'a:' .. name)
        insert(fields, account_text(account.r, account.c, account.l))
        if account.l and (account.l ~= account.known or not account.stored) then
          call('ZADD', KEYS[tonumber(lapses_at)], text(account.l), subject .. ' ' .. name)
        end
      end
    end
  end
  if #fields > 0 then
    call('HSET', key, unpack(fields))
  end
  if #gone > 0 then
    call('HDEL', key, unpack(gone))
  end
end

-- What must be swept before a subject is decided on: its own holds whose time is over, or so many that they may be among them.
local function due_first(subject)
  if swept == '1' then
    return nil
  end
  local due = call('ZRANGEBYSCORE', DUE, '-inf', text(now), 'LIMIT', 0, DUE_LOOK)
  local own = #due == DUE_LOOK
  local prefix = subject .. ' '
  for _, member in ipairs(due) do
    own = own or sub(member, 1, #prefix) == prefix
  end
  if not own then
    return nil
  end
  return { 'S', text(now), call('ZRANGEBYSCORE', DUE, '-inf', text(now), 'LIMIT', 0, DUE_REPLY) }
end

local function available(account, limit)
  return math.max(math.max(limit - account.r, 0) - account.c, 0)
end

-- Adds to the leg of an account, which may already have given. `side` is 2 for held, 3 for used.
local function add_leg(legs, key, amount, side)
  for _, leg in ipairs(legs) do
    if leg[1] == key then
      leg[side] = leg[side] + amount
      return
    end
  end
  local leg = { key, 0, 0 }
  leg[side] = amount
  insert(legs, leg)
end

local function transact(operation)
  local place, subject, dry, judged_by, from, before, document_bytes, kind, at =
    match(operation, '^T (%d+) (%S+) ([01]) (%S+) (%d+) (%d+) (%S+) ([%-KRC])\n()')
  local key = KEYS[tonumber(place)]
  local wait = due_first(subject)
  if wait then
    return wait
  end

  -- Read.
  local id, fingerprint, expected, state, ttl, event, tally_bytes, detail_bytes
  local units, whole, overage, source_count, cap_count
  local sources, caps, names = {}, {}, {}
  if kind ~= '-' then
    id, fingerprint, expected, state, ttl, event, tally_bytes, detail_bytes, at =
      match(operation, '^(%S+) (%x+) (%S+) (%a) (%S+) (%a) (%d+) (%d+)\n()', at)
  end
  if kind == 'R' or kind == 'C' then
    units, whole, overage, source_count, cap_count, at = match(operation, '^(%d+) ([01]) (%S+) (%d+) (%d+)\n()', at)
    for index = 1, tonumber(source_count) do
      local account, limit, at_most, carry, carry_limit, carry_cap, after =
        match(operation, '^(%S+) (%S+) (%S+) (%S+) (%d+) (%d+)\n()', at)
      sources[index] = { account, tonumber(limit), tonumber(at_most), carry, tonumber(carry_limit), tonumber(carry_cap) }
      insert(names, account)
      if carry ~= '-' then
        insert(names, carry)
      end
      at = after
    end
    if overage ~= '-' then
      insert(names, overage)
    end
    for index = 1, tonumber(cap_count) do
      local account, amount, limit, enforced, lapses, after = match(operation, '^(%S+) (%d+) (%S+) ([01]) (%S+)\n()', at)
      caps[index] = { account, tonumber(amount), tonumber(limit), enforced == '1', tonumber(lapses) }
      insert(names, account)
      at = after
    end
  end
  local fields, wanted, accounts = { 'v', 'r:' .. (id or '') }, {}, {}
  for _, name in ipairs(names) do
    if accounts[name] == nil then
      accounts[name] = false
      insert(wanted, name)
      insert(fields, 'a:' .. name)
    end
  end
  local stored = call('HMGET', key, unpack(fields))
  for index, name in ipairs(wanted) do
    accounts[name] = account_of(stored[index + 2])
    if not accounts[name] then
      return { 'C', name }
    end
  end
  local version = tonumber(stored[1] or '0')
  local row
  if id and stored[2] then
    row = row_of(stored[2])
    if not row then
      return { 'C', id }
    end
    if is_forgotten(row) then
      row = nil
    end
  end

  -- Check.
  if id then
    if expected == 'A' then
      if row then
        return { row.opened == fingerprint and 'Y' or 'U', row.stored }
      end
    elseif not row or row.version ~= tonumber(expected) then
      return { 'O', row and row.stored or false }
    end
  end
  if judged_by ~= '-' and tonumber(judged_by) ~= version then
    return { 'M' }
  end
  if now < tonumber(from) or now >= tonumber(before) then
    return { 'Z', text(now) }
  end
  local legs, warned = {}, {}
  if kind == 'K' and row then
    legs = row.legs
  elseif kind == 'R' or kind == 'C' then
    if row and row.state == 'h' then
      local damaged = give_back(key, accounts, row)
      if damaged then
        return { 'C', damaged }
      end
    end
    for _, name in ipairs(names) do
      local account = accounts[name]
      account.given = account.given or { account.r, account.c, account.l }
    end
    local side = kind == 'R' and 2 or 3
    local function add(name, amount, lapses)
      local account = accounts[name]
      if side == 2 then
        account.r = account.r + amount
      else
        account.c = account.c + amount
      end
      if lapses and (not account.l or account.l < lapses) then
        account.l = lapses
      end
      account.touched = true
      if account.r + account.c > MAX then
        return { 'F', name }
      end
      add_leg(legs, name, amount, side)
      return nil
    end
    local left = tonumber(units)
    for _, source in ipairs(sources) do
      local here = MAX
      if source[2] then
        local limit = source[2]
        if source[4] ~= '-' then
          limit = limit + math.min(available(accounts[source[4]], source[5]), source[6])
        end
        here = available(accounts[source[1]], math.min(limit, MAX))
      end
      if whole == '0' or here >= left then
        local amount = math.min(here, left, source[3] or left)
        if amount > 0 then
          local full = add(source[1], amount)
          if full then
            return full
          end
          left = left - amount
        end
      end
    end
    if left > 0 and overage ~= '-' then
      local full = add(overage, left)
      if full then
        return full
      end
      left = 0
    end
    local reached = {}
    for index, cap in ipairs(caps) do
      if cap[2] > 0 then
        local account = accounts[cap[1]]
        local exceeded = cap[3] and account.r + account.c + cap[2] > cap[3]
        if exceeded and cap[4] then
          insert(reached, index - 1)
        else
          if exceeded then
            insert(warned, index - 1)
          end
          local full = add(cap[1], cap[2], cap[5])
          if full then
            return full
          end
        end
      end
    end
    if left > 0 or #reached > 0 then
      local shown = {}
      for _, source in ipairs(sources) do
        insert(shown, account_text(unpack(accounts[source[1]].given)))
      end
      for _, cap in ipairs(caps) do
        insert(shown, account_text(unpack(accounts[cap[1]].given)))
      end
      return { 'N', text(now), left > 0 and '1' or '0', concat(reached, ' '), concat(shown, ';') }
    end
    if kind == 'C' and row then
      local used = legs
      legs = {}
      for index, leg in ipairs(row.legs) do
        legs[index] = { leg[1], leg[2], 0 }
      end
      for _, leg in ipairs(used) do
        add_leg(legs, leg[1], leg[3], 3)
      end
    end
  end
  local shown = {}
  for _, list in ipairs({ sources, caps }) do
    for _, one in ipairs(list) do
      local account = accounts[one[1]]
      insert(shown, dry == '1' and (account.stored or '0 0') or account_text(account.r, account.c, account.l))
    end
  end

  -- Work out what it leads to.
  local document, tally, detail = '', '', ''
  if document_bytes ~= '-' then
    document = sub(operation, at, at + document_bytes - 1)
    at = at + document_bytes
  end
  local after, head
  if id then
    tally = sub(operation, at, at + tally_bytes - 1)
    detail = sub(operation, at + tally_bytes, at + tally_bytes + detail_bytes - 1)
    local ended = state ~= 'h'
    local deadline = row and row.deadline or now
    if ttl ~= '-' then
      deadline = math.max(deadline, now + tonumber(ttl))
    end
    local late = row and (row.late == '1' or row.state == 'e')
    after = {
      version = row and row.version + 1 or 1, state = state, create = row and row.create or text(now), deadline = deadline,
      settle = ended and text(now) or '-', late = state == 'c' and late and '1' or '0', opened = row and row.opened or fingerprint,
      settled = ended and fingerprint or '-', legs = legs, tally = ended and '' or tally,
    }
    head = head_of(after)
  end
  if dry == '1' then
    return { 'E', text(now), text(sequence), '', head or false, concat(shown, ';'), concat(warned, ' ') }
  end

  -- From here it must succeed.
  local written = {}
  if document_bytes ~= '-' then
    if version == 0 then
      call('ZADD', KEYS[tonumber(subjects_at)], 0, subject)
    end
    version = version + 1
    written = { 'v', text(version), 'd', document }
  end
  local new = ''
  if id then
    new = head .. after.tally .. detail
    insert(written, 'r:' .. id)
    insert(written, new)
    local member = subject .. ' ' .. id
    if state == 'h' then
      call('ZADD', DUE, text(after.deadline), member)
    else
      if row and row.state == 'h' then
        call('ZREM', DUE, member)
      end
      roll(tally)
    end
  end
  write(key, subject, accounts, written)
  note(event or 's', subject, id or '-', document, new)
  return {
    'D', text(now), text(sequence), document_bytes ~= '-' and text(version) or '', head or false, concat(shown, ';'), concat(warned, ' '),
  }
end

-- R place subject field...: the fields of a subject's hash, as its decisions would see them.
local function read(operation)
  local place, subject, at = match(operation, '^R (%d+) (%S+)()')
  local wait = due_first(subject)
  if wait then
    return wait
  end
  local fields = {}
  for field in string.gmatch(sub(operation, at), '%S+') do
    insert(fields, field)
  end
  local reply = { 'V', text(now) }
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
    insert(reply, value)
  end
  return reply
end

-- L after count: documented subjects in order, those after one.
local function list(operation)
  local after, count = match(operation, '^L (%S+) (%d+)$')
  local from = after == '-' and '-' or '(' .. after
  return { 'L', text(now), call('ZRANGEBYLEX', KEYS[tonumber(subjects_at)], from, '+', 'LIMIT', 0, count) }
end

-- P sweeper lease count event-retention: what is due, if no other sweeper is at it. Trims events that are outdated.
local function peek(operation)
  local sweeper, lease, count, event_retention = match(operation, '^P (%S+) (%d+) (%d+) (%d+)$')
  local due = call('ZRANGEBYSCORE', DUE, '-inf', text(now), 'LIMIT', 0, count)
  local lapsed = call('ZRANGEBYSCORE', KEYS[tonumber(lapses_at)], '-inf', text(now), 'LIMIT', 0, count)
  local known = call('HMGET', META, 'sweeper', 'forgotten')
  local cursor = known[2] or '0-0'
  local forgotten, reached = {}, '-'
  for _, entry in ipairs(call('XRANGE', EVENTS, '(' .. cursor, '+', 'COUNT', count)) do
    if tonumber(entry[2][2]) + retention > now then
      break
    end
    local kind, subject, id = match(entry[2][4], '^(%a) (%S+) (%S+) ')
    if kind == 'c' or kind == 'l' or kind == 'e' or kind == 'u' then
      insert(forgotten, subject .. ' ' .. id)
    end
    reached = entry[1]
  end
  local outdated
  if cursor ~= '0-0' then
    for _, entry in ipairs(call('XRANGE', EVENTS, '-', cursor, 'COUNT', count)) do
      if tonumber(entry[2][2]) + tonumber(event_retention) > now then
        break
      end
      outdated = entry[1]
    end
  end
  if #due + #lapsed == 0 and reached == '-' and not outdated then
    return { 'P', text(now), '-', {}, {}, {} }
  end
  local holder, until_when = match(known[1] or '', '^(%S+) (%d+)$')
  if holder and holder ~= sweeper and tonumber(until_when) > now then
    return { 'P', text(now), '-', {}, {}, {} }
  end
  call('HSET', META, 'sweeper', sweeper .. ' ' .. text(now + tonumber(lease)))
  if outdated then
    local of, number = match(outdated, '^(%d+)-(%d+)$')
    call('XTRIM', EVENTS, 'MINID', of .. '-' .. text(tonumber(number) + 1))
  end
  return { 'P', text(now), reached, due, lapsed, forgotten }
end

-- Gives back what a hold set aside, to the very accounts it came from. Says whether its row is damaged.
local function expire(key, subject, id)
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
    call('ZADD', DUE, text(row.deadline), member)
    return false
  end
  local accounts = {}
  if not row or give_back(key, accounts, row) then
    call('ZADD', DUE, text(now + DAMAGED_AGAIN), member)
    return true
  end
  row.version, row.state, row.settle = row.version + 1, 'e', text(now)
  local tally = row.tally
  row.tally = ''
  local new = head_of(row) .. row.detail
  call('ZREM', DUE, member)
  write(key, subject, accounts, { 'r:' .. id, new })
  roll(tally)
  note('e', subject, id, '', new)
  return false
end

-- Forgets the account of a window that is over. One that still holds something waits for that to end.
local function lapse(key, subject, name)
  local member = subject .. ' ' .. name
  local account = account_of(call('HGET', key, 'a:' .. name))
  if not account then
    call('ZADD', KEYS[tonumber(lapses_at)], text(now + DAMAGED_AGAIN), member)
    return true
  end
  if account.stored and account.l and now < account.l then
    call('ZADD', KEYS[tonumber(lapses_at)], text(account.l), member)
  elseif account.r > 0 then
    call('ZADD', KEYS[tonumber(lapses_at)], text(now + LAPSE_AGAIN), member)
  else
    call('ZREM', KEYS[tonumber(lapses_at)], member)
    if account.stored then
      call('HDEL', key, 'a:' .. name)
      changed = true
    end
  end
  return false
end

local function forget(key, id)
  local stored = call('HGET', key, 'r:' .. id)
  local row = stored and row_of(stored)
  if row and is_forgotten(row) then
    call('HDEL', key, 'r:' .. id)
    changed = true
  end
  return stored and not row
end

-- S reached, and a line for each member: `d place subject id`, `l place subject account`, `f place subject id`.
local function sweep(operation)
  local reached, at = match(operation, '^S (%S+)\n()')
  local before, damaged = sequence, {}
  for kind, place, subject, name in string.gmatch(sub(operation, at), '(%a) (%d+) (%S+) (%S+)\n') do
    local key, broken = KEYS[tonumber(place)], nil
    if kind == 'd' then
      broken = expire(key, subject, name)
    elseif kind == 'l' then
      broken = lapse(key, subject, name)
    else
      broken = forget(key, name)
    end
    if broken then
      insert(damaged, subject .. ' ' .. name)
    end
  end
  if reached ~= '-' then
    call('HSET', META, 'forgotten', reached)
  end
  return { 'W', text(now), text(sequence - before), damaged }
end

-- V number time: whether the change of this number is still the one that was seen (at any time: 0).
local function verify(operation)
  local number, time = match(operation, '^V (%d+) (%d+)$')
  local id = generation .. '-' .. number
  local found = call('XRANGE', EVENTS, id, id)[1]
  if found then
    return { 'X', (time == '0' or found[2][2] == time) and 'same' or 'other' }
  end
  local first = call('XRANGE', EVENTS, '-', '+', 'COUNT', 1)[1]
  local of, at = match(first and first[1] or '', '^(%d+)-(%d+)$')
  local trimmed = of and (tonumber(of) > tonumber(generation) or of == generation and tonumber(at) > tonumber(number))
  return { 'X', trimmed and 'trimmed' or 'gone' }
end

local operations = { T = transact, R = read, L = list, P = peek, S = sweep, V = verify }
local replies = {}
for place = 2, #ARGV do
  replies[place - 1] = operations[sub(ARGV[place], 1, 1)](ARGV[place])
end
if changed then
  call('HSET', META, 'position', text(sequence) .. ' ' .. text(now))
end
return replies
