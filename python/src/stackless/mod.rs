//! Tasklets and channels: Stackless Python's API, on greenlets.
//!
//! | file | what |
//! | --- | --- |
//! | `csrc/stackless.c` | the types and the method tables |
//! | `ffi` | what of the C API only this folder calls |
//! | `scheduler` | a thread: who is current, the ring of runnables |
//! | `tasklet` | a tasklet object, from `tp_new` to `tp_dealloc` |
//! | `transfer` | from one tasklet to another, and how one begins |
//! | `end` | how one ends, and who gets what it leaves |
//! | `idle` | when nobody is runnable: who sleeps, who is woken, what is a deadlock |
//! | `channel` | sending and receiving |
//! | `methods`, `throw`, `context` | what can be done to a tasklet |
//! | `attrs` | what can be asked of tasklets and channels |
//! | `module`, `run` | the functions of the module |
//! | `threads` | several threads, and the end of one |
//!
//! Each tasklet that has begun has a greenlet, an ordinary one, and so frames, contexts, tracing and the collector know
//! it already. The scheduler only decides who is next. Who is the current tasklet is a variable of the thread's, no property
//! of a greenlet: a tasklet may wait in a greenlet that it switched to, and goes on there ([`Tasklet::at`]).
//!
//! What holds whenever any code of the user's runs, the GIL's release and a lost reference included:
//!
//! - a tasklet is in one queue at most, `queue` says in which, and being there is a reference;
//! - the current tasklet is in the ring, and the ring's head.
//!
//! So what is given up inside an operation is given up before its first change or after its last. The exceptions are the
//! callbacks: meanwhile the scheduler is `locked`, and refuses.

mod attrs;
mod channel;
mod context;
mod end;
mod ffi;
mod idle;
mod methods;
mod module;
mod run;
mod scheduler;
mod tasklet;
mod threads;
mod throw;
mod transfer;

pub use end::end;
pub use scheduler::Scheduler;
pub use tasklet::Tasklet;
pub use threads::thread_ended;
pub use transfer::begun;
