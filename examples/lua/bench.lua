-- One line per thing: what a pair of switches costs beside coroutine.resume and yield, and what one costs in time and memory.
-- Processor time, the best of nine rounds; `make bench`.

local greenlet = require "greenlet"
local main = greenlet.main()
local N = 200000

local function best(f)
  local least = math.huge
  for _ = 1, 9 do
    local begin = os.clock()
    f()
    least = math.min(least, os.clock() - begin)
  end
  return least / N * 1e9
end

local function line(what, ns)
  print(("%-58s %8.0f ns"):format(what, ns))
end

local co = coroutine.wrap(function() while true do coroutine.yield(1) end end)
line("coroutine: resume and yield", best(function() for _ = 1, N do co() end end))

local g = greenlet.new(function() while true do main:switch(1) end end)
line("greenlet: there and back", best(function() for _ = 1, N do g:switch() end end))

local a, b = greenlet.new(function() while true do main:switch(1) end end), greenlet.new(function() while true do main:switch(1) end end)
line("greenlet: two in turns, there and back", best(function() for _ = 1, N, 2 do a:switch() b:switch() end end))

local deep = greenlet.new(function()
  local function dig(n) if n == 0 then while true do main:switch(1) end end string.gsub("x", "x", function() dig(n - 1) end) end
  dig(20)
end)
deep:switch()
line(("greenlet: 20 gsub callbacks deep (%d bytes), there and back"):format(deep:saved()), best(function() for _ = 1, N do deep:switch() end end))

line("coroutine: create, run, finish", best(function() for _ = 1, N do coroutine.wrap(function() end)() end end))
line("greenlet: create, run, finish", best(function() for _ = 1, N do greenlet.new(function() end):switch() end end))

local function resident()
  for text in io.lines("/proc/self/statm") do return tonumber(text:match("%d+ (%d+)")) * 4096 end
end
local function bytes(make)
  collectgarbage() collectgarbage()
  local all, before = {}, resident()
  for i = 1, 20000 do all[i] = make() end
  return (resident() - before) / 20000
end
if io.open("/proc/self/statm") then
  collectgarbage("stop")
  print(("%-58s %8.0f bytes"):format("coroutine: a suspended one", bytes(function()
    local one = coroutine.create(function() coroutine.yield() end) coroutine.resume(one) return one
  end)))
  print(("%-58s %8.0f bytes"):format("greenlet: a suspended one", bytes(function()
    local one = greenlet.new(function() main:switch() end) one:switch() return one
  end)))
end
