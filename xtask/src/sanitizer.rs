//! The sanitizers: the compiler's flags, and LLVM's runtime.
//!
//! The package with the runtime is unpacked and not installed: it depends on a second C library, for 32-bit programs, which the loader of
//! emulated ones then finds before their own, and hangs.

use crate::run::Run;
use crate::toolchain::cache;
use std::fs;
use std::path::PathBuf;

/// LLVM 22 is what the compiler has too; the runtime's interface has been the same for years.
pub const PACKAGES: &[&str] = &["g++", "clang-22"];

const RUNTIME: &str = "libclang-rt-22-dev";

fn folder() -> PathBuf {
    cache().join("debs").join(RUNTIME)
}

/// Why it cannot be used here.
pub fn lacks() -> Option<String> {
    let there = folder().exists();
    (!there).then(|| format!("needs {RUNTIME}, unpacked by `cargo xtask test --install`"))
}

/// Fetches the runtime, if it is not there.
pub fn fetch() -> Result<(), String> {
    if lacks().is_none() {
        return Ok(());
    }
    let work = folder().with_extension(std::process::id().to_string());
    let failed = |error: std::io::Error| format!("{}: {error}", work.display());
    fs::create_dir_all(&work).map_err(failed)?;
    let script = format!(
        "apt-get -qq update && apt-get -qq download {RUNTIME} && dpkg-deb --extract *.deb files"
    );
    let done = Run::new("sh").args(["-c", &script]).directory(&work).done();
    let moved = done.ok() && fs::rename(work.join("files"), folder()).is_ok();
    let _ = fs::remove_dir_all(&work);
    if moved || lacks().is_none() {
        Ok(())
    } else {
        Err(format!("fetching {RUNTIME}: {}", done.how()))
    }
}

/// What the compiler is told for a sanitizer, by LLVM's name for it. `-Z` is for nightly ones, unless `RUSTC_BOOTSTRAP` says that this is
/// one.
pub fn flags(kind: &str) -> String {
    let resources = folder().join("usr/lib/llvm-22/lib/clang/22");
    format!(
        "-Zsanitizer={kind} -Zexternal-clangrt -Clinker=clang-22 -Clink-arg=-fsanitize={kind} \
         -Clink-arg=-resource-dir={}",
        resources.display()
    )
}
