//! Picks the probe's assembly for the target, in step with the arch file that `greenlet` itself picks.

use std::env;

/// The probes on ABIs that let a callee write above its own frame: they have two more functions.
const WITH_AREA: &[&str] = &[
    "x86.S",
    "x86_64_windows.S",
    "powerpc_sysv.S",
    "powerpc64.S",
    "s390x.S",
    "sparc64.S",
    "m68k.S",
];

fn main() {
    let var = |name: &str| env::var(name).unwrap_or_default();
    let (arch, os) = (var("CARGO_CFG_TARGET_ARCH"), var("CARGO_CFG_TARGET_OS"));
    let target = var("TARGET");
    let features = var("CARGO_CFG_TARGET_FEATURE");
    let file = match (arch.as_str(), os.as_str()) {
        ("x86_64", "windows") => "x86_64_windows.S",
        ("x86_64", _) => "x86_64_sysv.S",
        ("x86", _) => "x86.S",
        ("aarch64", _) => "aarch64_aapcs64.S",
        ("arm", _) if target.starts_with("thumbv6m") || target.starts_with("thumbv8m.base") => {
            "arm_thumb1.S"
        }
        ("arm", _) => "arm_aapcs.S",
        ("powerpc", _) => "powerpc_sysv.S",
        ("powerpc64", _) => "powerpc64.S",
        ("riscv32" | "riscv64", _) => "riscv.S",
        ("s390x", _) => "s390x.S",
        ("mips" | "mips64", _) => "mips.S",
        ("loongarch64", _) => "loongarch64.S",
        ("sparc64", _) => "sparc64.S",
        ("m68k", _) => "m68k.S",
        _ => {
            println!("cargo::error=greenlet-probe has no assembly for the target `{target}`");
            return;
        }
    };
    println!("cargo::rustc-check-cfg=cfg(has_area)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=arch/{file}");
    if WITH_AREA.contains(&file) || arch == "mips" {
        println!("cargo::rustc-cfg=has_area");
    }
    let mut build = cc::Build::new();
    let has = |feature: &str| features.split(',').any(|one| one == feature);
    if arch == "x86" && has("sse") {
        build.flag_if_supported("-msse");
    }
    if arch == "x86_64" && !has("sse") {
        build.flag_if_supported("-mno-sse"); // a target without floating point
    }
    if arch == "powerpc64" || has("altivec") {
        build.flag("-maltivec"); // Rust's code has it; see ../build.rs
    }
    build.file(format!("arch/{file}")).compile("greenlet_probe");
}
