//! Picks the probe's assembly for the target, in step with the arch file that `greenlet` itself picks.

use std::env;

fn main() {
    let var = |name: &str| env::var(name).unwrap_or_default();
    let (arch, os) = (var("CARGO_CFG_TARGET_ARCH"), var("CARGO_CFG_TARGET_OS"));
    let file = match (arch.as_str(), os.as_str()) {
        ("x86_64", _) => "x86_64_sysv.S",
        ("aarch64", _) => "aarch64_aapcs64.S",
        _ => {
            let target = var("TARGET");
            println!("cargo::error=greenlet-probe has no assembly for the target `{target}`");
            return;
        }
    };
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=arch/{file}");
    cc::Build::new().file(format!("arch/{file}")).compile("greenlet_probe");
}
