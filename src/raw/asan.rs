//! AddressSanitizer: what it knows of the stack goes with the slice.
//!
//! For every eight bytes the sanitizer keeps one *shadow byte* that says which of them may be touched: around the variables of each
//! frame lie red zones, and a variable out of scope is one. A slice that is copied away without its shadow leaves its red zones to
//! whoever uses the stack next, who is then accused of what he did not do, and comes back to a stack without any.
//!
//! ```text
//!   stack          shadow                 heap
//!   stop  ─┐      ┌─────────┐
//!          │      │ f1 f1 0 │ ──save──►  buffer: the bytes          put back by `restore`, both,
//!          │      │ f8 0 f3 │ ──save──►  `Kept`: the shadow bytes   where they were
//!   start ─┘      └─────────┘
//!                  then 0: whoever comes next finds a stack that nobody has touched
//! ```
//!
//! Besides, the runtime is told which stack runs, as it asks of every program with fibers: so that it cleans the right one when a
//! panic or an exception unwinds, and so that each greenlet has a *fake stack* of its own where variables live if
//! `detect_stack_use_after_return` is on.
//!
//! All of it is there in builds with the feature `asan` or with `-Zsanitizer=address` only (`tools.rs`). Where memory for the shadow
//! runs out, the program ends: nobody ships this.
//!
//! Source: `sanitizer/asan_interface.h` and `sanitizer/common_interface_defs.h` of LLVM; GCC's runtime has the same.

use super::{Greenlet, Stack};
use core::ffi::c_void;
use core::ptr;

unsafe extern "C" {
    fn __asan_get_shadow_mapping(scale: *mut usize, offset: *mut usize);
    fn __asan_unpoison_memory_region(address: *const c_void, size: usize);
    fn __sanitizer_start_switch_fiber(
        fake_stack: *mut *mut c_void,
        bottom: *const c_void,
        size: usize,
    );
    fn __sanitizer_finish_switch_fiber(
        fake_stack: *mut c_void,
        old_bottom: *mut *const c_void,
        old_size: *mut usize,
    );
    // The C library's, which the sanitizer's runtime needs in any case; the engine itself may be without an allocator.
    fn realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn free(block: *mut c_void);
    fn abort() -> !;
}

/// So each end of a slice is where a shadow byte begins.
const _: () = assert!(super::STACK_ALIGN >= 8);

/// What goes with a greenlet: the shadow of the bytes in its buffer, and its fake stack.
#[derive(Debug)]
pub struct Kept {
    shadow: *mut u8,
    capacity: usize,
    fake_stack: *mut c_void,
}

/// What goes with a native stack: its bounds as the sanitizer knows them. (Of another one the host has said them.)
#[derive(Debug)]
pub struct Fiber {
    bottom: *const c_void,
    size: usize,
}

impl Fiber {
    pub const NEW: Fiber = Fiber { bottom: ptr::null(), size: 0 };

    /// The runtime asks for the bounds at each switch.
    pub fn attached(&mut self, _bottom: usize, _top: usize) {}

    #[cfg(feature = "std")]
    pub fn forget(&mut self) {}

    /// Asks for the bounds of the stack that runs. The runtime tells them to whoever has left it: so it is left, and
    /// come back to.
    #[cfg_attr(greenlet_asan_instrumented, sanitize(address = "off"))]
    pub fn learn(&mut self) {
        // SAFETY: nothing happens in between, and in the end all is as it was.
        unsafe { in_place_of(ptr::null_mut(), &mut self.bottom, &mut self.size) };
    }
}

/// Makes as if another greenlet of this stack, whose fake stack is given, ran for a moment and ended, and answers the
/// bounds of the stack.
///
/// # Safety
///
/// The fake stack is nobody's any more, or null.
#[cfg_attr(greenlet_asan_instrumented, sanitize(address = "off"))]
unsafe fn in_place_of(fake: *mut c_void, bottom: &mut *const c_void, size: &mut usize) {
    let mut own = ptr::null_mut();
    // SAFETY: each start is followed by its finish, and the last one brings back what there was.
    unsafe {
        __sanitizer_start_switch_fiber(&mut own, ptr::null(), 0);
        __sanitizer_finish_switch_fiber(fake, bottom, size);
        __sanitizer_start_switch_fiber(ptr::null_mut(), *bottom, *size);
        __sanitizer_finish_switch_fiber(own, ptr::null_mut(), ptr::null_mut());
    }
}

/// Where the shadow bytes of an address are, and how many bytes have one, as a power of two.
fn mapping() -> (usize, usize) {
    let (mut scale, mut offset) = (0, 0);
    // SAFETY: both may be written.
    unsafe { __asan_get_shadow_mapping(&mut scale, &mut offset) };
    (scale, offset)
}

impl Kept {
    pub const NEW: Kept =
        Kept { shadow: ptr::null_mut(), capacity: 0, fake_stack: ptr::null_mut() };

    /// Takes the shadow of the stack from `from` up to `end` away, to be that of the bytes at `offset` of the buffer.
    ///
    /// # Safety
    ///
    /// The stretch is the running thread's stack and the greenlet's own; both ends are multiples of [`STACK_ALIGN`](super::STACK_ALIGN).
    pub unsafe fn take(&mut self, offset: usize, from: usize, end: usize) {
        let (scale, base) = mapping();
        let need = (offset + end - from) >> scale;
        if need > self.capacity {
            // SAFETY: the block is `realloc`'s, or null.
            let block = unsafe { realloc(self.shadow.cast(), need) };
            if block.is_null() {
                // SAFETY: it may be called at any time.
                unsafe { abort() };
            }
            (self.shadow, self.capacity) = (block.cast(), need);
        }
        // SAFETY: the block is large enough, and memory has its shadow.
        unsafe {
            copy(
                ptr::with_exposed_provenance((from >> scale) + base),
                self.shadow.add(offset >> scale),
                (end - from) >> scale,
            );
            clear(from, end);
        }
    }

    /// Puts the shadow of the first `bytes` bytes back.
    ///
    /// # Safety
    ///
    /// That of as many bytes was taken, and they are in place again at `start`.
    pub unsafe fn put(&self, start: usize, bytes: usize) {
        let (scale, base) = mapping();
        // SAFETY: the caller's promise.
        unsafe {
            copy(
                self.shadow,
                ptr::with_exposed_provenance_mut((start >> scale) + base),
                bytes >> scale,
            );
        }
    }

    pub fn free(&mut self) {
        if !self.fake_stack.is_null() {
            // SAFETY: whoever had it will not run again.
            unsafe { in_place_of(self.fake_stack, &mut ptr::null(), &mut 0) };
        }
        // SAFETY: the block is `realloc`'s, or null, and forgotten here.
        unsafe { free(self.shadow.cast()) };
        *self = Kept::NEW;
    }
}

/// Copies where the sanitizer must not look: shadow, which has none itself, and frames with their red zones. Not by `memcpy`,
/// which the runtime has its own of, and where this crate is instrumented not by anything that the compiler sees.
///
/// # Safety
///
/// As for [`core::ptr::copy_nonoverlapping`].
pub unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's areas are that long; the ABI says that the direction flag is clear.
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rcx") bytes => _, inout("rsi") from => _, inout("rdi") to => _,
            options(nostack, preserves_flags),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the caller's areas are that long.
    unsafe {
        core::arch::asm!(
            "2: cbz {left}, 3f",
            "ldrb {byte:w}, [{from}], #1",
            "strb {byte:w}, [{to}], #1",
            "sub {left}, {left}, #1",
            "b 2b",
            "3:",
            left = inout(reg) bytes => _, from = inout(reg) from => _, to = inout(reg) to => _,
            byte = out(reg) _,
            options(nostack),
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        #[cfg(greenlet_asan_instrumented)]
        compile_error!(
            "a copy in assembly is wanted for this instruction set: see src/raw/asan.rs"
        );
        for i in 0..bytes {
            // SAFETY: the caller's areas are that long.
            unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
        }
    }
}

/// From here on all of this stretch may be touched: nobody's frames are in it.
///
/// # Safety
///
/// The stretch is stack memory.
pub unsafe fn clear(from: usize, end: usize) {
    // SAFETY: the caller's promise.
    unsafe { __asan_unpoison_memory_region(ptr::with_exposed_provenance(from), end - from) };
}

/// Tells the runtime that `left` is about to be left for somebody on the stack `to`.
///
/// # Safety
///
/// It happens, and [`arrived`] is called there before anything that the sanitizer looks at.
#[cfg_attr(greenlet_asan_instrumented, sanitize(address = "off"))]
pub unsafe fn leave(left: *mut Greenlet, to: *mut Stack, _at: usize, ends: bool) {
    // SAFETY: both are valid.
    unsafe {
        let (bottom, size) = match (*to).bounds() {
            (_, 0) => ((*to).fiber.bottom, (*to).fiber.size),
            (bottom, top) => (ptr::with_exposed_provenance(bottom), top - bottom),
        };
        // Null: its fake stack is freed.
        let fake = if ends { ptr::null_mut() } else { &raw mut (*left).kept.fake_stack };
        __sanitizer_start_switch_fiber(fake, bottom, size);
    }
}

/// Tells the runtime that `current` runs.
///
/// # Safety
///
/// [`leave`] was called on the way here.
#[cfg_attr(greenlet_asan_instrumented, sanitize(address = "off"))]
pub unsafe fn arrived(current: *mut Greenlet) {
    // SAFETY: it is valid.
    unsafe {
        let fake = (*current).kept.fake_stack;
        (*current).kept.fake_stack = ptr::null_mut();
        __sanitizer_finish_switch_fiber(fake, ptr::null_mut(), ptr::null_mut());
    }
}
