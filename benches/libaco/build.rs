//! Builds libaco, from where `LIBACO` says its source is, and the C side of the benchmark.
//! `LIBACO_SHARE_FPU=1`: without keeping the floating-point control words, which libaco can leave out.

use std::env;

fn main() {
    println!("cargo::rerun-if-env-changed=LIBACO");
    println!("cargo::rerun-if-env-changed=LIBACO_SHARE_FPU");
    println!("cargo::rerun-if-changed=src/drive.c");
    let Ok(source) = env::var("LIBACO") else {
        println!(
            "cargo::error=set LIBACO to the folder with libaco's source (aco.c, aco.h, acosw.S)"
        );
        return;
    };
    let mut build = cc::Build::new();
    if env::var_os("LIBACO_SHARE_FPU").is_some() {
        build.define("ACO_CONFIG_SHARE_FPU_MXCSR_ENV", None);
    }
    let files = [format!("{source}/aco.c"), format!("{source}/acosw.S"), "src/drive.c".into()];
    build.opt_level(2).warnings(false).include(source).files(files).compile("drive");
}
