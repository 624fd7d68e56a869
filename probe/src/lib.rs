//! Test-only: proves that a function preserves every register that the ABI says it must.
//!
//! [`probe`] loads all of them with chosen values, calls a function, and stores what they hold
//! afterwards. The assembly in `arch/` does that; the tables of this crate say which register
//! lies where in an [`Image`], so that a test can name the one that was lost.
//!
//! It knows nothing of greenlets: the function may be any.

#![no_std]

use core::ffi::c_void;
use core::fmt;
use core::hint::black_box;

mod tables;
pub use tables::{AREA, REGISTERS};

/// What is probed: three words in, one out.
pub type Function = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void) -> *mut c_void;

/// A callback of a switch: `(ctx, sp)`.
pub type Callback = unsafe extern "C" fn(*mut c_void, *mut c_void) -> *mut c_void;

/// What the `ctx` of a switch begins with when its callbacks are those of an [`Area`].
#[repr(C)]
#[derive(Debug)]
pub struct Callbacks {
    /// What [`Area::save`] forwards to.
    pub save: Callback,
    /// What [`Area::restore`] forwards to.
    pub restore: Callback,
    /// Set to other than 0 when the area did not keep what was written there, or (PowerPC, x86) the chain of frames does
    /// not lead where it should.
    pub damaged: usize,
}

/// Two callbacks in assembly, on ABIs that let a callee write above its own frame: each fills all of
/// that area, forwards to the function in [`Callbacks`], and checks that the area still is as it was filled.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// In place of `save`.
    pub save: Callback,
    /// In place of `restore`.
    pub restore: Callback,
}

/// One register, or one 64-bit half of a vector register.
#[derive(Debug)]
pub struct Register {
    /// As the ABI's document calls it.
    pub name: &'static str,
    /// Where it is in an [`Image`], in bytes.
    pub offset: usize,
    /// 4 or 8 bytes.
    pub size: usize,
    /// The bits that may be chosen freely and must be preserved.
    pub mask: u64,
    /// Other bits that must be set when it is loaded.
    pub fixed: u64,
    /// A control word's value in Rust code, which may not change it; `None` for other registers.
    pub default: Option<u64>,
    /// It is there only if the assembly has this feature (a bit of [`features`]); 0: always.
    pub needs: u32,
}

/// How many words of 64 bits an image has: small, for boards with little memory. `tables` checks that it is enough.
const WORDS: usize =
    if cfg!(any(target_arch = "powerpc", target_arch = "powerpc64")) { 64 } else { 32 };

/// The registers in memory, where [`REGISTERS`] says.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub struct Image([u64; WORDS]);

unsafe extern "C" {
    fn greenlet_probe(
        load: *const Image,
        store: *mut Image,
        f: Function,
        a: *mut c_void,
        b: *mut c_void,
        c: *mut c_void,
    ) -> *mut c_void;
    static greenlet_probe_features: u32;
}

/// Loads the registers from `load`, calls `f(a, b, c)`, stores them in `store`, and returns what `f` returned. Its
/// own caller's registers it preserves as any function does.
///
/// # Safety
///
/// `f` may be called with these arguments, and with floating-point control words as in `load`.
pub unsafe fn probe(
    load: &Image,
    store: &mut Image,
    f: Function,
    [a, b, c]: [*mut c_void; 3],
) -> *mut c_void {
    // SAFETY: the images are as large as every register table asks (`tables` checks it); the rest is
    // the caller's promise.
    unsafe { greenlet_probe(load, store, f, a, b, c) }
}

/// Leaves values of its own in the registers that arguments are passed in, as every callee may: for a callback just before it
/// returns. Else its caller might find there, by chance, what it should have looked up.
pub fn scribble() {
    type Take = extern "C" fn(usize, usize, usize, usize, usize, usize) -> usize;
    extern "C" fn take(a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> usize {
        black_box(a ^ b ^ c ^ d ^ e ^ f)
    }
    // By a pointer, else the compiler passes nothing to a function that it knows.
    let take: Take = black_box(take);
    black_box(take(1, 3, 5, 7, 9, 11));
}

/// Which groups of registers this target's assembly has, chosen by the preprocessor.
pub fn features() -> u32 {
    // SAFETY: a constant in the assembly.
    unsafe { greenlet_probe_features }
}

/// The registers that are really probed on this target.
pub fn registers() -> impl Iterator<Item = &'static Register> {
    let features = features();
    REGISTERS.iter().filter(move |register| register.needs & !features == 0)
}

impl Image {
    /// Every byte zero.
    pub const fn zeroed() -> Image {
        Image([0; WORDS])
    }

    /// A value for each register, from a source of random words.
    pub fn random(mut next: impl FnMut() -> u64) -> Image {
        let mut image = Image([0x5a5a_5a5a_5a5a_5a5a; WORDS]);
        for register in registers() {
            image.set(register, next() & register.mask | register.fixed);
        }
        image
    }

    /// The same, with the control words that Rust code runs with.
    pub fn with_default_controls(mut self) -> Image {
        for register in registers() {
            if let Some(value) = register.default {
                self.set(register, value);
            }
        }
        self
    }

    /// The registers that differ between what was loaded (`self`) and what was stored.
    pub fn lost<'a>(&'a self, stored: &'a Image) -> impl Iterator<Item = Lost> + 'a {
        registers().filter_map(move |register| {
            let loaded = self.get(register) & register.mask;
            let found = stored.get(register) & register.mask;
            (loaded != found).then_some(Lost { register: register.name, loaded, found })
        })
    }

    fn set(&mut self, register: &Register, value: u64) {
        let at = (&raw mut self.0).cast::<u8>();
        // SAFETY: `tables` checks that every offset and size lies within the image and is aligned.
        unsafe {
            match register.size {
                4 => at.add(register.offset).cast::<u32>().write(value as u32),
                _ => at.add(register.offset).cast::<u64>().write(value),
            }
        }
    }

    fn get(&self, register: &Register) -> u64 {
        let at = (&raw const self.0).cast::<u8>();
        // SAFETY: as in `set`.
        unsafe {
            match register.size {
                4 => at.add(register.offset).cast::<u32>().read().into(),
                _ => at.add(register.offset).cast::<u64>().read(),
            }
        }
    }
}

/// A register that did not come back as it was.
#[derive(Clone, Copy, Debug)]
pub struct Lost {
    /// Its name.
    pub register: &'static str,
    /// What it was loaded with.
    pub loaded: u64,
    /// What was in it afterwards.
    pub found: u64,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lost { register, loaded, found } = self;
        write!(f, "{register} was {loaded:#x}, is {found:#x}")
    }
}
