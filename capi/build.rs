//! Gives the shared library the name under which programs will look for it when they run.

use std::env;

/// Changes when a program that was linked with an older one could not use a newer one.
const ABI: u32 = 0;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let var = |name: &str| env::var(name).unwrap_or_default();
    if var("CARGO_CFG_TARGET_FAMILY") != "unix" {
        return;
    }
    if var("CARGO_CFG_TARGET_VENDOR") != "apple" {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libgreenlet.so.{ABI}");
    }
}
