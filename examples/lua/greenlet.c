/* greenlet for Lua 5.4: flows of control that can be left from inside anything, also C functions. A module for the interpreter as it is.

   What each greenlet has of its own, and why that is enough (README.md says it at length):

     machine stack    its slice, libgreenlet's business
     lua_State        a Lua thread: the Lua stack, the call frames, the depth of C calls (nCcalls) and the chain of error handlers
                      (errorJmp), which are all fields of lua_State. global_State has nothing that belongs to one flow, but for the
                      flag "a finalizer runs"; nobody may switch while it is set.

   So only public headers are needed. How values and errors travel:

       the one that leaves                       the one that arrives, in its own call of switch
       args ──lua_xmove──► its Lua stack, `arrived` of them ──► returned, or raised if `raises`

   The values lie on the target's Lua stack while the machine stack changes hands, so the garbage collector sees them.
   Nothing between the moving and the switch can collect or raise.                                                           */

#include <lauxlib.h>
#include <libgreenlet.h>
#include <lua.h>

#if LUA_VERSION_NUM != 504 || LUA_VERSION_RELEASE_NUM < 50404
#error "written for Lua 5.4.4 and later 5.4: before that nobody can ask whether a finalizer runs"
#endif

#define TYPE "greenlet"

/* User values of a greenlet: what it keeps alive. */
enum { THREAD = 1, PARENT = 2 };
/* And of the hub. */
enum { CURRENT = 1, MAIN = 2 };

struct hub;

/* A greenlet's userdata. */
struct object {
    struct hub *hub;
    greenlet *handle;       /* NULL: finished */
    struct object *parent;  /* kept alive by the user value */
    lua_State *state;       /* the Lua thread in which it is suspended: its own, or a coroutine that it runs */
    int arrived;            /* how many values are for it on top of that thread's stack */
    int raises;             /* they are one, an error */
};

/* One for each lua_State that has loaded the module, on the operating system's thread that did. */
struct hub {
    greenlet_thread *thread;
    lua_State *from;        /* the Lua thread of the one that leaves */
    struct object *ended;   /* finished, and its handle to be freed by whoever arrives */
    struct object *meant;   /* whom it has sent its result */
    lua_Alloc allocate;
    void *allocator;
};

static const char hub_key;

static struct hub *the_hub(lua_State *L)
{
    struct hub *hub = lua_touserdata(L, lua_upvalueindex(1));

    if (!hub->thread)
        luaL_error(L, "the interpreter is closing");
    return hub;
}

static struct object *the_object(lua_State *L, int at)
{
    return luaL_checkudata(L, at, TYPE);
}

/* ---- the end of a greenlet ---- */

/* Who gets the result: the nearest ancestor that is suspended. Main is, while another one runs. */
static struct object *heir(const struct object *self)
{
    struct object *parent = self->parent;

    while (!parent->handle || greenlet_state(parent->handle) != GREENLET_IS_SUSPENDED)
        parent = parent->parent;
    return parent;
}

/* What a greenlet runs. lua_resume is where errors stop, and it counts C calls on from those of the one that begins it, below whose
   frames this one's are: so endless recursion through greenlets is Lua's ordinary "C stack overflow". */
static greenlet *body(greenlet_thread *thread, void *context, void **value)
{
    struct object *self = context, *parent;
    struct hub *hub = self->hub;
    lua_State *own = self->state;
    int failed = self->raises, results = 1;

    (void)thread, (void)value;
    if (!failed)
        failed = lua_resume(own, hub->from, self->arrived + 2, &results) != LUA_OK;
    if (failed)
        results = 1;
    parent = heir(self);
    if (!lua_checkstack(parent->state, results)) {
        lua_pushliteral(own, "too many results for the parent's stack");
        failed = results = 1; /* there is always room for one */
    }
    lua_xmove(own, parent->state, results);
    parent->arrived = results;
    parent->raises = failed;
    hub->ended = self;
    hub->meant = parent;
    return parent->handle;
}

/* The first thing that runs in a greenlet's own Lua thread: (greenlet, function, ...). Not yieldable, as lua_call has no continuation,
   so coroutine.yield outside of a coroutine is refused with Lua's own message. The greenlet stays on this stack. */
static int base(lua_State *L)
{
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, lua_upvalueindex(1), CURRENT);
    lua_call(L, lua_gettop(L) - 2, LUA_MULTRET);
    return lua_gettop(L) - 1;
}

/* ---- switching ---- */

/* switch and throw: the target is at 1, what is for it above. */
static int transfer(lua_State *L, int raises)
{
    struct hub *hub = the_hub(L);
    struct object *target = the_object(L, 1), *self;
    int count = lua_gettop(L) - 1, status;

    luaL_argcheck(L, target->hub == hub, 1, "of another interpreter");
    luaL_argcheck(L, target->handle, 1, "the greenlet has finished");
    if (lua_gc(L, LUA_GCISRUNNING) < 0)
        return luaL_error(L, "cannot switch inside a finalizer");
    lua_getiuservalue(L, lua_upvalueindex(1), CURRENT);
    self = lua_touserdata(L, -1);
    if (self == target) {
        lua_pop(L, 1);
        return raises ? lua_error(L) : count;
    }
    lua_insert(L, 2); /* target, self, values: the first two stay while we are away */
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    if (!lua_checkstack(target->state, count))
        return luaL_error(L, "too many values to switch with");

    lua_xmove(L, target->state, count);
    target->arrived = count;
    target->raises = raises;
    self->state = hub->from = L;
    status = greenlet_switch_to(hub->thread, target->handle, NULL, NULL);

    if (status == GREENLET_OK || status == GREENLET_STRAY) {
        lua_pushvalue(L, 2);
        lua_setiuservalue(L, lua_upvalueindex(1), CURRENT);
        if (hub->ended) {
            greenlet_free(hub->ended->handle);
            hub->ended->handle = NULL;
            hub->ended = NULL;
        }
        if (status == GREENLET_STRAY && hub->meant != self) {
            /* It could not be resumed for lack of memory, and we could: it waits on, and we tell. */
            lua_settop(hub->meant->state, lua_gettop(hub->meant->state) - hub->meant->arrived);
            return luaL_error(L, "not enough memory for a greenlet's result");
        }
        return self->raises ? lua_error(L) : self->arrived;
    }
    lua_settop(target->state, lua_gettop(target->state) - count);
    return luaL_error(L, "cannot switch: %s", greenlet_message(status));
}

static int method_switch(lua_State *L)
{
    return transfer(L, 0);
}

static int method_throw(lua_State *L)
{
    lua_settop(L, 2);
    return transfer(L, 1);
}

/* ---- making and asking ---- */

/* A new userdata on the stack; its user values are still nil. */
static struct object *push_object(lua_State *L, struct hub *hub, lua_State *state)
{
    struct object *object = lua_newuserdatauv(L, sizeof *object, 2);

    *object = (struct object){.hub = hub, .state = state};
    luaL_setmetatable(L, TYPE);
    return object;
}

/* new(function [, parent]) */
static int module_new(lua_State *L)
{
    struct hub *hub = the_hub(L);
    struct object *object;
    lua_State *own;
    int status;

    luaL_checkany(L, 1);
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_getiuservalue(L, lua_upvalueindex(1), CURRENT);
        lua_replace(L, 2);
    }
    luaL_argcheck(L, the_object(L, 2)->hub == hub, 2, "of another interpreter");
    own = lua_newthread(L);
    object = push_object(L, hub, own);
    lua_pushvalue(L, 3);
    lua_setiuservalue(L, 4, THREAD);
    object->parent = lua_touserdata(L, 2);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, 4, PARENT);

    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, base, 1);
    lua_pushvalue(L, 4);
    lua_pushvalue(L, 1);
    lua_xmove(L, own, 3);
    status = greenlet_new(hub->thread, NULL, body, object, &object->handle);
    if (status != GREENLET_OK)
        return luaL_error(L, "cannot make a greenlet: %s", greenlet_message(status));
    return 1;
}

static int module_call(lua_State *L)
{
    lua_remove(L, 1); /* the module */
    return module_new(L);
}

static int module_current(lua_State *L)
{
    the_hub(L);
    lua_getiuservalue(L, lua_upvalueindex(1), CURRENT);
    return 1;
}

static int module_main(lua_State *L)
{
    the_hub(L);
    lua_getiuservalue(L, lua_upvalueindex(1), MAIN);
    return 1;
}

static int method_parent(lua_State *L)
{
    the_object(L, 1);
    lua_getiuservalue(L, 1, PARENT);
    return 1;
}

static int method_status(lua_State *L)
{
    static const char *const names[] = {"new", "running", "suspended", "finished"};
    struct object *object = the_object(L, 1);

    lua_pushstring(L, names[object->handle ? greenlet_state(object->handle) : GREENLET_IS_FINISHED]);
    return 1;
}

/* How many bytes of its machine stack are in the heap. */
static int method_saved(lua_State *L)
{
    struct object *object = the_object(L, 1);

    lua_pushinteger(L, object->handle ? (lua_Integer)greenlet_saved(object->handle) : 0);
    return 1;
}

/* Nobody can switch to it any more. It is not run: its Lua stack and its slice are freed, as those of a coroutine are. */
static int object_gc(lua_State *L)
{
    struct object *object = the_object(L, 1);

    /* Not while it runs, when the interpreter is closed from inside of it; and main is the hub's. */
    if (object->handle && object->hub->thread && object->parent && greenlet_free(object->handle) == GREENLET_OK)
        object->handle = NULL;
    return 0;
}

/* When the interpreter closes, after all greenlets: finalizers run in the reverse order of making. */
static int hub_gc(lua_State *L)
{
    struct hub *hub = lua_touserdata(L, 1);

    if (hub->thread && greenlet_thread_free(hub->thread) == GREENLET_OK)
        hub->thread = NULL;
    return 0;
}

/* ---- loading ---- */

static void *resize(void *ctx, void *block, size_t old, size_t size)
{
    struct hub *hub = ctx;

    return hub->allocate(hub->allocator, block, old, size);
}

/* Leaves the hub on the stack, made if this is the first time. */
static void push_hub(lua_State *L)
{
    struct hub *hub;
    struct object *main_object;
    greenlet_memory memory = {resize, NULL};
    int status;

    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &hub_key) == LUA_TUSERDATA)
        return;
    lua_pop(L, 1);
    hub = lua_newuserdatauv(L, sizeof *hub, 2);
    *hub = (struct hub){0};
    hub->allocate = lua_getallocf(L, &hub->allocator);
    memory.ctx = hub;
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, hub_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    status = greenlet_thread_new(&memory, &hub->thread);
    if (status != GREENLET_OK)
        luaL_error(L, "%s", greenlet_message(status));
    main_object = push_object(L, hub, L);
    main_object->handle = greenlet_main(hub->thread);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, -3, CURRENT);
    lua_setiuservalue(L, -2, MAIN);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &hub_key);
}

LUAMOD_API int luaopen_greenlet(lua_State *L);

int luaopen_greenlet(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"switch", method_switch}, {"throw", method_throw}, {"parent", method_parent},
        {"status", method_status}, {"saved", method_saved}, {NULL, NULL},
    };
    static const luaL_Reg functions[] = {
        {"new", module_new}, {"current", module_current}, {"main", module_main}, {NULL, NULL},
    };

    luaL_checkversion(L);
    luaL_newmetatable(L, TYPE);
    lua_pushcfunction(L, object_gc);
    lua_setfield(L, -2, "__gc");
    push_hub(L);
    luaL_newlibtable(L, methods);
    lua_pushvalue(L, -2);
    luaL_setfuncs(L, methods, 1);
    lua_setfield(L, -3, "__index");
    luaL_newlibtable(L, functions);
    lua_pushvalue(L, -2);
    luaL_setfuncs(L, functions, 1);
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, -3);
    lua_pushcclosure(L, module_call, 1);
    lua_setfield(L, -2, "__call");
    lua_setmetatable(L, -2);
    return 1;
}
