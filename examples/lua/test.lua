-- Greenlets in Lua, tried from everywhere that Lua's own coroutines refuse. Ends with "all right".
--   lua5.4 test.lua            run by `make test` and by `cargo xtask test`

local greenlet = require "greenlet"
local main = greenlet.main()
local tests, count = {}, 0

local function check(condition, message)
  if not condition then error(message or "not so", 2) end
end

local function equal(found, expected)
  if found ~= expected then
    error(("found %s, expected %s"):format(tostring(found), tostring(expected)), 2)
  end
end

local function fails(pattern, f, ...)
  local ok, message = pcall(f, ...)
  check(not ok, "no error")
  check(tostring(message):find(pattern), "another error: " .. tostring(message))
end

-- Begins f(pause), where pause(...) goes to main and back; answers the greenlet and the first results.
local function begin(f, ...)
  local g = greenlet.new(f)
  return g, g:switch(function(...) return main:switch(...) end, ...)
end

-- Overwrites the stretch of the machine stack below, so that what was there has to have been saved.
local function scribble(depth)
  if depth == 0 then return 0 end
  return (string.gsub("x", "x", function() return tostring(scribble(depth - 1)) end))
end

function tests.values_go_both_ways()
  local g = greenlet(function(a, b, ...)
    equal(select("#", ...), 0)
    equal(a + b, 3)
    local c, d, e = main:switch("one", nil, "three")
    equal(c, nil); equal(d, "d"); equal(e, nil)
    return 7, 8, nil
  end)
  equal(g:status(), "new")
  local function three(...) equal(select("#", ...), 3) return ... end
  local a, b, c = three(g:switch(1, 2))
  equal(a, "one"); equal(b, nil); equal(c, "three")
  equal(g:status(), "suspended")
  check(g:saved() > 0)
  a, b, c = three(g:switch(nil, "d"))
  equal(a, 7); equal(b, 8); equal(c, nil)
  equal(g:status(), "finished")
  equal(main:switch("me"), "me")
  equal(select("#", main:switch()), 0)
  local many = {greenlet(function(...) return ... end):switch(table.unpack({}, 1, 5000))}
  equal(#many, 0)
  equal(select("#", greenlet(function(...) return ... end):switch(table.unpack({}, 1, 5000))), 5000)
end

function tests.from_inside_pcall()
  local g = begin(function(pause)
    local ok, message = pcall(function()
      pause()
      error("inside", 0)
    end)
    equal(ok, false); equal(message, "inside")
    return select(2, xpcall(function() pause() error("again", 0) end, function(m) pause() return m .. "!" end))
  end)
  g:switch(); scribble(20); g:switch()
  equal(g:switch(), "again!")
end

function tests.from_inside_metamethods()
  local pause
  local log = {}
  local mt = {}
  for name, result in pairs{__index = "i", __add = "a", __concat = "c", __call = "f", __len = 5, __eq = true, __lt = true, __le = false,
                            __unm = "u", __tostring = "t"} do
    mt[name] = function() log[#log + 1] = name; pause(name); return result end
  end
  mt.__newindex = function() pause("__newindex") end
  mt.__close = function() pause("__close") end
  local g, first
  g, first = begin(function(p)
    pause = p
    local x, y = setmetatable({}, mt), setmetatable({}, mt)
    equal(x.key, "i"); x.key = 1
    equal(x + 1, "a"); equal(x .. "s", "c"); equal(x(), "f"); equal(#x, 5); equal(-x, "u")
    check(x == y); check(x < y); check(not (x <= y)); equal(tostring(x), "t")
    do local closing <close> = x end
    return "end"
  end)
  local seen = 0
  while first ~= "end" do
    seen = seen + 1
    scribble(5)
    first = g:switch()
  end
  equal(seen, 12)
end

function tests.from_inside_iterators_and_callbacks()
  local g = greenlet(function()
    local text = string.gsub("hello world", "%w+", function(word) return main:switch(word) end)
    local list = {5, 3, 8, 1, 9, 2, 7}
    table.sort(list, function(a, b) main:switch("sort") return a < b end)
    local sum = 0
    for k in (function(_, k) k = (k or 0) + 1; main:switch("for"); return k < 4 and k or nil end) do sum = sum + k end
    local chunk = load(function() return main:switch("load") end)
    return text, table.concat(list, " "), sum, chunk()
  end)
  equal(g:switch(), "hello")
  equal(g:switch("HELLO"), "world")
  local what = g:switch("WORLD")
  while what == "sort" do scribble(10); what = g:switch() end
  while what == "for" do what = g:switch() end
  equal(what, "load")
  equal(g:switch("return 1"), "load")
  equal(g:switch(" + 41"), "load")
  local text, list, sum, answer = g:switch(nil)
  equal(text, "HELLO WORLD"); equal(list, "1 2 3 5 7 8 9"); equal(sum, 6); equal(answer, 42)
end

-- What Lua's own coroutines say to that, so that the tests above prove something.
function tests.where_coroutines_refuse()
  fails("C%-call boundary", coroutine.wrap(function() string.gsub("x", "x", coroutine.yield) end))
  fails("C%-call boundary", coroutine.wrap(function() table.sort({2, 1}, coroutine.yield) end))
end

function tests.many_in_turns_at_all_depths()
  local function dig(depth, id)
    if depth == 0 then return main:switch(id) end
    local result
    string.gsub("x", "x", function() result = dig(depth - 1, id) end)
    return result
  end
  local all = {}
  for i = 1, 60 do
    all[i] = greenlet(function()
      local sum = 0
      for round = 1, 10 do sum = sum + dig((i + round) % 9, i) end
      return "end", sum
    end)
    equal(all[i]:switch(), i)
  end
  local left, turn = 60, 0
  while left > 0 do
    turn = turn + 1
    for i = 1 + turn % 3, 60, 1 + turn % 4 do
      if all[i] then
        local what, sum = all[i]:switch(i)
        if what == "end" then equal(sum, 10 * i); all[i] = nil; left = left - 1 else equal(what, i) end
      end
    end
  end
end

function tests.straight_from_one_to_the_other()
  local log = {}
  local a, b
  a = greenlet(function() for i = 1, 3 do log[#log + 1] = "a" .. i; b:switch() end return "done" end)
  b = greenlet(function() for i = 1, 3 do log[#log + 1] = "b" .. i; a:switch() end end)
  equal(a:switch(), "done")
  equal(table.concat(log, " "), "a1 b1 a2 b2 a3 b3")
  equal(b:status(), "suspended")
end

function tests.errors_cross_to_the_parent()
  local value = {}
  local ok, caught = pcall(greenlet.new(function() error(value) end).switch, greenlet.new(function() error(value) end))
  check(not ok and caught == value)
  -- Through a parent that has finished, to the next one.
  local parent = greenlet.new(function() main:switch() end)
  local child = greenlet.new(function() main:switch() error("late", 0) end, parent)
  parent:switch(); child:switch(); parent:switch()
  equal(parent:status(), "finished")
  fails("^late$", child.switch, child)
  equal(child:status(), "finished")
  fails("has finished", child.switch, child)
  -- Into a parent that catches it where it waits.
  local g = greenlet.new(function()
    local inner = greenlet.new(function() error("inner", 0) end)
    equal(inner:parent(), greenlet.current())
    return pcall(inner.switch, inner)
  end)
  local fine, message = g:switch()
  equal(fine, false); equal(message, "inner")
  -- The stack of one that failed can be looked at, as a coroutine's can.
  local thread
  local failed = greenlet.new(function() thread = coroutine.running() local x = nil; x() end)
  fails("attempt to call", failed.switch, failed)
  check(debug.traceback(thread):find("test.lua"))
end

function tests.throw_raises_where_it_waits()
  local g = greenlet.new(function()
    local ok, message = pcall(function() main:switch() end)
    return "caught", ok, message
  end)
  g:switch()
  local what, ok, message = g:throw("thrown")
  equal(what, "caught"); equal(ok, false); equal(message, "thrown")
  local never = greenlet.new(function() error("it runs") end)
  fails("^no$", never.throw, never, "no")
  equal(never:status(), "finished")
  fails("^self$", main.throw, main, "self")
end

function tests.coroutines_inside_greenlets_and_the_other_way_round()
  -- A coroutine that is left through a greenlet switch is neither resumed nor closed by others meanwhile.
  local co
  local g = greenlet.new(function()
    co = coroutine.create(function(x)
      x = coroutine.yield(x + 1)
      x = main:switch(x + 1)
      return x + 1
    end)
    equal(select(2, coroutine.resume(co, 1)), 2)
    local ok, result = coroutine.resume(co, 10)
    check(ok)
    return result
  end)
  equal(g:switch(), 11)
  equal(coroutine.status(co), "normal")
  local ok, message = coroutine.resume(co)
  check(not ok and message:find("non%-suspended"))
  fails("normal coroutine", coroutine.close, co)
  equal(g:switch(100), 101)
  equal(coroutine.status(co), "dead")
  -- Begun inside a coroutine, continued outside of it.
  local inner
  local wrapped = coroutine.wrap(function()
    inner = greenlet.new(function() local got = main:switch("first"); return got end, main)
    coroutine.yield(inner:switch())
  end)
  equal(wrapped(), "first")
  equal(inner:switch("second"), "second")
  -- Main itself can be inside a coroutine when it leaves.
  local back = coroutine.wrap(function() return greenlet.new(function(m) m:switch(5) end):switch(main) end)
  equal(back(), 5)
  -- A greenlet's own Lua thread is not a coroutine of anybody's.
  local own
  local h = greenlet.new(function() own = coroutine.running(); check(not coroutine.isyieldable()); fails("C%-call boundary", coroutine.yield); main:switch() end)
  h:switch()
  check(not coroutine.resume(own))
  fails("normal coroutine", coroutine.close, own)
end

function tests.depth_of_c_calls_is_kept_per_greenlet()
  -- Deep in one does not count in another one that began shallow...
  local function deep(n, f)
    if n == 0 then return f() end
    return (string.gsub("x", "x", function() return deep(n - 1, f) end))
  end
  local shallow = greenlet.new(function()
    while true do main:switch(pcall(deep, 60, function() return "deep enough" end)) end
  end)
  shallow:switch()
  deep(60, function()
    local ok, result = shallow:switch()
    check(ok, result); equal(result, "deep enough")
    return "x"
  end)
  -- ...and one that begins deep counts on from there: recursion through greenlets ends in Lua's error, not in a crash.
  local depth = 0
  local function nest() depth = depth + 1; return greenlet.new(nest):switch() end
  fails("C stack overflow", nest)
  check(depth > 20 and depth < 250, depth)
  local function overflow() return (string.gsub("x", "x", overflow)) end
  local g = begin(function(pause) pause() return pcall(overflow) end)
  local ok, message = g:switch()
  check(not ok and message:find("C stack overflow"))
  equal(scribble(50), "0")
end

local function collect()
  for _ = 1, 4 do collectgarbage() end
end

function tests.what_a_suspended_one_holds_stays_alive()
  local weak = setmetatable({}, {__mode = "v"})
  local g = begin(function(pause)
    local object = {"held"}
    weak[1] = object
    string.gsub("x", "x", function() local closed <const> = {object}; weak[2] = closed; pause() equal(closed[1], object) end)
    return object
  end)
  for i = 1, 100 do local garbage = {} for j = 1, 100 do garbage[j] = {} end end
  collect()
  check(weak[1] and weak[2])
  equal(g:switch()[1], "held")
  g = nil
  collect()
  check(not weak[1] and not weak[2])
end

function tests.what_is_dropped_is_freed()
  local weak = setmetatable({}, {__mode = "k"})
  local finalized = 0
  collect()
  local before = collectgarbage("count")
  for i = 1, 200 do
    local g = begin(function(pause)
      local me, object = greenlet.current(), setmetatable({}, {__gc = function() finalized = finalized + 1 end})
      local cycle = {me, object}
      weak[object] = true
      string.gsub("x", "x", function() pause(cycle) end)
    end)
    weak[g] = true
  end
  collect()
  equal(next(weak), nil)
  equal(finalized, 200)
  check(collectgarbage("count") < before + 50)
end

function tests.the_parent_is_kept()
  local weak = setmetatable({}, {__mode = "v"})
  local child = (function()
    local parent = greenlet.new(function() local got = main:switch() main:switch("parent has " .. got) end)
    parent:switch()
    weak[1] = parent
    return greenlet.new(function() return "it" end, parent)
  end)()
  collect()
  check(weak[1])
  equal(child:switch(), "parent has it")
  child = nil
  collect()
  equal(weak[1], nil)
end

-- Each runs while nothing else refers to it, and while the collector works.
function tests.the_running_one_is_kept()
  local function chain(n)
    collectgarbage()
    if n > 0 then greenlet.new(function() chain(n - 1) main:switch() end):switch() end
    collectgarbage()
  end
  greenlet.new(function() chain(20) end):switch()
  collect()
end

function tests.under_the_generational_collector_too()
  collectgarbage("generational")
  tests.what_a_suspended_one_holds_stays_alive()
  tests.many_in_turns_at_all_depths()
  tests.what_is_dropped_is_freed()
  collectgarbage("incremental")
end

function tests.finalizers_may_not_switch()
  local message
  local g = begin(function(pause) pause() end)
  setmetatable({}, {__gc = function() message = select(2, pcall(g.switch, g)) end})
  collect()
  check(message and message:find("inside a finalizer"), message)
  equal(g:status(), "suspended")
  g:switch()
end

function tests.misuse()
  fails("greenlet expected", greenlet.new(print).switch, {})
  fails("value expected", greenlet.new)
  fails("greenlet expected", greenlet.new, print, {})
  fails("attempt to call", greenlet.new(42).switch, greenlet.new(42))
  equal(main:parent(), nil)
  equal(main:status(), "running")
  equal(greenlet.current(), main)
  equal(require "greenlet", greenlet)
end

local names = {}
for name in pairs(tests) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
  local ok, message = xpcall(tests[name], debug.traceback)
  if not ok then
    io.stderr:write(name, ": ", message, "\n")
    os.exit(1)
  end
  count = count + 1
end
print(("greenlet for %s: %d tests, all right"):format(_VERSION, count))
