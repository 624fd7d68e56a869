//! The entries of the assembly that are inlined into their caller answer as the function does: whoever is continued gets a
//! result that is not null, whichever way it left and whichever way the other one came; null says that nobody has left.
//!
//! An entry that leaves the result to chance would pass elsewhere, since what compiled code has in that register is seldom 0.
//! Here it always is when the entry is reached. Only where the arch file has such entries.
#![cfg(all(target_arch = "x86_64", not(windows)))]

use greenlet::raw::HAS_JUMP_ENTRY;
use std::arch::asm;
use std::ffi::c_void;
use std::ptr;

type Callback = unsafe extern "C" fn(*mut World, *mut c_void) -> *mut c_void;

// Hidden, but the same link: the test's executable contains the engine.
unsafe extern "C" {
    fn greenlet_switch(save: Callback, restore: Callback, world: *mut World) -> *mut c_void;
    fn greenlet_jump();
    fn greenlet_swap();
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
enum Way {
    Call,
    Jump,
    Swap,
}

const WAYS: [Way; 3] = [Way::Call, Way::Jump, Way::Swap];

/// Two flows with a stack each. Nobody needs to be copied.
#[repr(C)]
struct World {
    starts: [*mut c_void; 2],
    current: usize,
    has_begun: bool,
    refuse: bool,
    /// How the second flow leaves next.
    back: Way,
}

unsafe extern "C" fn save(world: *mut World, sp: *mut c_void) -> *mut c_void {
    // SAFETY: nobody else uses the world meanwhile.
    let world = unsafe { &mut *world };
    if world.refuse {
        return ptr::null_mut();
    }
    world.starts[world.current] = sp;
    world.current = 1 - world.current;
    world.starts[world.current]
}

unsafe extern "C" fn restore(world: *mut World, _sp: *mut c_void) -> *mut c_void {
    // SAFETY: as in `save`.
    unsafe {
        if (*world).has_begun {
            return world.cast();
        }
        (*world).has_begun = true;
        loop {
            let result = leave(world, (*world).back);
            assert!(!result.is_null(), "the second flow, which left by {:?}", (*world).back);
        }
    }
}

/// Goes to the other flow. The answer is what the assembly returns when this one is continued.
///
/// # Safety
///
/// The world is valid. By `Swap` only to a flow that has begun.
#[inline(never)]
unsafe fn leave(world: *mut World, way: Way) -> *mut c_void {
    // SAFETY: both flows have a stack of their own, and only one runs. The entries want what `src/raw/arch.rs` says of them.
    unsafe {
        match way {
            Way::Call => greenlet_switch(save, restore, world),
            Way::Jump => {
                let (save, restore) = (save as *mut c_void, restore as *mut c_void);
                enter(
                    greenlet_jump,
                    Words { rax: save, r12: restore, r13: world.cast(), ..NO_WORDS },
                )
            }
            Way::Swap => {
                let from = (*world).current;
                (*world).current = 1 - from;
                let start = &raw mut (*world).starts[from];
                let target = (*world).starts[1 - from];
                enter(greenlet_swap, Words { rdi: start.cast(), rsi: target, ..NO_WORDS })
            }
        }
    }
}

/// What an entry takes, by register.
struct Words {
    rax: *mut c_void,
    r12: *mut c_void,
    r13: *mut c_void,
    rdi: *mut c_void,
    rsi: *mut c_void,
}

const NO_WORDS: Words = Words {
    rax: ptr::null_mut(),
    r12: ptr::null_mut(),
    r13: ptr::null_mut(),
    rdi: ptr::null_mut(),
    rsi: ptr::null_mut(),
};

/// Enters by a jump. The register of the result has 0, unless the entry takes something in it.
///
/// # Safety
///
/// The words are what the entry takes.
#[inline(always)]
unsafe fn enter(entry: unsafe extern "C" fn(), words: Words) -> *mut c_void {
    let result: *mut c_void;
    // SAFETY: as for the same instructions in `src/raw/arch.rs`.
    unsafe {
        asm!(
            "lea rcx, [rip + 2f]",
            "push rcx",
            "jmp r8",
            "2:",
            in("r8") entry,
            in("rdi") words.rdi,
            in("rsi") words.rsi,
            inlateout("rax") words.rax => result,
            inlateout("r12") words.r12 => _,
            inlateout("r13") words.r13 => _,
            lateout("r14") _,
            lateout("r15") _,
            clobber_abi("sysv64"),
        );
    }
    result
}

#[test]
fn whoever_is_continued_gets_a_result() {
    const { assert!(HAS_JUMP_ENTRY) };
    let mut stack = vec![0u128; 4096];
    let mut world = World {
        starts: [ptr::null_mut(), stack.as_mut_ptr_range().end.cast()],
        current: 0,
        has_begun: false,
        refuse: false,
        back: Way::Call,
    };
    let world = &raw mut world;
    // SAFETY: the world and the stack live until the second flow has been left for good.
    unsafe {
        // Nobody else has begun for the first of them.
        for (way, back) in WAYS.iter().flat_map(|&way| WAYS.map(|back| (way, back))) {
            (*world).back = back;
            let result = leave(world, way);
            assert!(!result.is_null(), "left by {way:?}, continued by {back:?}");
            assert_eq!((*world).current, 0);
            if way != Way::Swap {
                (*world).refuse = true;
                assert!(leave(world, way).is_null(), "refused {way:?}");
                (*world).refuse = false;
                assert_eq!((*world).current, 0);
            }
        }
    }
    drop(stack);
}
