//! Floating-point exceptions that one greenlet traps and another does not: what the other's arithmetic has noted in the status
//! flags must not hit the one that traps when it goes on.
//!
//! On some processors (PowerPC) to enable a trap whose flag is set is to take it. So an arch file that loads a greenlet's enables
//! beside the flags of the one that was left ends the process. Only where the C library can enable traps, and processors have them.
#![cfg(all(
    feature = "alloc",
    target_os = "linux",
    target_env = "gnu",
    any(
        target_arch = "x86",
        target_arch = "x86_64",
        target_arch = "powerpc",
        target_arch = "powerpc64",
        target_arch = "s390x",
        target_arch = "mips",
        target_arch = "mips64",
        target_arch = "loongarch64",
        target_arch = "sparc64"
    )
))]

use greenlet::raw::{Greenlet, Memory, Stack, Thread};
use std::ffi::c_void;
use std::hint::black_box;

/// Divisions by zero, by C's `fenv.h` and what glibc adds to it.
#[cfg(not(any(target_arch = "powerpc", target_arch = "powerpc64")))]
mod by_zero {
    use std::ffi::c_int;

    /// `FE_DIVBYZERO`.
    const BY_ZERO: c_int = if cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
        0x4
    } else if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
        0x20
    } else if cfg!(target_arch = "loongarch64") {
        0x0008_0000
    } else {
        0x40 // s390x, SPARC
    };

    #[link(name = "m")]
    unsafe extern "C" {
        safe fn feenableexcept(which: c_int) -> c_int;
        safe fn fegetexcept() -> c_int;
        safe fn fetestexcept(which: c_int) -> c_int;
    }

    pub fn trap() {
        assert_ne!(feenableexcept(BY_ZERO), -1, "the C library cannot");
    }

    pub fn is_trapped() -> bool {
        fegetexcept() & BY_ZERO != 0
    }

    pub fn is_noted() -> bool {
        fetestexcept(BY_ZERO) != 0
    }
}

/// The same without glibc, which takes for it an instruction that older processors, as emulated, do not have.
#[cfg(any(target_arch = "powerpc", target_arch = "powerpc64"))]
mod by_zero {
    use std::arch::asm;

    pub fn trap() {
        // SAFETY: sets bit 27 of FPSCR, the enable bit. What Rust's code computes is not changed.
        unsafe { asm!("mtfsb1 27") };
    }

    fn fpscr() -> u64 {
        let value: f64;
        // SAFETY: only reads it.
        unsafe { asm!("mffs {0}", out(freg) value) };
        value.to_bits()
    }

    pub fn is_trapped() -> bool {
        fpscr() & 1 << (31 - 27) != 0
    }

    pub fn is_noted() -> bool {
        fpscr() & 1 << (31 - 5) != 0
    }
}

struct World {
    thread: Thread,
    separate: Stack,
    main: Greenlet,
    other: Greenlet,
    /// How often the other one found its trap enabled.
    found: usize,
}

/// Traps divisions by zero, and makes none.
unsafe extern "C" fn trapping(ctx: *mut c_void) -> ! {
    let world: *mut World = ctx.cast();
    by_zero::trap();
    loop {
        // SAFETY: the world outlives both greenlets.
        unsafe {
            Thread::switch(&raw mut (*world).thread, &raw mut (*world).main, ctx).unwrap();
            (*world).found += usize::from(by_zero::is_trapped());
        }
    }
}

#[test]
fn flags_of_one_greenlet_are_no_traps_in_another() {
    let mut memory = vec![0u64; 32 << 10];
    let world = Box::into_raw(Box::new(World {
        thread: Thread::new(Memory::GLOBAL),
        separate: Stack::new(),
        main: Greenlet::new(),
        other: Greenlet::new(),
        found: 0,
    }));
    // SAFETY: the world and the memory live until the end of this function, when the other greenlet is gone.
    unsafe {
        let thread = &raw mut (*world).thread;
        Thread::attach(thread, &raw mut (*world).main);
        (*world).separate.attach(thread, memory.as_mut_ptr().cast(), size_of_val(&*memory));
        let (other, stack) = (&raw mut (*world).other, &raw mut (*world).separate);
        Thread::start_called(thread, other, stack, trapping, world.cast()).unwrap();
        for round in 1..=3 {
            assert!(!by_zero::is_trapped(), "main has the other's trap");
            assert!((black_box(1.0) / black_box(0.0_f64)).is_infinite());
            assert!(by_zero::is_noted());
            Thread::switch(thread, other, world.cast()).unwrap();
            assert_eq!((*world).found, round, "the other has lost its trap");
        }
        Thread::release(thread, other).unwrap();
        drop(Box::from_raw(world));
    }
    drop(memory);
}
