//! Landing pads on AArch64: `greenlet_switch` and its callbacks in pages where an indirect branch may arrive at
//! a landing pad only (branch target identification), and with signed return addresses.
//!
//! Only in builds with `--cfg greenlet_bti`, as the row `aarch64-unknown-linux-gnu+pac-ret,bti` of `cargo xtask cross`
//! makes them. That the processor has the extension is a promise then: these tests fail where it has not.
#![cfg(all(greenlet_bti, feature = "std"))]

mod common;
use common::{Log, OnDrop, child, main, overwrite, spawn};
use std::ffi::{c_int, c_long, c_void};
use std::hint::black_box;
use std::{mem, ptr};

const READ_WRITE: c_int = 1 | 2;
const EXECUTE_GUARDED: c_int = 1 | 4 | 0x10;
const PRIVATE_ANONYMOUS: c_int = 2 | 0x20;
const ILLEGAL_INSTRUCTION: i32 = 4;

type Callback = extern "C" fn(*mut World, *mut c_void) -> *mut c_void;
type Switch = unsafe extern "C" fn(Callback, Callback, *mut World) -> *mut c_void;

unsafe extern "C" {
    /// Hidden, but the same link: the test's executable contains the engine.
    fn greenlet_switch(save: Callback, restore: Callback, world: *mut World) -> *mut c_void;

    fn mmap(
        at: *mut c_void,
        size: usize,
        access: c_int,
        how: c_int,
        file: c_int,
        offset: c_long,
    ) -> *mut c_void;
    fn mprotect(at: *mut c_void, size: usize, access: c_int) -> c_int;
    fn sysconf(name: c_int) -> c_long;
}

fn page_size() -> usize {
    const PAGE_SIZE: c_int = 30;
    // SAFETY: asks for a number.
    unsafe { sysconf(PAGE_SIZE) as usize }
}

/// Makes landing pads obligatory in the pages from `from` to `to`, which hold code.
#[track_caller]
fn guard(from: usize, to: usize) {
    let page = page_size();
    let begin = from & !(page - 1);
    let at = ptr::with_exposed_provenance_mut(begin);
    // SAFETY: the pages are mapped, executable, and stay so.
    let result = unsafe { mprotect(at, (to - begin).next_multiple_of(page), EXECUTE_GUARDED) };
    assert_eq!(result, 0, "the processor has no branch target identification");
}

/// Calls a function of these instructions, in a guarded page of its own.
fn call(code: &[u32]) {
    let size = page_size();
    // SAFETY: a new mapping; the code in it is a function without arguments that does nothing.
    unsafe {
        let page = mmap(ptr::null_mut(), size, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0);
        assert!(page.addr() != usize::MAX);
        ptr::copy_nonoverlapping(code.as_ptr(), page.cast(), code.len());
        guard(page.expose_provenance(), page.addr() + size);
        let function: extern "C" fn() = mem::transmute(black_box(page));
        function();
    }
}

const BTI_C: u32 = 0xd503_245f;
const RET: u32 = 0xd65f_03c0;

#[test]
fn the_processor_insists_on_landing_pads() {
    let name = "the_processor_insists_on_landing_pads";
    let ended = child::run(name, || {
        call(&[BTI_C, RET]);
        println!("with a landing pad");
        call(&[RET]);
        println!("without");
    });
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(ended.status.signal(), Some(ILLEGAL_INSTRUCTION), "{ended:?}");
    assert!(ended.stdout.ends_with("with a landing pad\n"), "{ended:?}");
}

/// Two flows with a stack each. Nobody needs to be copied.
#[repr(C)]
struct World {
    starts: [*mut c_void; 2],
    current: usize,
    has_begun: bool,
    visits: usize,
}

extern "C" fn save(world: *mut World, sp: *mut c_void) -> *mut c_void {
    // SAFETY: nobody else uses the world meanwhile.
    let world = unsafe { &mut *world };
    world.starts[world.current] = sp;
    world.current = 1 - world.current;
    world.starts[world.current]
}

extern "C" fn restore(world: *mut World, _sp: *mut c_void) -> *mut c_void {
    // SAFETY: as in `save`.
    if unsafe { mem::replace(&mut (*world).has_begun, true) } {
        return world.cast();
    }
    loop {
        // SAFETY: as in `save`.
        unsafe { (*world).visits += 1 };
        switch(world);
    }
}

/// By a pointer, so that the branch is an indirect one.
#[inline(never)]
fn switch(world: *mut World) {
    let function: Switch = black_box(greenlet_switch);
    // SAFETY: both flows have a stack of their own, and only one runs.
    let result = unsafe { function(save, restore, world) };
    assert_eq!(result, world.cast());
}

#[test]
fn a_switch_runs_in_guarded_pages() {
    let name = "a_switch_runs_in_guarded_pages";
    let ended = child::run(name, || {
        let from = (greenlet_switch as *const ()).expose_provenance();
        guard(from, from + 512);

        let mut stack = vec![0u128; 4096];
        let top = stack.as_mut_ptr_range().end.cast();
        let starts = [ptr::null_mut(), top];
        let world = &raw mut *Box::leak(Box::new(World {
            starts,
            current: 0,
            has_begun: false,
            visits: 0,
        }));
        for _ in 0..100 {
            switch(world);
        }
        // SAFETY: the other flow is suspended for good.
        println!("{} visits", unsafe { (*world).visits });

        // Slices, frames with signed return addresses that come back to their place, and unwinding through them.
        let log = Log::<u32>::new();
        let child = spawn({
            let log = log.clone();
            move |()| {
                let _guard = OnDrop(|| log.push(1u32));
                loop {
                    main().switch(());
                }
            }
        });
        for _ in 0..100 {
            child.typed::<(), ()>().switch(());
            overwrite(10);
        }
        child.kill().unwrap();
        println!("{} unwound", log.take().len());
    });
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.contains("100 visits\n1 unwound\n"), "{ended:?}");
}
