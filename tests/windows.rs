//! Windows: the stack bounds in the thread block (TEB) are those of the stack that runs, the native stack's are never touched, and a
//! separate stack grows and overflows as one of Windows' own does.
#![cfg(all(windows, feature = "std"))]

mod common;
use common::{child, deep, main, overwrite, spawn};
use greenlet::raw::{self, Memory, Stack, Thread};
use std::arch::asm;
use std::ffi::c_void;
use std::hint::black_box;
use std::ptr;

/// What the thread block says: lowest address that `VirtualAlloc` gave, lowest committed one, top.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bounds {
    allocation: usize,
    limit: usize,
    base: usize,
}

/// Of the running stack, and the head of the list of exception handlers.
#[inline(never)]
fn block() -> (Bounds, usize) {
    let (handlers, base, limit, allocation): (usize, usize, usize, usize);
    // SAFETY: four words of the thread block are read.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov {}, gs:[0]", "mov {}, gs:[8]", "mov {}, gs:[16]", "mov {}, gs:[0x1478]",
            out(reg) handlers, out(reg) base, out(reg) limit, out(reg) allocation);
        #[cfg(target_arch = "x86")]
        asm!("mov {}, fs:[0]", "mov {}, fs:[4]", "mov {}, fs:[8]", "mov {}, fs:[0xe0c]",
            out(reg) handlers, out(reg) base, out(reg) limit, out(reg) allocation);
        #[cfg(target_arch = "aarch64")]
        asm!("ldr {}, [x18]", "ldr {}, [x18, #8]", "ldr {}, [x18, #16]", "ldr {}, [x18, #0x1478]",
            out(reg) handlers, out(reg) base, out(reg) limit, out(reg) allocation);
    }
    (Bounds { allocation, limit, base }, handlers)
}

fn bounds() -> Bounds {
    block().0
}

/// They are in order, and the running frame lies between them.
#[track_caller]
fn enclose(bounds: Bounds) {
    let here = 0u8;
    let here = (&raw const here).addr();
    assert!(bounds.allocation <= bounds.limit, "{bounds:x?}");
    assert!(bounds.limit <= here && here < bounds.base, "{here:x} is not in {bounds:x?}");
}

#[test]
fn in_a_greenlet_the_bounds_are_those_of_its_stack_and_afterwards_the_native_ones_are_back() {
    let native = block();
    enclose(native.0);
    let child = spawn(|()| {
        enclose(bounds());
        let first = bounds();
        main().switch(());
        enclose(bounds());
        first
    });
    child.typed::<(), ()>().switch(());
    assert_eq!(block(), native);
    overwrite(30); // another one begins and finishes on that stack
    assert_eq!(block(), native);
    let separate = child.switch(());
    assert_eq!(block(), native);
    assert!(separate.base <= native.0.allocation || separate.allocation >= native.0.base);
}

#[test]
fn a_panic_that_leaves_a_greenlet_leaves_the_native_bounds() {
    let native = block();
    let payload = common::thrown(spawn(|()| deep(3, || common::panic_with("boom"))).try_switch(()));
    assert_eq!(greenlet::payload_text(&payload), "boom");
    assert_eq!(block(), native);
    // A kill of one that is suspended.
    let child = spawn(|()| deep(3, || main().switch(())));
    child.switch(());
    child.kill().unwrap();
    assert_eq!(block(), native);
}

#[test]
fn a_separate_stack_begins_with_an_empty_list_of_handlers_or_the_threads_own_last_one() {
    let (_, handlers) = spawn(|()| block()).switch(());
    if cfg!(target_arch = "x86") {
        // SAFETY: the list is walked as the system does, on this thread; its last entry points to -1.
        assert_eq!(unsafe { *ptr::with_exposed_provenance::<usize>(handlers) }, usize::MAX);
    } else {
        assert_eq!(handlers, usize::MAX);
    }
}

/// The list's entries lie in frames. A greenlet must not begin with those of the one that starts it, however many they are.
#[cfg(target_arch = "x86")]
#[test]
fn a_greenlet_begins_with_the_last_of_many_handlers() {
    /// As 32-bit programs have it on their stack: the next one, and the function.
    #[repr(C)]
    struct Entry([usize; 2]);
    let entry = |address: usize| {
        // SAFETY: entries of the list of this thread, or those below.
        unsafe { ptr::read(ptr::with_exposed_provenance::<[usize; 2]>(address)) }
    };
    // SAFETY: the list's head is set to entries that live until it is set back.
    let set = |head: usize| unsafe { asm!("mov fs:[0], {}", in(reg) head) };
    let (_, head) = block();
    let mut last = head;
    while entry(last)[0] != usize::MAX {
        last = entry(last)[0];
    }
    let handler = entry(head)[1];
    let outer = black_box(Entry([head, handler]));
    let inner = black_box(Entry([(&raw const outer).expose_provenance(), handler]));
    let ours = (&raw const inner).expose_provenance();
    set(ours);
    let (_, begins_with) = spawn(|()| block()).switch(());
    let (_, afterwards) = block();
    set(head);
    assert_eq!((begins_with, afterwards), (last, ours));
}

#[repr(C)]
struct Region {
    base: *mut c_void,
    allocation: *mut c_void,
    allocation_protect: u32,
    #[cfg(target_pointer_width = "64")]
    partition: u32,
    size: usize,
    state: u32,
    protect: u32,
    kind: u32,
}

#[link(name = "kernel32")]
unsafe extern "system" {
    fn VirtualQuery(address: *const c_void, to: *mut c_void, size: usize) -> usize;
    fn GetCurrentThreadStackLimits(low: *mut usize, high: *mut usize);
}

const COMMITTED: u32 = 0x1000;
const RESERVED: u32 = 0x2000;
const READ_WRITE: u32 = 0x04;
const GUARD: u32 = 0x100;

/// The state and protection of the page at `address`.
fn page(address: usize) -> (u32, u32) {
    // SAFETY: plain data, of which all zeros is a value.
    let mut region: Region = unsafe { std::mem::zeroed() };
    let (to, size) = ((&raw mut region).cast(), size_of::<Region>());
    // SAFETY: `region` is as large as is said.
    let written = unsafe { VirtualQuery(ptr::without_provenance(address), to, size) };
    assert_eq!(written, size);
    (region.state, region.protect)
}

/// Goes down until `bytes` bytes of stack lie between here and the innermost frame.
#[inline(never)]
fn goes_down(bytes: usize) {
    #[inline(never)]
    fn down(end: usize) {
        let area = black_box([end; 64]);
        if area.as_ptr().addr() > end {
            down(end);
        }
        assert_eq!(black_box(area), [end; 64]);
    }
    let here = 0u8;
    down((&raw const here).addr() - bytes);
}

#[test]
fn a_separate_stack_is_committed_as_it_is_needed_and_the_limit_follows() {
    std::thread::spawn(|| {
        greenlet::set_stack_size(4 << 20).unwrap();
        let grows = |bytes: usize| {
            goes_down(bytes);
            bounds()
        };
        let at_first = spawn(grows).switch(0);
        assert!(at_first.base - at_first.limit < 256 << 10, "{at_first:x?}");
        assert_eq!(page(at_first.limit), (COMMITTED, READ_WRITE));
        assert_eq!(page(at_first.limit - 1), (COMMITTED, READ_WRITE | GUARD));
        assert_eq!(page(at_first.allocation).0, RESERVED);

        let later = spawn(grows).switch(2 << 20);
        assert!(later.base - later.limit >= 2 << 20, "{later:x?}");
        assert_eq!((later.base, later.allocation), (at_first.base, at_first.allocation));
        assert_eq!(page(later.limit), (COMMITTED, READ_WRITE));
        assert_eq!(page(later.limit - 1), (COMMITTED, READ_WRITE | GUARD));
        assert_eq!(page(later.allocation).0, RESERVED);
        // What the next greenlet finds there.
        assert_eq!(spawn(grows).switch(0), later);
    })
    .join()
    .unwrap();
}

#[test]
fn the_system_is_told_the_running_stacks_limits() {
    let limits = |()| {
        let (mut low, mut high) = (0, 0);
        // SAFETY: both may be written.
        unsafe { GetCurrentThreadStackLimits(&mut low, &mut high) };
        (bounds(), low, high)
    };
    let (bounds, low, high) = spawn(limits).switch(());
    assert_eq!((bounds.allocation, bounds.base), (low, high));
}

#[test]
fn an_overflow_in_a_greenlet_is_a_stack_overflow_to_the_system_and_says_so() {
    #[inline(never)]
    fn endless(depth: usize) -> usize {
        let area = black_box([depth; 64]);
        let below = if black_box(true) { endless(depth + 1) } else { 0 };
        below + black_box(area)[depth % 64]
    }
    let name = "an_overflow_in_a_greenlet_is_a_stack_overflow_to_the_system_and_says_so";
    let ended = child::run(name, || {
        // One that is suspended above it, and one that was saved.
        let others = [spawn(|()| main().switch(())), spawn(|()| main().switch(()))];
        others.iter().for_each(|other| other.switch(()));
        println!("begins");
        spawn(|()| println!("survived {}", endless(0))).switch(());
    });
    assert!(ended.stdout.contains("begins\n") && !ended.stdout.contains("survived"), "{ended:?}");
    assert!(ended.stderr.contains("has overflowed its stack"), "{ended:?}");
    assert_eq!(ended.code().map(|code| code as u32), Some(0xc000_00fd), "{ended:?}");
}

/// The engine by itself: the native stack and two separate ones, of memory that is committed already.
struct World {
    thread: Thread,
    main: raw::Greenlet,
    greenlets: [raw::Greenlet; 3],
    stacks: [Stack; 2],
    /// What each greenlet found, each time that it ran.
    found: Vec<(usize, Bounds)>,
    refuse: bool,
    /// Who begins next, and the one after that.
    next: usize,
}

unsafe extern "C" fn resize(ctx: *mut c_void, block: *mut u8, old: usize, new: usize) -> *mut u8 {
    let world: *mut World = ctx.cast();
    // SAFETY: the world outlives its greenlets.
    unsafe {
        match (*world).refuse && new > old {
            true => ptr::null_mut(),
            false => (Memory::GLOBAL.resize)(ptr::null_mut(), block, old, new),
        }
    }
}

/// Notes the bounds, each time that it runs; the third time it finishes.
unsafe extern "C" fn notes(word: *mut c_void) -> ! {
    let world: *mut World = word.cast();
    // SAFETY: the world outlives its greenlets, and no reference to it is kept across a switch.
    unsafe {
        let (thread, main) = (&raw mut (*world).thread, &raw mut (*world).main);
        let me = (*world).next;
        for _ in 0..2 {
            (*world).found.push((me, bounds()));
            Thread::switch(thread, main, word).unwrap();
        }
        (*world).found.push((me, bounds()));
        unreachable!("{}", Thread::finish(thread, main, word))
    }
}

/// Begins the next one in its own place, on the other stack.
unsafe extern "C" fn hands_on(word: *mut c_void) -> ! {
    let world: *mut World = word.cast();
    // SAFETY: as in `notes`.
    unsafe {
        let thread = &raw mut (*world).thread;
        (*world).next = 1;
        let next = &raw mut (*world).greenlets[1];
        let stack = &raw mut (*world).stacks[1];
        unreachable!("{}", Thread::finish_and_start(thread, next, stack, notes, word))
    }
}

/// A world, and the bounds of the memory of its two stacks.
fn world() -> (*mut World, [Bounds; 2]) {
    let mut world = Box::new(World {
        thread: Thread::new(Memory::GLOBAL),
        main: raw::Greenlet::new(),
        greenlets: [const { raw::Greenlet::new() }; 3],
        stacks: [const { Stack::new() }; 2],
        found: Vec::new(),
        refuse: false,
        next: 0,
    });
    let ctx = (&raw mut *world).cast();
    world.thread = Thread::new(Memory { resize, ctx });
    let world = Box::into_raw(world);
    let bounds = [0, 1].map(|n| {
        let memory: &'static mut [u128] = vec![0u128; 1 << 14].leak();
        let (bottom, size) = (memory.as_mut_ptr().addr(), size_of_val(memory));
        // SAFETY: the memory is leaked, and so is the world.
        unsafe {
            let thread = &raw mut (*world).thread;
            (&mut (*world).stacks)[n].attach(thread, memory.as_mut_ptr().cast(), size);
        }
        Bounds { allocation: bottom, limit: bottom, base: bottom + size }
    });
    // SAFETY: both are on the heap.
    unsafe { Thread::attach(&raw mut (*world).thread, &raw mut (*world).main) };
    (world, bounds)
}

#[test]
fn the_bounds_follow_the_engine_from_stack_to_stack_by_every_operation() {
    let ((world, separate), native) = (world(), block());
    // SAFETY: one thread; the world stays where it is; no frame is reached into from outside.
    unsafe {
        let thread = &raw mut (*world).thread;
        let first: *mut raw::Greenlet = (&raw mut (*world).greenlets).cast();
        let (of, stacks) = (|n| first.add(n), (&raw mut (*world).stacks).cast::<Stack>());
        let on = |n| stacks.add(n);
        for (n, stack) in [(0, on(0)), (1, on(1)), (2, on(0))] {
            (*world).next = n;
            Thread::start(thread, of(n), stack, notes, world.cast()).unwrap();
            assert_eq!(block(), native);
        }
        // Greenlet 0 was saved when 2 began: a switch that copies. Then one that does not, and the ends.
        for n in [0, 1, 2, 0, 1, 2] {
            Thread::switch(thread, of(n), world.cast()).unwrap();
            assert_eq!(block(), native);
        }
        let [a, b] = separate;
        let expected = [(0, a), (1, b), (2, a)].repeat(3);
        assert_eq!((*world).found, expected);

        // One finishes, and another begins on the other stack.
        (*world).found.clear();
        Thread::start(thread, of(0), on(0), hands_on, world.cast()).unwrap();
        assert_eq!(block(), native);
        assert_eq!((*world).found, [(1, b)]);
        Thread::release(thread, of(1)).unwrap();
    }
}

#[test]
fn a_switch_that_is_refused_leaves_the_bounds() {
    let ((world, _), native) = (world(), block());
    // SAFETY: as above.
    unsafe {
        let thread = &raw mut (*world).thread;
        let first: *mut raw::Greenlet = (&raw mut (*world).greenlets).cast();
        let of = |n| first.add(n);
        let stack = (&raw mut (*world).stacks).cast::<Stack>();
        Thread::start(thread, of(0), stack, notes, world.cast()).unwrap();
        // Its bytes would have to be saved.
        (*world).refuse = true;
        let refused = Thread::start(thread, of(1), stack, notes, world.cast());
        assert_eq!(refused, Err(raw::Error::OutOfMemory));
        assert_eq!(block(), native);
        Thread::release(thread, of(0)).unwrap();
    }
}

#[test]
fn on_the_native_stack_the_bounds_are_never_touched() {
    let (world, _) = world();
    // SAFETY: as above.
    unsafe {
        let thread = &raw mut (*world).thread;
        let first: *mut raw::Greenlet = (&raw mut (*world).greenlets).cast();
        let of = |n| first.add(n);
        let native = bounds();
        for n in 0..3 {
            (*world).next = n;
            let stack = Thread::native(thread);
            Thread::start(thread, of(n), stack, notes, world.cast()).unwrap();
        }
        for n in [0, 1, 2, 2, 1, 0] {
            Thread::switch(thread, of(n), world.cast()).unwrap();
        }
        assert_eq!((*world).found.len(), 9);
        assert!((*world).found.iter().all(|(_, found)| *found == native), "{:x?}", (*world).found);
        assert_eq!(bounds(), native);
    }
}
