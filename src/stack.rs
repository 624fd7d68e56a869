//! Memory for a separate stack: a mapping with a page below it that cannot be touched.

use crate::error::OutOfMemory;
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
    /// Maps `size` bytes, rounded up to whole pages, and a guard page below them.
    pub(crate) fn new(size: usize) -> Result<Mapping, OutOfMemory> {
        let guard = sys::page_size();
        let size = size
            .max(MIN_SIZE)
            .checked_next_multiple_of(guard)
            .and_then(|size| size.checked_add(guard))
            .ok_or(OutOfMemory)?;
        let base = sys::map(size, guard).ok_or(OutOfMemory)?;
        Ok(Mapping { base, size, guard })
    }

    /// The lowest address that may be used.
    pub(crate) fn bottom(&self) -> *mut u8 {
        self.base.wrapping_add(self.guard)
    }

    /// How many bytes may be used.
    pub(crate) fn len(&self) -> usize {
        self.size - self.guard
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

#[cfg(windows)]
mod sys {
    use super::ptr;
    use core::ffi::c_void;

    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn VirtualAlloc(a: *mut c_void, n: usize, kind: u32, protect: u32) -> *mut c_void;
        fn VirtualProtect(a: *mut c_void, n: usize, protect: u32, old: *mut u32) -> i32;
        fn VirtualFree(a: *mut c_void, n: usize, kind: u32) -> i32;
    }

    const MEM_COMMIT_RESERVE: u32 = 0x1000 | 0x2000;
    const MEM_RELEASE: u32 = 0x8000;
    const PAGE_NOACCESS: u32 = 0x01;
    const PAGE_READWRITE: u32 = 0x04;

    pub(super) fn page_size() -> usize {
        4096 // on every architecture that Windows runs on today
    }

    pub(super) fn map(size: usize, guard: usize) -> Option<*mut u8> {
        // SAFETY: new memory, anywhere; it aliases nothing.
        unsafe {
            let base = VirtualAlloc(ptr::null_mut(), size, MEM_COMMIT_RESERVE, PAGE_READWRITE);
            if base.is_null() {
                return None;
            }
            let mut old = 0;
            if VirtualProtect(base, guard, PAGE_NOACCESS, &mut old) == 0 {
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
