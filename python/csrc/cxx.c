/* Finds the C++ runtime of the process, which may be loaded at any time, or never.
 *
 * Nothing here may know greenlets, or what is done with what is found. Extension modules are loaded with RTLD_LOCAL, and what they are linked
 * with too: so the runtime is looked for by its file's name as well, among all that is loaded.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cxx.h"

static const uintptr_t never = 0;

#if defined(__linux__) || defined(__FreeBSD__)
#include <dlfcn.h>
#include <limits.h>
#include <link.h>

typedef struct {
    char runtime[PATH_MAX]; /* the first whose name is a runtime's */
    char last[PATH_MAX];    /* what was loaded last */
} Names;

static int note(struct dl_phdr_info *info, size_t size, void *ctx) {
    Names *names = ctx;
    const char *name = info->dlpi_name;
    (void)size;
    if (!name || strlen(name) >= PATH_MAX) {
        return 0;
    }
    strcpy(names->last, name);
    const char *slash = strrchr(name, '/');
    const char *file = slash ? slash + 1 : name;
    /* The versions of a name that tools for wheels make go on with a hash. */
    if (!names->runtime[0] && (!strncmp(file, "libstdc++", 9) || !strncmp(file, "libc++abi", 9) || !strncmp(file, "libcxxrt", 8))) {
        strcpy(names->runtime, name);
    }
    return 0;
}

static const Names *loaded(void) {
    static Names names;
    names.runtime[0] = names.last[0] = 0;
    dl_iterate_phdr(note, &names);
    return &names;
}

const uintptr_t *gr_cxx_watch(void) {
    /* The loader's list grows at its end. What is there now is held, so that its entry can be read until we ask again. */
    static void *held;
    struct link_map *map = NULL;
    const Names *names = loaded();
    void *handle = names->last[0] ? dlopen(names->last, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    void *before = held;
    held = handle;
    if (before) {
        dlclose(before);
    }
    if (!handle || dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || !map) {
        return &never;
    }
    return (const uintptr_t *)&map->l_next;
}

GrCxxGlobals gr_cxx_find(void) {
    void *function = dlsym(RTLD_DEFAULT, "__cxa_get_globals");
    const Names *names = function ? NULL : loaded();
    if (names && names->runtime[0]) {
        /* Held for good: it is called from now on. */
        void *handle = dlopen(names->runtime, RTLD_LAZY | RTLD_NOLOAD);
        function = handle ? dlsym(handle, "__cxa_get_globals") : NULL;
    }
    return (GrCxxGlobals)function;
}

#elif defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>

const uintptr_t *gr_cxx_watch(void) { return &never; }

GrCxxGlobals gr_cxx_find(void) { return (GrCxxGlobals)dlsym(RTLD_DEFAULT, "__cxa_get_globals"); }

#else

const uintptr_t *gr_cxx_watch(void) { return &never; }

GrCxxGlobals gr_cxx_find(void) { return NULL; }

#endif
