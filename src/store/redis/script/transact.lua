-- T place subject dry judged_by from before document_bytes kind, then what the kind asks for: see `request.rs`, which writes it.

if wanted.T then
  local max, min = math.max, math.min

  local function available(account, limit)
    return max(max(limit - account[2], 0) - account[3], 0)
  end

  -- Adds to the leg of an account, which may already have given, and tells what it comes to. `side` is 2 for held, 3 for used.
  local function add_leg(legs, key, amount, side)
    for place = 1, #legs do
      if legs[place][1] == key then
        legs[place][side] = legs[place][side] + amount
        return legs[place][side]
      end
    end
    legs[#legs + 1] = { key, side == 2 and amount or 0, side == 3 and amount or 0 }
    return amount
  end

  -- Adds to an account and its leg. False if it cannot hold that much.
  local function add(accounts, legs, name, amount, side, lapses)
    local account = accounts[name]
    account[side] = account[side] + amount
    if lapses and (not account[4] or account[4] < lapses) then
      account[4] = lapses
    end
    account[6] = true
    if account[2] + account[3] > MAX then
      return false
    end
    add_leg(legs, name, amount, side)
    return true
  end

  -- The sources and caps of a take, each a list of its fields; the names of all accounts in it; and where the operation goes on.
  local function read_take(operation, at)
    local take, sources, caps, names = {}, {}, {}, {}
    local units, whole, overage, source_count, cap_count
    units, whole, overage, source_count, cap_count, at = match(operation, '^(%d+) ([01]) (%S+) (%d+) (%d+)\n()', at)
    for place = 1, tonumber(source_count) do
      local name, limit, at_most, carry, carry_limit, carry_cap, after =
        match(operation, '^(%S+) (%S+) (%S+) (%S+) (%d+) (%d+)\n()', at)
      sources[place] = { name, tonumber(limit), tonumber(at_most), carry, carry_limit, carry_cap }
      names[#names + 1] = name
      if carry ~= '-' then
        names[#names + 1] = carry
      end
      at = after
    end
    if overage ~= '-' then
      names[#names + 1] = overage
    end
    for place = 1, tonumber(cap_count) do
      local name, amount, limit, enforced, booked, lapses, after = match(operation, '^(%S+) (%d+) (%S+) ([01])([01]) (%S+)\n()', at)
      caps[place] = { name, tonumber(amount), tonumber(limit), enforced == '1', tonumber(lapses), booked == '1' }
      names[#names + 1] = name
      at = after
    end
    take.units, take.whole, take.overage, take.sources, take.caps = tonumber(units), whole == '1', overage, sources, caps
    return take, names, at
  end

  -- What of a receipt goes back, and the accounts that the answer tells of.
  local function read_refunding(operation, at)
    local shares, watched, names = {}, {}, {}
    local share_count, watched_count
    share_count, watched_count, at = match(operation, '^(%d+) (%d+)\n()', at)
    for place = 1, tonumber(share_count) do
      local name, amount, after = match(operation, '^(%S+) (%d+)\n()', at)
      shares[place], names[#names + 1], at = { name, tonumber(amount) }, name, after
    end
    for place = 1, tonumber(watched_count) do
      local name, after = match(operation, '^(%S+)\n()', at)
      watched[place], names[#names + 1], at = { name }, name, after
    end
    return shares, watched, names, at
  end

  -- Gives back what a row used, as far as its legs go, and tells them as they become. No account falls below nothing.
  local function refund(shares, accounts, row)
    local legs = {}
    for place, leg in ipairs(row.legs) do
      legs[place] = { leg[1], leg[2], leg[3] }
    end
    for _, share in ipairs(shares) do
      for _, leg in ipairs(legs) do
        if leg[1] == share[1] then
          local amount, account = min(leg[3], share[2]), accounts[leg[1]]
          leg[3] = leg[3] - amount
          account[3] = max(account[3] - amount, 0)
          account[6] = true
          break
        end
      end
    end
    return legs
  end

  -- Takes from the sources in order, then overage, under the caps. The legs and the caps warned of, or the refusal.
  local function carry_out(take, accounts, side)
    local legs, left = {}, take.units
    for _, source in ipairs(take.sources) do
      local here = MAX
      if source[2] then
        local limit = source[2]
        if source[4] ~= '-' then
          limit = min(limit + min(available(accounts[source[4]], source[5]), source[6]), MAX)
        end
        here = available(accounts[source[1]], limit)
      end
      if not take.whole or here >= left then
        local amount = min(here, left, source[3] or left)
        if amount > 0 then
          if not add(accounts, legs, source[1], amount, side) then
            return nil, nil, { 'F', source[1] }
          end
          left = left - amount
        end
      end
    end
    if left > 0 and take.overage ~= '-' then
      if not add(accounts, legs, take.overage, left, side) then
        return nil, nil, { 'F', take.overage }
      end
      left = 0
    end
    local reached, warned = {}, {}
    for place, cap in ipairs(take.caps) do
      if cap[2] > 0 then
        local account = accounts[cap[1]]
        local exceeded = cap[3] and account[2] + account[3] + cap[2] > cap[3]
        if exceeded and cap[4] then
          reached[#reached + 1] = place - 1
        else
          if exceeded then
            warned[#warned + 1] = place - 1
          end
          -- The cost of an attempt that is over counts as committed while the next one is held.
          if not add(accounts, legs, cap[1], cap[2], cap[6] and 3 or side, cap[5]) then
            return nil, nil, { 'F', cap[1] }
          end
        end
      end
    end
    if left > 0 or #reached > 0 then
      local shown = {}
      for _, list in ipairs({ take.sources, take.caps }) do
        for _, one in ipairs(list) do
          local account = accounts[one[1]]
          shown[#shown + 1] = account_text(account[7], account[8], account[9])
        end
      end
      return nil, nil, { 'N', now_text, left > 0 and '1' or '0', concat(reached, ' '), concat(shown, ';') }
    end
    return legs, warned
  end

  operations.T = function(operation)
    local place, subject, dry, judged_by, from, before, document_bytes, kind, at =
      match(operation, '^T (%d+) (%S+) ([01]) (%S+) (%d+) (%d+) (%S+) ([%-KRCBAL])\n()')
    local key = KEYS[tonumber(place)]
    local wait = due_first(subject)
    if wait then
      return wait
    end

    -- Read.
    local id, fingerprint, expected, state, ttl, event, generation, added_bytes, tally_bytes, detail_bytes
    local take, shares, watched, names, accounts, row, forgotten = nil, nil, nil, {}, {}, nil, nil
    local fields, wanted_names = { 'v' }, {}
    -- A and L are no step of a reservation.
    if kind ~= '-' and kind ~= 'A' and kind ~= 'L' then
      id, fingerprint, expected, state, ttl, event, generation, added_bytes, tally_bytes, detail_bytes, at =
        match(operation, '^(%S+) (%x+) (%S+) (%a) (%S+) (%a) (%S+) (%d+) (%d+) (%d+)\n()', at)
      fields[2] = 'r:' .. id
    end
    if kind == 'R' or kind == 'C' or kind == 'A' then
      take, names, at = read_take(operation, at)
    elseif kind == 'B' then
      shares, watched, names, at = read_refunding(operation, at)
    elseif kind == 'L' then
      local name, amount, after = match(operation, '^(%S+) (%d+)\n()', at)
      shares, names, at = { { name, tonumber(amount) } }, { name }, after
      watched = shares
    end
    local first = #fields
    for _, name in ipairs(names) do
      if accounts[name] == nil then
        accounts[name] = false
        wanted_names[#wanted_names + 1] = name
        fields[#fields + 1] = 'a:' .. name
      end
    end
    -- What is known of the generation of a new reservation, and the reservation that has its id.
    local known_at = #fields + 1
    if expected == 'A' then
      generation = generation == '-' and id or generation
      fields[known_at] = 'g:' .. generation
      if generation ~= id then
        fields[known_at + 1] = 'r:' .. generation
      end
    end
    local stored = call('HMGET', key, unpack(fields))
    for index, name in ipairs(wanted_names) do
      accounts[name] = account_of(stored[first + index])
      if not accounts[name] then
        return { 'C', name }
      end
    end
    local version = tonumber(stored[1] or '0')
    if id and stored[2] then
      row = row_of(stored[2])
      if not row then
        return { 'C', id }
      end
      if is_forgotten(row) then
        row, forgotten = nil, row
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
      return { 'Z', now_text }
    end
    local legs, warned = {}, {}
    if kind == 'K' and row then
      legs = row.legs
    elseif kind == 'B' and row then
      legs = refund(shares, accounts, row)
    elseif kind == 'L' then
      local account = accounts[shares[1][1]]
      if account[3] < shares[1][2] then
        return { 'N', now_text, '1', '', account_text(account[2], account[3], account[4]) }
      end
      account[3] = account[3] - shares[1][2]
      account[6] = true
    elseif take then
      local damaged = row and row.state == 'h' and give_back(key, accounts, row)
      if damaged then
        return { 'C', damaged }
      end
      local refusal
      legs, warned, refusal = carry_out(take, accounts, kind == 'R' and 2 or 3)
      if refusal then
        return refusal
      end
      if row then
        -- What was used before stays; what was held is a memory once it is settled, and gone where a new hold takes its place.
        local taken = legs
        legs = {}
        for _, leg in ipairs(row.legs) do
          if kind == 'C' then
            legs[#legs + 1] = { leg[1], leg[2], leg[3] }
          elseif leg[3] > 0 then
            legs[#legs + 1] = { leg[1], 0, leg[3] }
          end
        end
        for _, leg in ipairs(taken) do
          if add_leg(legs, leg[1], leg[2], 2) > MAX or add_leg(legs, leg[1], leg[3], 3) > MAX then
            return { 'F', leg[1] }
          end
        end
      end
    end
    local shown = {}
    if take or watched then
      for _, list in ipairs(take and { take.sources, take.caps } or { watched }) do
        for _, one in ipairs(list) do
          local account = accounts[one[1]]
          shown[#shown + 1] = dry == '1' and (account[1] or '0 0') or account_text(account[2], account[3], account[4])
        end
      end
    end

    -- Work out what it leads to.
    local document, added, tally, detail = '', '', '', ''
    if document_bytes ~= '-' then
      document = sub(operation, at, at + document_bytes - 1)
      at = at + document_bytes
    end
    local ended, deadline, head, late, began, tail = state ~= 'h', nil, nil, false, nil, row and row.tail or ''
    if id then
      added = sub(operation, at, at + added_bytes - 1)
      at = at + added_bytes
      tally = sub(operation, at, at + tally_bytes - 1)
      detail = sub(operation, at + tally_bytes, at + tally_bytes + detail_bytes - 1)
      if expected == 'A' then
        local first = stored[known_at + 1] and row_of(stored[known_at + 1])
        if stored[known_at] then
          began = match(stored[known_at], '^%d+')
        elseif first and not is_forgotten(first) then
          local since, own = place_of(first, generation)
          began = own == generation and since
        end
        began = began or now_text
        if generation ~= id or began ~= now_text then
          tail = ' ' .. began .. ' ' .. generation
        end
      end
      deadline = row and row.deadline or now
      if ttl ~= '-' then
        deadline = max(deadline, now + ttl)
      end
      -- A refund changes nothing about the end.
      local end_of = kind == 'B' and row
      late = state == 'c' and row and (row.late == '1' or row.state == 'e')
      head = head_of({
        version = row and row.version + 1 or 1, state = state, create = row and row.create or now_text, deadline = deadline,
        settle = end_of and end_of.settle or ended and now_text or '-', late = late and '1' or '0', opened = row and row.opened or fingerprint,
        settled = end_of and end_of.settled or ended and fingerprint or '-', legs = legs, tally = tally, tail = tail,
      })
    end
    local accounts_text, warned_text = concat(shown, ';'), concat(warned, ' ')
    if dry == '1' then
      return { 'E', now_text, format('%d', sequence), '', head or false, accounts_text, warned_text }
    end

    -- From here it must succeed.
    local written, new_version, new = {}, '', ''
    if document_bytes ~= '-' then
      if version == 0 then
        call('ZADD', SUBJECTS, 0, subject)
      end
      new_version = format('%d', version + 1)
      written = { 'v', new_version, 'd', document }
    end
    if id then
      new = head .. tally .. detail
      written[#written + 1] = 'r:' .. id
      written[#written + 1] = new
      if not ended then
        call('ZADD', DUE, format('%d', deadline), subject .. ' ' .. id)
      else
        if row and row.state == 'h' then
          call('ZREM', DUE, subject .. ' ' .. id)
        end
      end
      if added ~= '' then
        roll(added, subject, place + 1, late)
      end
      if expected == 'A' then
        local history = KEYS[place + (added ~= '' and 3 or 1)]
        local known, member = stored[known_at], id
        if forgotten then
          leave(key, history, forgotten, id)
          known = call('HGET', key, 'g:' .. generation)
        end
        if generation ~= id then
          member = generation .. ' ' .. id
          written[#written + 1] = 'g:' .. generation
          written[#written + 1] = began .. ' ' .. format('%d', (match(known or '', ' (%d+)$') or 0) + 1)
        end
        call('ZADD', history, began, member)
      end
    end
    write(key, subject, accounts, written)
    note(event or 's', subject, id or '-', document, new)
    return { 'D', now_text, format('%d', sequence), new_version, head or false, accounts_text, warned_text }
  end
end
