//! C++ exceptions: what the C++ runtime knows of them is a thread's, and a switch makes it each greenlet's own.
//!
//! The Itanium C++ ABI (Exception Handling, 2.2.2) has two words for each thread: the list of the exceptions that are being
//! handled, the innermost `catch` first, and the number of those in flight. `throw;`, the end of a `catch` block and
//! `std::uncaught_exceptions` go by them. Whoever switches in a `catch` block, or in a destructor while the stack is
//! unwound, leaves them not empty; then they are saved with the greenlet, and the target gets its own.
//!
//! Most processes never do that, and many have no C++ runtime, or load it late with some module. So each record has two
//! pointers, and a switch looks at what they point to: as long as no runtime is known, at a word of the dynamic loader's that changes when
//! something is loaded; after that, at the thread's two words. All else is cold. Nothing here may know frames or values.

use crate::object::Imp;
use crate::record::{self, Record};
use core::ffi::c_void;
use core::ptr;

/// `__cxa_eh_globals`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Exceptions {
    caught: *mut c_void,
    uncaught: u32,
    /// Those whose cleanups run. The EHABI has this besides; what is in it is counted as uncaught, too.
    #[cfg(target_arch = "arm")]
    propagating: *mut c_void,
}

impl Exceptions {
    const NONE: Exceptions = Exceptions {
        caught: ptr::null_mut(),
        uncaught: 0,
        #[cfg(target_arch = "arm")]
        propagating: ptr::null_mut(),
    };
}

/// Those of a greenlet that is suspended.
pub struct Held {
    /// Not 0: there are any.
    any: usize,
    exceptions: Exceptions,
}

impl Held {
    pub const NOTHING: Held = Held { any: 0, exceptions: Exceptions::NONE };
}

type GetGlobals = unsafe extern "C" fn() -> *mut Exceptions;

unsafe extern "C" {
    fn gr_cxx_find() -> Option<GetGlobals>;
    fn gr_cxx_watch() -> *const usize;
}

/// What a switch on one thread looks at: a word, and half of one, that are 0 if there is nothing to do.
pub struct Watch {
    word: *const usize,
    half: *const u32,
    /// The thread's, when it is known where they are.
    globals: *mut Exceptions,
}

static NOTHING: u32 = 0;
static LOOK: usize = 1;

/// The runtime's function. While this is `None`, all [`Watch`]es of records that have looked have the same word.
static mut RUNTIME: Option<GetGlobals> = None;

impl Watch {
    /// One that looks for a runtime at the first switch.
    pub const NEW: Watch =
        Watch { word: &raw const LOOK, half: &raw const NOTHING, globals: ptr::null_mut() };
}

/// The exceptions are now `target`'s, and those of `here`, which runs, are saved.
///
/// # Safety
///
/// Both are greenlets of `record`, which is the calling thread's. Nothing runs between this and the switch.
#[inline(always)]
pub unsafe fn cross(record: *mut Record, here: *mut Imp, target: *mut Imp) {
    // SAFETY: the caller's promise. The thread's words live as long as the thread; the loader's is held. (A thread state never
    // goes to another thread while it has greenlets: their frames are on this one's stack.)
    unsafe {
        let watch = &raw const (*record).cxx;
        let now = (*watch).word.read_volatile() | (*watch).half.read_volatile() as usize;
        if now | (*target).cxx.any != 0 {
            cross_slowly(record, here, target);
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn cross_slowly(record: *mut Record, here: *mut Imp, target: *mut Imp) {
    // SAFETY: as in `cross`.
    unsafe {
        if (*record).cxx.globals.is_null() && !look(record) {
            return; // and so none can be saved either
        }
        let globals = (*record).cxx.globals;
        let exceptions = *globals;
        *globals = core::mem::replace(&mut (*target).cxx, Held::NOTHING).exceptions;
        let any = exceptions.caught.addr() | exceptions.uncaught as usize;
        (*here).cxx = Held { any, exceptions };
    }
}

/// Undoes [`cross`] when the switch was refused.
///
/// # Safety
///
/// As there.
pub unsafe fn uncross(record: *mut Record, here: *mut Imp, target: *mut Imp) {
    // SAFETY: as in `cross`.
    unsafe { cross(record, target, here) }
}

/// Looks for a runtime. False: there is none yet, and everybody watches for it.
unsafe fn look(record: *mut Record) -> bool {
    // SAFETY: the GIL is held, and all records are valid.
    unsafe {
        let mut runtime = RUNTIME;
        if runtime.is_none() {
            // In this order: what is loaded after the first has changed the word.
            let mut word = gr_cxx_watch();
            runtime = gr_cxx_find();
            if runtime.is_some() {
                RUNTIME = runtime;
                word = &raw const LOOK;
            }
            record::for_each(|other| (*other).cxx.word = word);
        }
        let Some(get_globals) = runtime else { return false };
        let globals = get_globals();
        let (word, half) = ((&raw const (*globals).caught).cast(), &raw const (*globals).uncaught);
        (*record).cxx = Watch { word, half, globals };
        true
    }
}
