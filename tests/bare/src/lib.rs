//! What the programs of this folder need of a board: start code, a console, an end with a status. The start code calls
//! the program's `run`, with `.data` and `.bss` as they should be. In firmware of your own all this is there
//! already, in another shape. It knows nothing of greenlets.

#![no_std]

#[cfg(target_os = "linux")]
#[path = "board/linux.rs"]
mod board;

#[cfg(target_os = "none")]
mod board {
    #[cfg(target_arch = "aarch64")]
    mod aarch64;
    #[cfg(target_arch = "arm")]
    mod arm;
    #[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
    mod riscv;
    #[cfg(not(target_arch = "x86_64"))]
    mod semihosting;
    #[cfg(target_arch = "x86_64")]
    mod x86_64;

    #[cfg(target_arch = "aarch64")]
    use aarch64::semihosting;
    #[cfg(target_arch = "arm")]
    use arm::semihosting;
    #[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
    use riscv::semihosting;
    #[cfg(not(target_arch = "x86_64"))]
    pub use semihosting::{exit, write};
    #[cfg(target_arch = "x86_64")]
    pub use x86_64::{exit, write};
}

use core::fmt;

/// Ends the program with this status.
pub use board::exit;

/// Where the program prints.
#[derive(Debug)]
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        board::write(text.as_bytes());
        Ok(())
    }
}

/// Prints a line.
#[macro_export]
macro_rules! say {
    ($($what:tt)*) => {{
        let _ = core::fmt::Write::write_fmt(&mut $crate::Console, format_args!("{}\n", format_args!($($what)*)));
    }};
}

/// Where the processor goes when something is wrong.
#[unsafe(no_mangle)]
extern "C" fn fault() -> ! {
    board::write(b"a fault of the processor\n");
    exit(3)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("{info}");
    exit(1)
}
