//! The memory for a greenlet's first Python frames (CPython 3.11 and newer), and a cache for the chunks that follow.
//!
//! Left to itself the interpreter maps 16 KiB for the first frame of each greenlet and unmaps it at the end. Here the
//! first chunk, the root, is a block of ours:
//!
//! - a large one, which ends where the interpreter's would, for as many greenlets at a time as there is a budget for;
//! - for all others a small one, as large as the function's frame and what it calls needed before.
//!
//! So a program with some hundreds of greenlets never sees the end of a chunk where it would not see one without us, and
//! with a hundred thousand each costs what it uses. What does not fit goes on in the interpreter's own chunks of 16 KiB; a few of
//! those are kept, so that a call that crosses the end of a chunk maps nothing. It still costs ten to fifteen nanoseconds, since
//! the specialized call has to give up: that is why crossings are avoided, and not only made cheap.

use crate::ffi::*;
use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

/// Sizes of root chunks are multiples of this, less [`LESS`].
const GRAIN: usize = 256;
/// So that with the allocator's own word a chunk is a multiple of 16, and that no chunk of ours is a multiple of a page:
/// that is how [`release`] tells them from the interpreter's.
const LESS: usize = 8;
/// The chunk's own words, and the one that is skipped.
const HEADER: usize = 4 * size_of::<usize>();
/// Room for a small function that the greenlet's first one calls.
const SLACK: usize = 32 * size_of::<usize>();
/// The last class is the large one: no smaller than the interpreter's chunk, and a bit larger, so that the beginnings of
/// those that lie side by side are not all in the same few lines of the nearest cache.
const CLASSES: usize = CHUNK / GRAIN + 1;
const LARGEST: usize = GRAIN * CLASSES - LESS;
/// How many bytes of small root chunks are kept.
const KEPT: usize = 256 * 1024;
/// How many large ones there are, in use and kept, before new greenlets have to do with small ones.
const BUDGET: usize = 256;

/// The interpreter's chunks: their size, and how many are kept.
const CHUNK: usize = 16 * 1024;
const CHUNKS_KEPT: usize = 16;

struct Pool {
    /// Free root chunks by size, linked by their first word.
    free: [*mut c_void; CLASSES],
    /// Bytes of the small ones among them.
    kept: usize,
    /// How many large ones there are, free and in use.
    large: usize,
    chunks: [*mut c_void; CHUNKS_KEPT],
    chunk_count: usize,
    /// What greenlets that ran a code object needed: its address and a number of grains.
    hints: [(usize, u8); 256],
}

static mut POOL: Pool = Pool {
    free: [ptr::null_mut(); CLASSES],
    kept: 0,
    large: 0,
    chunks: [ptr::null_mut(); CHUNKS_KEPT],
    chunk_count: 0,
    hints: [(0, 0); 256],
};

fn pool() -> *mut Pool {
    &raw mut POOL
}

fn hint_of(key: usize) -> usize {
    (key >> 4 ^ key >> 12) & 255
}

/// A root chunk for a greenlet that will run `run`, and what to remember it by; null: let the interpreter map one.
///
/// # Safety
///
/// `run` is an object.
pub unsafe fn take(run: *mut PyObject) -> (*mut c_void, usize) {
    if cfg!(not(py311)) {
        return (ptr::null_mut(), 0);
    }
    // SAFETY: the pool is guarded by the GIL, and its lists hold blocks of their class.
    unsafe {
        let mut key = ptr::null_mut();
        let need = gr_root_need(run, &mut key);
        let key = key.addr();
        let mut grains = (HEADER + need + SLACK + LESS).div_ceil(GRAIN);
        let (hinted, hint) = (*pool()).hints[hint_of(key)];
        if hinted == key {
            grains = grains.max(hint as usize);
        }
        if grains > CLASSES {
            return (ptr::null_mut(), key);
        }
        let pool = pool();
        if (*pool).large < BUDGET || !(*pool).free[CLASSES - 1].is_null() {
            grains = CLASSES;
        }
        let size = grains * GRAIN - LESS;
        let head = &raw mut (*pool).free[grains - 1];
        let mut block = *head;
        if !block.is_null() {
            *head = *block.cast();
            if grains < CLASSES {
                (*pool).kept -= size;
            }
        } else {
            block = PyMem_RawMalloc(size);
            if grains == CLASSES && !block.is_null() {
                (*pool).large += 1;
            }
        }
        if !block.is_null() {
            gr_root_format(block, size);
        }
        (block, key)
    }
}

/// Notes that `size` bytes were not enough for what has `key`.
pub fn remember(key: usize, size: usize) {
    // SAFETY: guarded by the GIL.
    unsafe {
        let more = (2 * (size + LESS) / GRAIN).min(CLASSES);
        let hint = &raw mut (*pool()).hints[hint_of(key)];
        *hint = (key, more as u8);
    }
}

/// Takes a root chunk back.
///
/// # Safety
///
/// It came from [`take`], and nobody uses it.
pub unsafe fn give(block: *mut c_void) {
    if block.is_null() {
        return;
    }
    // SAFETY: the caller's promise; the block is large enough for a link.
    unsafe {
        let size = gr_root_size(block);
        let pool = pool();
        let class = (size + LESS) / GRAIN - 1;
        let is_large = class == CLASSES - 1;
        if is_large && (*pool).large > BUDGET {
            (*pool).large -= 1;
            PyMem_RawFree(block);
        } else if !is_large && (*pool).kept + size > KEPT {
            PyMem_RawFree(block);
        } else {
            let head = &raw mut (*pool).free[class];
            *block.cast() = *head;
            *head = block;
            if !is_large {
                (*pool).kept += size;
            }
        }
    }
}

/// Interpreters with a GIL of their own have the allocator in common: so [`Pool::chunks`] has a lock. Whoever finds it taken does
/// without the cache.
static CHUNKS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Does `what` with the cache of chunks, unless another thread does something with it just now.
fn with_chunks<T>(otherwise: T, what: impl FnOnce(*mut Pool) -> T) -> T {
    if CHUNKS_TAKEN.swap(true, Ordering::Acquire) {
        return otherwise;
    }
    let result = what(pool());
    CHUNKS_TAKEN.store(false, Ordering::Release);
    result
}

unsafe extern "C" fn cached(size: usize) -> *mut c_void {
    if size != CHUNK {
        return ptr::null_mut();
    }
    // SAFETY: guarded by the lock.
    with_chunks(ptr::null_mut(), |pool| unsafe {
        if (*pool).chunk_count == 0 {
            return ptr::null_mut();
        }
        (*pool).chunk_count -= 1;
        (*pool).chunks[(*pool).chunk_count]
    })
}

unsafe extern "C" fn release(block: *mut c_void, size: usize) -> c_int {
    if size <= LARGEST && size % GRAIN == GRAIN - LESS {
        // SAFETY: a block whose size ends like that is a root chunk of ours: of a thread state that was cleared while a
        // greenlet ran there, so by an interpreter that has our GIL.
        unsafe { give(block) };
        return 1;
    }
    if size != CHUNK {
        return 0;
    }
    // SAFETY: guarded by the lock; the block is given to us.
    with_chunks(0, |pool| unsafe {
        if (*pool).chunk_count == CHUNKS_KEPT {
            return 0;
        }
        (*pool).chunks[(*pool).chunk_count] = block;
        (*pool).chunk_count += 1;
        1
    })
}

/// Installs the cache.
pub fn install() {
    // SAFETY: called once, when the module is made.
    unsafe { gr_arena_install(cached, release) };
}
