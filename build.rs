//! Picks the arch file for the target and assembles it.
//!
//! The whole logic is `arch_file`: one table from target to file. To add an instruction set, write
//! the file (see `arch/README.md` for the contract) and add its row.

use std::env;

/// The arch file for a target, or `None` where there is none yet.
fn arch_file(target: &str, arch: &str, os: &str) -> Option<&'static str> {
    Some(match (arch, os) {
        ("x86", _) => "x86.S",
        ("x86_64", "windows" | "uefi" | "cygwin") => "x86_64_windows.S",
        ("x86_64", _) => "x86_64_sysv.S",
        // Processors with nothing but the first Thumb instruction set.
        ("arm", _) if target.starts_with("thumbv6m") || target.starts_with("thumbv8m.base") => {
            "arm_thumb1.S"
        }
        ("arm", _) => "arm_aapcs.S",
        ("aarch64", "windows" | "uefi") => "aarch64_windows.S",
        ("aarch64", _) => "aarch64_aapcs64.S",
        ("powerpc", _) => "powerpc_sysv.S",
        ("powerpc64", "aix") => return None,
        ("powerpc64", _) => "powerpc64.S",
        ("riscv32" | "riscv64", _) => "riscv.S",
        ("s390x", _) => "s390x.S",
        ("mips" | "mips64", _) => "mips.S",
        ("loongarch64", _) => "loongarch64.S",
        ("sparc64", _) => "sparc64.S",
        ("m68k", _) => "m68k.S",
        _ => return None,
    })
}

/// What `arch_file` has rows for, in words: for the message that refuses an unsupported target.
const SUPPORTED: &str = "x86-64 and 32-bit x86 (System V ABI, Windows), ARM (AAPCS), AArch64 (AAPCS64, Windows), \
     PowerPC (System V ABI; ELFv1, ELFv2), \
     RISC-V, s390x, MIPS (o32, n64), LoongArch64, SPARC64, m68k";

/// The arch files that also have the entry that is inlined into its caller and resumes by a jump.
const WITH_JUMP_ENTRY: &[&str] = &["x86_64_sysv.S"];

fn main() {
    let var = |name: &str| env::var(name).unwrap_or_default();
    let (target, arch) = (var("TARGET"), var("CARGO_CFG_TARGET_ARCH"));
    let features = var("CARGO_CFG_TARGET_FEATURE");
    let has = |feature: &str| features.split(',').any(|one| one == feature);
    println!("cargo::rustc-check-cfg=cfg(greenlet_jump_entry)");
    println!("cargo::rerun-if-changed=build.rs");

    let Some(file) = arch_file(&target, &arch, &var("CARGO_CFG_TARGET_OS")) else {
        println!(
            "cargo::error=greenlet has no arch file for the target `{target}`. Supported: {SUPPORTED}. \
             arch/README.md says how to add one."
        );
        return;
    };
    if WITH_JUMP_ENTRY.contains(&file) {
        println!("cargo::rustc-cfg=greenlet_jump_entry");
    }
    tools(&var("CARGO_CFG_SANITIZE"));
    println!("cargo::rerun-if-changed=arch/{file}");
    let mut build = cc::Build::new();
    if arch == "x86" && has("sse") {
        build.flag_if_supported("-msse"); // the C compiler's own default is older than Rust's
    }
    if arch == "x86_64" && !has("sse") {
        build.flag_if_supported("-mno-sse"); // a target without floating point
    }
    if arch.starts_with("powerpc") && has_altivec(&arch, &features) {
        build.flag("-maltivec"); // gcc takes big-endian ones to have none
    }
    build.file(format!("arch/{file}")).compile("greenlet_arch");
}

/// Which tool has to be told of what happens to the stack (`src/raw/tools.rs`), and whether this crate's code is itself instrumented.
/// A program with AddressSanitizer in it does not run under valgrind.
fn tools(sanitizers: &str) {
    let instrumented = |kind: &str| sanitizers.split(',').any(|one| one == kind);
    let feature = |name: &str| env::var_os(format!("CARGO_FEATURE_{name}")).is_some();
    let asan = instrumented("address") || feature("ASAN");
    for (name, on) in [
        ("greenlet_asan", asan),
        ("greenlet_asan_instrumented", instrumented("address")),
        ("greenlet_valgrind", feature("VALGRIND") && !asan),
        ("greenlet_tsan", instrumented("thread")), // for tests/races.rs
    ] {
        println!("cargo::rustc-check-cfg=cfg({name})");
        if on {
            println!("cargo::rustc-cfg={name}");
        }
    }
}

/// Whether Rust's code may use Altivec's registers. Stable compilers do not say so: it is 64-bit PowerPC's
/// default, which `-C target-feature=-altivec` changes.
fn has_altivec(arch: &str, features: &str) -> bool {
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let asked = match (flags.rfind("+altivec"), flags.rfind("-altivec")) {
        (None, None) => None,
        (with, without) => Some(with > without),
    };
    asked.unwrap_or(arch == "powerpc64" || features.split(',').any(|one| one == "altivec"))
}
