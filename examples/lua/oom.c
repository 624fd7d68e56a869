/* greenlet for Lua when memory runs out: the same script again and again, and each time one more allocation succeeds before the rest
   fail. Each run ends well or in an error of Lua's; the state is closed, and every block has come back.

     cc oom.c greenlet.c … $(pkg-config --libs lua5.4)      `cargo xtask test` says how                                     */

#include "../c/check.h"

#include <lauxlib.h>
#include <lualib.h>

int luaopen_greenlet(lua_State *L);

static const char script[] =
    "local greenlet = require 'greenlet'\n"
    "local main = greenlet.main()\n"
    "local function deep(n, ...)\n"
    "  if n == 0 then return main:switch(...) end\n"
    "  local all = {...}\n"
    "  return (string.gsub('x', 'x', function() return deep(n - 1, table.unpack(all)) end))\n"
    "end\n"
    "local all = {}\n"
    "for i = 1, 5 do all[i] = greenlet.new(function() deep(i, i) deep(5 - i, i) return i, i, i end) end\n"
    "for round = 1, 3 do for i = 1, 5 do pcall(all[i].switch, all[i]) end end\n"
    "local a\n"
    "a = greenlet.new(function() return greenlet.new(function() return a:parent():status(), string.rep('y', 500) end, main):switch() end)\n"
    "assert(select('#', a:switch()) > 0)\n"
    "for i = 1, 5 do all[i] = greenlet.new(error) pcall(all[i].switch, all[i], string.rep('z', i)) end\n";

static long left, blocks;

static void *limited(void *ctx, void *block, size_t old, size_t size)
{
    (void)ctx, (void)old;
    if (size == 0) {
        blocks -= block != NULL;
        free(block);
        return NULL;
    }
    /* Lua counts on it that a block can be made smaller. */
    if ((block == NULL || size > old) && left-- <= 0)
        return NULL;
    blocks += block == NULL;
    return realloc(block, size);
}

static int run(lua_State *L)
{
    luaL_openlibs(L);
    luaL_requiref(L, "greenlet", luaopen_greenlet, 0);
    luaL_loadstring(L, script);
    lua_call(L, 0, 0);
    return 0;
}

int main(void)
{
    int errors = 0, status = LUA_ERRMEM;

    for (long limit = 0; status != LUA_OK; limit++) {
        left = limit;
        lua_State *L = lua_newstate(limited, NULL);
        if (!L) {
            CHECK(blocks == 0);
            continue;
        }
        lua_pushcfunction(L, run);
        status = lua_pcall(L, 0, 0, 0);
        errors += status != LUA_OK;
        lua_close(L);
        CHECK(blocks == 0);
        CHECK(limit < 100000);
    }
    CHECK(errors > 100);
    printf("greenlet for Lua, %d times without memory: all right\n", errors);
    return 0;
}
