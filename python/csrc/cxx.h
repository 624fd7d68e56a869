/* The C++ runtime of the process, as far as its exceptions are a thread's. */
#ifndef GREENLET_CXX_H
#define GREENLET_CXX_H

#include <stdint.h>

/* `__cxa_get_globals` of the Itanium C++ ABI: where the calling thread's are. */
typedef void *(*GrCxxGlobals)(void);

/* The runtime's function, or null as long as none is loaded. */
GrCxxGlobals gr_cxx_find(void);

/* A word that is not 0 any more when something has been loaded since this was called; where the loader does not tell, one that
 * stays 0. Valid until the next call. */
const uintptr_t *gr_cxx_watch(void);

#endif
