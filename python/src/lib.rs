//! The CPython extension module `greenlet._greenlet`: a host of the engine (`greenlet::raw`) on the native stack.
//!
//! | file | what |
//! | --- | --- |
//! | `csrc/state.c` | the interpreter's thread state: the only file that knows it |
//! | `csrc/types.c` | the static type objects and method tables |
//! | `csrc/cxx.c` | where the C++ runtime is, if there is one |
//! | `ffi` | the C API as far as it is used |
//! | `object` | a greenlet: what an object holds, from `tp_new` to `tp_dealloc` |
//! | `record` | a thread: who runs there, and what happens when it ends |
//! | `switch` | switching, starting, throwing |
//! | `life` | what a greenlet runs, from its first call to its end |
//! | `cxx` | the C++ exceptions that are in flight or being handled |
//! | `memory` | where greenlets and slices have their memory from |
//! | `root` | the memory for a greenlet's first Python frames |
//! | `check` | what every switch checks when `GREENLET_DEBUG` is set |
//! | `stackless/`, `csrc/stackless.c` | tasklets and channels |
//! | `attrs`, `module`, `capi` | attributes, module functions, the C API for other extensions |
//!
//! Everything here runs with the GIL held, and statics are guarded by it.

mod attrs;
mod capi;
mod check;
mod cxx;
mod ffi;
mod life;
mod memory;
mod module;
mod object;
mod record;
mod root;
mod stackless;
mod switch;
