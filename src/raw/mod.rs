//! The engine: slices of one machine stack, and the switch between them.
//!
//! A host (the Rust API of this crate, a C program, an interpreter) keeps one [`Thread`] for each thread of its own, one
//! [`Greenlet`] in each object that it calls a greenlet, and as many [`Stack`]s as it likes beside
//! the native one. The engine switches and copies. It knows nothing of parents, values, panics or interpreters.
//!
#![cfg_attr(feature = "alloc", doc = "```")]
#![cfg_attr(not(feature = "alloc"), doc = "```ignore")]
//! use core::{ffi::c_void, ptr};
//! use greenlet::raw::{Greenlet, Memory, Thread};
//!
//! static mut THREAD: Thread = Thread::new(Memory::GLOBAL);
//! static mut MAIN: Greenlet = Greenlet::new();
//! static mut OTHER: Greenlet = Greenlet::new();
//!
//! unsafe extern "C" fn body(word: *mut c_void) -> ! {
//!     unsafe {
//!         let thread = &raw mut THREAD;
//!         let next = Thread::switch(thread, &raw mut MAIN, word.wrapping_byte_add(1)).unwrap();
//!         let refused = Thread::finish(thread, &raw mut MAIN, next.wrapping_byte_add(1));
//!         panic!("{refused}")
//!     }
//! }
//!
//! // SAFETY: one thread uses the statics, and nothing points into the other's frames.
//! unsafe {
//!     let (thread, other) = (&raw mut THREAD, &raw mut OTHER);
//!     Thread::attach(thread, &raw mut MAIN);
//!     let native = Thread::native(thread);
//!     let word = ptr::without_provenance_mut(10);
//!     assert_eq!(Thread::start(thread, other, native, body, word).unwrap().addr(), 11);
//!     let word = ptr::without_provenance_mut(20);
//!     assert_eq!(Thread::switch(thread, other, word).unwrap().addr(), 21);
//!     assert!(!(*other).is_active());
//! }
//! ```

mod arch;
#[cfg(greenlet_asan)]
mod asan;
mod bounds;
mod copy;
mod greenlet;
mod memory;
mod stack;
mod thread;
mod tools;
#[cfg(greenlet_valgrind)]
mod valgrind;

/// What slice buffers are aligned to, in bytes: 16 where they are copied by vector registers, else a word.
pub const BUFFER_ALIGN: usize = copy::ALIGN;

pub use arch::{HAS_JUMP_ENTRY, STACK_ALIGN};
pub use greenlet::Greenlet;
pub use memory::Memory;
pub use stack::Stack;
pub use thread::{Body, Error, Thread};
