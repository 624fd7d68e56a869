//! Memory for a separate stack: a mapping with a page below it that cannot be touched. On Windows it is what Windows' own
//! stacks are, committed as it is needed.

use crate::error::OutOfMemory;
use crate::raw;
use core::ptr;

/// The size of a stack unless [`set_stack_size`](crate::set_stack_size) says otherwise. Only what is
/// used of it becomes resident.
pub(crate) const DEFAULT_SIZE: usize = if size_of::<usize>() >= 8 { 8 << 20 } else { 1 << 20 };

/// The least that is worth having: the panic machinery alone needs some kilobytes.
pub(crate) const MIN_SIZE: usize = 64 << 10;

/// A mapping; unmapped when it is dropped.
pub(crate) struct Mapping {
    base: *mut u8,
    size: usize,
    guard: usize,
}

impl Mapping {
    /// Maps `size` bytes, rounded up to whole pages, and what guards them below.
    pub(crate) fn new(size: usize) -> Result<Mapping, OutOfMemory> {
        let guard = sys::guard_size();
        let size = size
            .max(MIN_SIZE)
            .checked_next_multiple_of(sys::page_size())
            .and_then(|size| size.checked_add(guard))
            .ok_or(OutOfMemory)?;
        let base = sys::map(size, guard).ok_or(OutOfMemory)?;
        Ok(Mapping { base, size, guard })
    }

    /// Makes it the memory of `stack`, one of `thread`'s.
    ///
    /// # Safety
    ///
    /// As for [`raw::Stack::attach`], for as long as the mapping is there.
    pub(crate) unsafe fn attach(&self, stack: *mut raw::Stack, thread: *mut raw::Thread) {
        // SAFETY: the caller's promise; what lies above the guard may be used.
        unsafe {
            let bottom = self.base.wrapping_add(self.guard);
            (*stack).attach(thread, bottom, self.size - self.guard);
            #[cfg(windows)]
            (*stack).grows_on_demand(self.base, sys::committed(self.base, self.size));
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        sys::unmap(self.base, self.size);
    }
}

#[cfg(unix)]
mod sys {
    use super::ptr;
    use core::ffi::{c_int, c_long, c_void};

    // `off_t`, so far as passing 0 for it goes.
    #[cfg(any(target_pointer_width = "64", not(target_env = "musl")))]
    type Offset = c_long;
    #[cfg(not(any(target_pointer_width = "64", not(target_env = "musl"))))]
    type Offset = i64;

    unsafe extern "C" {
        fn mmap(
            a: *mut c_void,
            n: usize,
            prot: c_int,
            flags: c_int,
            fd: c_int,
            o: Offset,
        ) -> *mut c_void;
        fn mprotect(a: *mut c_void, n: usize, prot: c_int) -> c_int;
        fn munmap(a: *mut c_void, n: usize) -> c_int;
        fn sysconf(name: c_int) -> c_long;
    }

    const PROT_NONE: c_int = 0;
    const PROT_READ_WRITE: c_int = 1 | 2;
    const MAP_PRIVATE: c_int = 2;
    const MAP_ANONYMOUS: c_int = if cfg!(any(target_os = "linux", target_os = "android")) {
        // Linux numbers its flags by architecture.
        if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 0x800 } else { 0x20 }
    } else {
        0x1000 // the BSDs and Apple's systems
    };
    const SC_PAGESIZE: c_int = if cfg!(any(target_os = "linux")) {
        30
    } else if cfg!(target_vendor = "apple") {
        29
    } else if cfg!(target_os = "android") {
        39
    } else {
        47 // FreeBSD, DragonFly
    };

    pub(super) fn page_size() -> usize {
        // SAFETY: no preconditions.
        let size = unsafe { sysconf(SC_PAGESIZE) };
        usize::try_from(size).ok().filter(|n| n.is_power_of_two()).unwrap_or(1 << 16)
    }

    pub(super) fn guard_size() -> usize {
        page_size()
    }

    pub(super) fn map(size: usize, guard: usize) -> Option<*mut u8> {
        // SAFETY: a new private mapping, anywhere; it aliases nothing.
        unsafe {
            let base =
                mmap(ptr::null_mut(), size, PROT_READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if base.addr() == usize::MAX {
                return None;
            }
            if mprotect(base, guard, PROT_NONE) != 0 {
                munmap(base, size);
                return None;
            }
            Some(base.cast())
        }
    }

    pub(super) fn unmap(base: *mut u8, size: usize) {
        // SAFETY: it was mapped by `map` with this size, and nobody runs on it.
        unsafe { munmap(base.cast(), size) };
    }
}

/// ```text
///   base + size ─┐
///                │  committed: TOP bytes at first
///                │  guard pages: touching one makes Windows commit it, and the page below it a guard page
///                │  reserved
///   + guard     ─┤  (the size that was asked for ends here)
///                │  room for the last guard pages, where the handler of an overflow runs
///                │  one page that is never committed
///   base        ─┘
/// ```
#[cfg(windows)]
mod sys {
    use super::ptr;
    use core::ffi::c_void;

    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn VirtualAlloc(a: *mut c_void, n: usize, kind: u32, protect: u32) -> *mut c_void;
        fn VirtualFree(a: *mut c_void, n: usize, kind: u32) -> i32;
        fn SetThreadStackGuarantee(bytes: *mut u32) -> i32;
    }

    const MEM_COMMIT: u32 = 0x1000;
    const MEM_RESERVE: u32 = 0x2000;
    const MEM_RELEASE: u32 = 0x8000;
    const PAGE_READWRITE: u32 = 0x04;
    const PAGE_GUARD: u32 = 0x100;

    /// How much is committed at first.
    const TOP: usize = 32 << 10;

    pub(super) fn page_size() -> usize {
        4096 // on every architecture that Windows runs on today
    }

    /// How many bytes of guard pages go before the stack as it grows: two pages (on 32 bits one would do), and what this
    /// thread has asked to be left to whoever handles an overflow.
    fn moving_guard() -> usize {
        let mut guarantee = 0;
        // SAFETY: of 0 it makes the present value, and changes nothing.
        unsafe { SetThreadStackGuarantee(&mut guarantee) };
        (guarantee as usize).next_multiple_of(page_size()) + 2 * page_size()
    }

    pub(super) fn guard_size() -> usize {
        moving_guard() + page_size()
    }

    pub(super) fn committed(base: *mut u8, size: usize) -> *mut u8 {
        base.wrapping_add(size - TOP)
    }

    pub(super) fn map(size: usize, guard: usize) -> Option<*mut u8> {
        let moving = guard - page_size();
        // SAFETY: new memory, anywhere; it aliases nothing.
        unsafe {
            let base = VirtualAlloc(ptr::null_mut(), size, MEM_RESERVE, PAGE_READWRITE);
            if base.is_null() {
                return None;
            }
            let limit = base.wrapping_byte_add(size - TOP);
            let guards = limit.wrapping_byte_sub(moving);
            if VirtualAlloc(limit, TOP, MEM_COMMIT, PAGE_READWRITE).is_null()
                || VirtualAlloc(guards, moving, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD).is_null()
            {
                VirtualFree(base, 0, MEM_RELEASE);
                return None;
            }
            Some(base.cast())
        }
    }

    pub(super) fn unmap(base: *mut u8, _size: usize) {
        // SAFETY: it came from `map`, and nobody runs on it.
        unsafe { VirtualFree(base.cast(), 0, MEM_RELEASE) };
    }
}
