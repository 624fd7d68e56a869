//! The target `python` loads an extension module whose counters look for libFuzzer's functions in the program.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bin=python=-rdynamic");
}
