//! Names the linker script of the board that goes with the target.

use std::env;

fn main() {
    let target = env::var("TARGET").unwrap();
    let script = match target.as_str() {
        "thumbv6m-none-eabi" => "microbit.ld",
        "thumbv7m-none-eabi" => "lm3s6965evb.ld",
        "thumbv7em-none-eabihf" => "mps2_an386.ld",
        "aarch64-unknown-none" => "aarch64_virt.ld",
        target if target.starts_with("riscv") && target.contains("none") => "riscv_virt.ld",
        _ => return,
    };
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap();
    println!("cargo::rerun-if-changed=link");
    println!("cargo::rustc-link-arg-bins=-L{folder}/link");
    println!("cargo::rustc-link-arg-bins=-T{folder}/link/{script}");
}
