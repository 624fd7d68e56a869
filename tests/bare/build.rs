//! Names the linker script of the board that goes with the target. To add a board, add its row.

use std::env;

fn main() {
    let target = env::var("TARGET").unwrap();
    let script = match target.as_str() {
        "thumbv6m-none-eabi" => "microbit.ld",
        "thumbv7m-none-eabi" => "lm3s6965evb.ld",
        "thumbv7em-none-eabihf" => "mps2_an386.ld",
        "aarch64-unknown-none" => "aarch64_virt.ld",
        "x86_64-unknown-none" => "x86_64_microvm.ld",
        "riscv32gc-unknown-linux-gnu" => "linux.ld",
        riscv if riscv.starts_with("riscv") && riscv.contains("none") => "riscv_virt.ld",
        _ => {
            println!(
                "cargo::error=no board is known for the target `{target}`: see tests/bare/build.rs"
            );
            return;
        }
    };
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap();
    println!("cargo::rerun-if-changed=link");
    println!("cargo::rustc-link-arg-bins=-L{folder}/link");
    println!("cargo::rustc-link-arg-bins=-T{folder}/link/{script}");
    // 16 KiB are enough for the example, and for the tests if they take less of everything.
    println!("cargo::rustc-check-cfg=cfg(little_memory)");
    if script == "microbit.ld" {
        println!("cargo::rustc-cfg=little_memory");
    }
}
