//! Coroutines that share one machine stack.
//!
//! A *greenlet* is the primitive micro-thread: no scheduler, the program says exactly who runs next, and any depth
//! of nested calls can be suspended. A suspended greenlet is a slice of the stack, copied to the heap when somebody else needs
//! that stretch of it, and copied back when it runs again: it costs what its frames use, some
//! hundred bytes when it is shallow.
//!
#![cfg_attr(feature = "std", doc = "```")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use greenlet::Greenlet;
//!
//! let main = Greenlet::<String, u32>::current();
//! // SAFETY: nothing outside points into the closure's frames.
//! let child = unsafe {
//!     Greenlet::<u32, String>::new(move |first| {
//!         let second = main.switch(format!("got {first}"));
//!         format!("then {second}, and done")
//!     })
//! };
//! assert_eq!(child.switch(1), "got 1");
//! assert_eq!(child.switch(2), "then 2, and done");
//! assert!(child.is_finished());
//! ```
//!
//! - [`Greenlet`]: symmetric coroutines. Read the contract of [`Greenlet::new`]: it is the one `unsafe` thing here.
//! - [`Generator`]: a closure that yields from any depth, as an iterator.
//! - [`tasklet`]: micro-threads that a scheduler runs in turn, and channels between them.
//! - [`bridge`]: synchronous code, any depth, that awaits futures.
//! - [`raw`]: the engine, for hosts that bring objects of their own. All that there is without the feature `std`.
//!
//! # Greenlets that exchange different types
//!
//! A handle `Greenlet<In, Out>` says what is sent through it and what is expected back, and is no more than that: whoever is
//! suspended has noted the type that it waits for, and a switch that sends another is refused
//! ([`Refused::WrongType`]) before anything happens. So greenlets of any types live on one thread.
//!
//! # Which stack
//!
//! The greenlets of a thread share one stack of their own ([`set_stack_size`]), beside the thread's native one. So the frames
//! of a thread's main greenlet never move, and code there may lend its locals to scoped threads, wait lists and greenlets alike. A
//! greenlet that recurses too deep hits the guard page below that stack, and the process ends by a fault, not by corruption.
//!
//! # Panics
//!
//! A panic that leaves a greenlet goes on in its parent, with its payload. A greenlet that is killed or whose last handle
//! is dropped is unwound. While a panic unwinds, switching is refused. With `panic = "abort"` none of
//! this can be: a panic ends the process, and a greenlet that is dropped while it is suspended leaks what its frames own.
//!
//! When a thread ends, what is still suspended is killed.

#![no_std]
#![cfg_attr(greenlet_asan_instrumented, feature(sanitize))]
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs, clippy::undocumented_unsafe_blocks)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod raw;

#[cfg(feature = "std")]
pub mod bridge;
#[cfg(feature = "std")]
mod error;
#[cfg(feature = "std")]
mod generator;
#[cfg(feature = "std")]
mod greenlet;
#[cfg(feature = "std")]
mod object;
#[cfg(feature = "std")]
mod runtime;
#[cfg(feature = "std")]
mod stack;
#[cfg(feature = "std")]
mod switch;
#[cfg(feature = "std")]
pub mod tasklet;
#[cfg(feature = "std")]
mod trace;
#[cfg(feature = "std")]
mod transit;
#[cfg(feature = "std")]
mod typeinfo;
#[cfg(feature = "std")]
mod unwind;

#[cfg(feature = "std")]
pub use self::{
    error::{Killed, OutOfMemory, Payload, Refused, SwitchError, WrongResult, payload_text},
    generator::{Generator, Yielder},
    greenlet::{AnyGreenlet, Greenlet, prepare_thread, set_stack_size},
    trace::{Event, EventKind, Hook, set_trace},
};

/// The programs of the README are tests.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;
